"""Texts around gaps as tokens, with a byte-level tokenizer trained here on a few lines of code.

What is under test is compared with plain statements: the whole text tokenised at once, and every
token of the vocabulary looked at one by one.
"""

from importlib import import_module
from typing import Any

import pytest
from code_tokens import encode, trained

boundaries: Any = import_module("dllm_eval.adapters.boundaries")


@pytest.fixture(scope="module")
def codec() -> Any:
    return trained()


def spelled(codec: Any, token: int) -> bytes:
    """A token's bytes by what it looks like beside a letter that no merge takes up."""
    text: str = codec.tokenizer.decode([token])
    return text.encode()


@pytest.mark.parametrize("text", ["re", " ", "st", "(", "\n"])
def test_the_tokens_that_begin_and_end_with_a_text(codec: Any, text: str) -> None:
    special = set(codec.tokenizer.all_special_ids)
    plain = [t for t in range(len(codec.tokenizer)) if t not in special]
    begins = [t for t in plain if codec.tokenizer.decode([t]).startswith(text)]
    ends = [t for t in plain if codec.tokenizer.decode([t]).endswith(text)]
    assert codec.token_bytes.beginning(text.encode()) == tuple(begins)
    assert codec.token_bytes.ending(text.encode()) == tuple(ends)
    assert begins


def test_half_a_character_is_bytes(codec: Any) -> None:
    ids = encode(codec, "é漢😀")
    assert codec.token_bytes.of(ids) == "é漢😀".encode()
    assert codec.token_bytes.of(ids[:1]) == "é".encode()[:1]


SPLITS = [
    ("def add(first, second):\n    ret", "urn first + sec", "ond\n"),
    ("    return fir", "st", " + second\n"),
    ("    return ", "first", " + second\n"),
    ("for numb", "er in numb", "ers:\n"),
    ("self.co", "un", "t += amount"),
    ("class Counter:\n", "    def __init__(self, start=0):\n", "        self.count = start\n"),
    ("", "def add", "(first, second):"),
    ("def add(first", ", second", ""),
    ("a = é", "é + 漢", "字 + 1"),
]


@pytest.mark.parametrize(("prefix", "middle", "suffix"), SPLITS)
def test_what_is_held_back_and_the_canvas_spell_the_text(
    codec: Any, prefix: str, middle: str, suffix: str
) -> None:
    healed = boundaries.Boundaries(codec, "heal")
    given = healed.given((prefix, suffix))
    (length,) = healed.lengths((prefix, suffix), given, (middle,))
    given = healed.fitted(given, (length,))
    ((trail, lead),) = boundaries.borders_of(given)
    inside = (trail.text if trail else b"") + middle.encode() + (lead.text if lead else b"")
    whole = encode(codec, prefix + middle + suffix)
    before, behind = list(given[0].ids), list(given[1].ids)
    canvas = whole[len(before) : len(whole) - len(behind)]
    if whole == [*before, *canvas, *behind]:
        assert length == len(canvas)
    else:  # no answer is out of reach: what was held back may stand there by itself
        own = encode(codec, middle)
        canvas = [*(trail.token if trail else ()), *own, *(lead.token if lead else ())]
    assert codec.token_bytes.of(canvas) == inside
    for place, ids in boundaries.allowed_at(((trail, lead),), ((0, len(canvas)),)):
        assert canvas[place] in ids
    assert boundaries.answer(codec, canvas, (trail, lead), whole=True) == middle
    spelt = codec.token_bytes.of(before) + inside + codec.token_bytes.of(behind)
    assert spelt.decode() == prefix + middle + suffix


def a_word_and_its_cut(codec: Any) -> tuple[str, int]:
    """A token that is a blank and a word, and a place in it before which one token stands, too."""
    words = [codec.tokenizer.decode([token]) for token in range(len(codec.tokenizer))]
    return next(
        (word, cut)
        for word in words
        if word.startswith(" ") and word[1:].isalpha()
        for cut in range(2, len(word))
        if len(encode(codec, word[:cut])) == 1
    )


def test_a_word_cut_in_two_is_one_token_again(codec: Any) -> None:
    healed = boundaries.Boundaries(codec, "heal")
    word, cut = a_word_and_its_cut(codec)
    rest = word[cut:]
    texts = ("x =" + word[:cut], " + second\n")
    given = healed.given(texts)
    kept, last = encode(codec, texts[0])[:-1], encode(codec, texts[0])[-1:]
    assert given[0].ids == tuple(kept)
    assert given[0].trail.text == spelled(codec, last[0])
    assert encode(codec, word)[0] in given[0].trail.ids
    assert healed.lengths(texts, given, (rest,)) == (1,)
    assert len(encode(codec, texts[0])) + len(encode(codec, rest)) > len(kept) + 1
    as_is = boundaries.Boundaries(codec, "as_is")
    assert as_is.given(texts) == (
        boundaries.Given(ids=tuple(encode(codec, texts[0]))),
        boundaries.Given(ids=tuple(encode(codec, texts[1]))),
    )
    assert as_is.lengths(texts, as_is.given(texts), (rest,)) == (len(encode(codec, rest)),)


def test_a_token_that_no_longer_one_begins_with_stays(codec: Any) -> None:
    healed = boundaries.Boundaries(codec, "heal")
    longest = max(
        (t for t in range(len(codec.tokenizer)) if codec.token_bytes.of([t]).isalpha()),
        key=lambda t: len(codec.token_bytes.of([t])),
    )
    text = codec.tokenizer.decode([longest])
    (before, _) = healed.given((f"x {text}", "y"))
    assert before.trail is None


def test_both_borders_in_one_token(codec: Any) -> None:
    """A canvas of one position begins and ends with what is held back, or gives one of it back."""
    healed = boundaries.Boundaries(codec, "heal")
    texts = ("self.co", "t += amount")
    given = healed.given(texts)
    assert given[0].trail is not None
    assert given[1].lead is not None
    assert healed.fitted(given, (2,)) == given
    one = healed.fitted(given, (1,))
    trail, lead = given[0].trail.text, given[1].lead.text
    spanning = [
        t
        for t in range(len(codec.tokenizer))
        if (text := codec.token_bytes.of([t])).startswith(trail)
        and text.endswith(lead)
        and len(text) >= len(trail) + len(lead)
    ]
    if spanning:
        assert one[0].trail.ids == one[1].lead.ids == tuple(spanning)
    else:
        assert one[1].lead is None
        assert one[1].ids == tuple(encode(codec, texts[1]))
    far = healed.given(("x = fir", "ond"))
    back = healed.fitted(far, (1,))
    assert back[0].trail == far[0].trail
    assert back[1] == boundaries.Given(ids=tuple(encode(codec, "ond")))


def test_texts_between_gaps_are_healed_on_both_sides(codec: Any) -> None:
    healed = boundaries.Boundaries(codec, "heal")
    texts = ("def add(fir", "nd):\n    ret", " first + second")
    middles = ("st, seco", "urn")
    given = healed.given(texts)
    lengths = healed.lengths(texts, given, middles)
    borders = boundaries.borders_of(given)
    assert all(held is not None for held in (*borders[0], borders[1][0]))
    spelt = b"".join(
        codec.token_bytes.of(text.ids)
        + (border[0].text if border[0] else b"")
        + middle.encode()
        + (border[1].text if border[1] else b"")
        for text, border, middle in zip(given, borders, middles, strict=False)
    ) + codec.token_bytes.of(given[-1].ids)
    assert spelt.decode() == texts[0] + middles[0] + texts[1] + middles[1] + texts[2]
    assert len(lengths) == 2


def test_the_text_behind_an_early_end_is_left_alone(codec: Any) -> None:
    """What stood at the border was not written, so nothing of the visible text is taken off."""
    healed = boundaries.Boundaries(codec, "heal")
    (_, behind) = healed.given(("x", "\n    return result\n"))
    assert behind.lead is not None
    ids = encode(codec, "y" + behind.lead.text.decode())
    borders = (None, behind.lead)
    assert boundaries.answer(codec, ids, borders, whole=True) == "y"
    assert boundaries.answer(codec, ids, borders, whole=False) == "y" + behind.lead.text.decode()
