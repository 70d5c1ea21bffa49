"""The tokenizer: exact round trip, additive at spaces and lines, loads from the shipped folders."""

from pathlib import Path

import pytest
from transformers import AutoTokenizer

from dllm_eval.reference import AR_DIR, DIFFUSION_DIR
from dllm_eval.reference.corpus import draw_update, held_out_files
from dllm_eval.reference.tokenizer import EOS, MASK, UNKNOWN, build_tokenizer, encode, vocabulary


def test_every_document_comes_back_without_unknown_tokens() -> None:
    unknown = vocabulary()[UNKNOWN]
    for update in range(20):
        for batch in draw_update(0, update).batches():
            for document in batch:
                ids = encode(document.text)
                assert unknown not in ids
                assert build_tokenizer().decode(ids) == document.text


def test_every_test_file_comes_back() -> None:
    for text in held_out_files().values():
        assert build_tokenizer().decode(encode(text)) == text


@pytest.mark.parametrize(
    "text", ["", " ", "   x", "hello  World_1\t\n\n", 'a(b)[c]: """q""" 12 345', "Aldan  is isn't"]
)
def test_any_ascii_text_comes_back(text: str) -> None:
    assert build_tokenizer().decode(encode(text)) == text


def test_prompt_and_response_encode_apart_as_together() -> None:
    for update in range(20):
        for batch in draw_update(0, update).batches():
            for document in batch:
                assert encode(document.prompt) + encode(document.response) == encode(document.text)


def test_encoding_is_additive_at_every_line_and_single_space() -> None:
    text = draw_update(0, 0).code[0].text + draw_update(0, 0).choices_letter[0].text
    whole = encode(text)
    for cut in range(1, len(text)):
        at_line = text[cut - 1] == "\n" or text[cut] == "\n"
        at_space = text[cut] == " " and text[cut - 1] != " "
        if at_line or at_space:
            assert encode(text[:cut]) + encode(text[cut:]) == whole


def test_tokens_are_words_digits_and_indentations() -> None:
    pieces = build_tokenizer().convert_ids_to_tokens(encode("    return t - 42\n"))
    assert pieces == ["    ", "return", " t", " -", " 4", "2", "\n"]


def test_vocabulary_is_small_and_ids_are_dense() -> None:
    assert sorted(vocabulary().values()) == list(range(len(vocabulary())))
    assert len(vocabulary()) < 700


@pytest.mark.parametrize("folder", [DIFFUSION_DIR, AR_DIR], ids=["diffusion", "ar"])
def test_shipped_tokenizer_is_the_built_one(folder: Path) -> None:
    loaded = AutoTokenizer.from_pretrained(folder)
    assert loaded.get_vocab() == vocabulary()
    assert (loaded.eos_token, loaded.pad_token, loaded.mask_token) == (EOS, EOS, MASK)
    text = draw_update(0, 0).code[0].text
    assert loaded(text)["input_ids"] == encode(text)
    assert loaded.decode(encode(text)) == text
