"""A SentencePiece model as a tokenizer, against byte-pair merging written out slowly."""

import json
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
from checkpoints import nbdiff
from checkpoints.sentence_pieces import write_sentence_pieces

from dllm_eval.errors import UsageError
from dllm_eval.loading import load_model

SPACE = "\u2581"
SYMBOLS = ("[unused0]", "[unused9]", "[unused10]")
TEXTS = [
    "def add(a, b):\n    return a + b\n",
    "The capital of France is Paris.",
    "  two  blanks  ",
    "",
    "a",
    "\t\u00e9 \u5317\u4eac \U0001f642",
    "returnreturn a result = a - b",
]


def merged(text: str, scores: dict[str, int], ids: dict[str, int]) -> list[int]:
    """Ids of a text without special tokens: the best-scored pair first, the leftmost on a tie."""
    parts = list(SPACE + text.replace(" ", SPACE)) if text else []
    while True:
        pairs = [
            (scores["".join(pair)], at)
            for at, pair in enumerate(pairwise(parts))
            if "".join(pair) in scores
        ]
        if not pairs:
            break
        _, at = min(pairs)
        parts[at : at + 2] = ["".join(parts[at : at + 2])]
    out = []
    for part in parts:
        if part in scores:
            out.append(ids[part])
        else:
            out += [ids[f"<0x{byte:02X}>"] for byte in part.encode()]
    return out


@pytest.fixture(scope="module")
def tokenizer(tmp_path_factory: pytest.TempPathFactory) -> Any:
    folder = nbdiff.write(tmp_path_factory.mktemp("nbdiff") / "model")
    return load_model(str(folder)).tokenizer


@pytest.fixture(scope="module")
def ids(tmp_path_factory: pytest.TempPathFactory) -> dict[str, int]:
    return write_sentence_pieces(tmp_path_factory.mktemp("pieces"), SYMBOLS)


@pytest.mark.parametrize("text", TEXTS)
def test_text_becomes_what_slow_merging_gives_and_comes_back(
    text: str, tokenizer: Any, ids: dict[str, int]
) -> None:
    learnt = list(ids)[6 + 256 :]
    scores = {piece: rank for rank, piece in enumerate(learnt)}
    expected = merged(text, scores, ids)
    assert tokenizer.encode(text, add_special_tokens=False) == expected
    assert tokenizer.encode(text) == [ids["<s>"], *expected]
    assert tokenizer.decode(expected) == text


def test_special_tokens_are_one_piece_and_begin_a_new_text(
    tokenizer: Any, ids: dict[str, int]
) -> None:
    found = tokenizer.encode("a[unused10]a[unused9][unused9]", add_special_tokens=False)
    a = tokenizer.encode("a", add_special_tokens=False)
    end, turn = ids["[unused10]"], ids["[unused9]"]
    assert found == [*a, end, *a, turn, turn]
    assert (tokenizer.eos_token_id, tokenizer.bos_token_id) == (end, ids["<s>"])


def test_the_chat_template_is_read(tokenizer: Any) -> None:
    chat = [{"role": "user", "content": "x"}]
    text = tokenizer.apply_chat_template(chat, tokenize=False, add_generation_prompt=True)
    assert text == "[unused9]user:x[unused10][unused9]assistant:"


def damaged(folder: Path, content: bytes) -> Path:
    (folder / "tokenizer.model").write_bytes(content)
    return folder


def test_a_file_that_is_no_model_or_no_byte_pairs_is_refused(tmp_path: Path) -> None:
    folder = nbdiff.write(tmp_path / "model")
    whole = (folder / "tokenizer.model").read_bytes()
    for content in (whole[:-7], b"\x0f\x01", b"\xff"):
        with pytest.raises(UsageError, match="is not a SentencePiece model"):
            load_model(str(damaged(folder, content)))
    unigram = whole.replace(b"\x12\x05\x18\x02", b"\x12\x05\x18\x01")
    assert unigram != whole
    with pytest.raises(UsageError, match="no SentencePiece model of byte pairs"):
        load_model(str(damaged(folder, unigram)))


def test_a_folder_without_a_tokenizer(tmp_path: Path) -> None:
    folder = nbdiff.write(tmp_path / "model")
    (folder / "tokenizer.model").unlink()
    with pytest.raises(UsageError, match=r"has neither tokenizer.json nor tokenizer.model$"):
        load_model(str(folder))


def test_a_special_token_with_another_id_is_refused(tmp_path: Path) -> None:
    folder = nbdiff.write(tmp_path / "model")
    path = folder / "tokenizer_config.json"
    config = json.loads(path.read_text())
    config["added_tokens_decoder"]["9"] = config["added_tokens_decoder"].pop("3")
    path.write_text(json.dumps(config))
    with pytest.raises(UsageError, match=r"'\[unused0\]' the id 9, tokenizer.model 3$"):
        load_model(str(folder))


def test_a_tokenizer_without_a_mask_token(tmp_path: Path) -> None:
    folder = nbdiff.write(tmp_path / "model")
    write_sentence_pieces(folder, ("[unused9]", "[unused10]", "[unused11]"))
    path = folder / "tokenizer_config.json"
    config = json.loads(path.read_text())
    config["added_tokens_decoder"] = {}
    path.write_text(json.dumps(config))
    with pytest.raises(UsageError, match=r"no mask token '\[unused0\]'"):
        load_model(str(folder))
