"""Cutting answers at stop strings by ids, and prompts whose last blank belongs to the next word."""

from pathlib import Path
from typing import Any

import pytest

from dllm_eval.loading import load_model


@pytest.fixture
def codec(tiny_llada: Path, make_model: Any) -> Any:
    return make_model("dllm", pretrained=tiny_llada).codec


TEXT = "def add(a, b):\n    return a + b\n\nThe capital of France"


@pytest.mark.parametrize(
    ("until", "kept"),
    [
        ([], TEXT),
        (["nowhere"], TEXT),
        (["\n\n"], "def add(a, b):\n    return a + b"),
        (["France", "\n\n"], "def add(a, b):\n    return a + b"),
        (["def"], ""),
        (["pital"], "def add(a, b):\n    return a + b\n\nThe ca"),
        ([""], TEXT),
    ],
)
def test_cut_keeps_the_ids_whose_text_begins_before_the_stop(
    codec: Any, until: list[str], kept: str
) -> None:
    ids = codec.encode(TEXT)
    text, count = codec.cut(ids, until)
    assert text == kept
    ends = [len("".join(codec.pieces(ids[: n + 1]))) for n in range(len(ids))]
    starts = [0, *ends[:-1]]
    assert count == sum(start < len(kept) for start in starts)


def test_ends_with_sees_a_stop_string_spread_over_tokens(codec: Any) -> None:
    ids = codec.encode("x = 1\n\nclass")
    hits = [codec.ends_with(ids[: n + 1], ["\n\nclass"]) for n in range(len(ids))]
    assert hits == [False] * (len(ids) - 1) + [True]


@pytest.mark.parametrize(
    ("text", "kept"),
    [("a + ", "a +"), ("x\n    ", "x\n   "), ("a +", "a +"), ("a\n", "a\n"), ("", "")],
)
def test_trailing_blanks_move_where_the_tokenizer_would_glue_them(
    codec: Any, text: str, kept: str
) -> None:
    assert codec.split_trailing_blanks(text) == (kept, text[len(kept) :])


def test_trailing_blanks_stay_with_a_tokenizer_that_keeps_them_apart() -> None:
    from dllm_eval.registry import resolve

    codec_class = resolve("codec", {"codec": "dllm_eval.adapters.tokens:Codec"}, "codec")
    codec = codec_class(load_model("reference-diffusion").tokenizer)
    assert codec.split_trailing_blanks("def f(a):\n    ") == ("def f(a):\n    ", "")
