"""A tokenizer published as a SentencePiece model, for checkpoints that have no tokenizer.json.

NBDiff publishes tokenizer.model under a tokenizer class of its own, in Python, which is never run:
it hands text to SentencePiece (arXiv 1808.06226) and splits at special tokens before. Here the
model's pieces become a tokenizer of the tokenizers library. Knows that file format; nothing of
models. Family loaders of such checkpoints call `load_sentence_pieces`.
"""

import re
import struct
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tokenizers import (
    AddedToken,
    Regex,
    Tokenizer,
    decoders,
    models,
    normalizers,
    pre_tokenizers,
    processors,
)
from transformers import PreTrainedTokenizerFast

from dllm_eval.checkpoint import read_json
from dllm_eval.errors import UsageError

from ..tokens import load_tokenizer

MODEL_FILE, CONFIG_FILE = "tokenizer.model", "tokenizer_config.json"
SPACE = "\u2581"
"""What stands for a space inside pieces."""

# The fields of sentencepiece_model.proto (google/sentencepiece) that are read, by number.
PIECES, TRAINER, NORMALISER = 1, 2, 3
PIECE_TEXT, PIECE_SCORE, PIECE_KIND = 1, 2, 3
TRAINER_ALGORITHM, TRAINER_BYTE_FALLBACK = 3, 35
CHARACTER_MAP, DUMMY_PREFIX, FEWER_SPACES = 2, 3, 4
NORMAL, UNKNOWN, USER_DEFINED = 1, 2, 4
BYTE_PAIRS = 2


@dataclass(frozen=True, kw_only=True)
class Piece:
    """One entry of the vocabulary; its place is its id."""

    text: str
    score: float
    """Of byte pairs: larger is merged first."""
    kind: int


def load_sentence_pieces(folder: Path) -> Any:  # noqa: ANN401 - transformers has no one typed class
    """The tokenizer of a folder with a tokenizer.model; a tokenizer.json is preferred.

    Which tokens are special, begin a text or end one is read from tokenizer_config.json.

    Raises:
        UsageError: A file is missing or damaged, or the model does not merge byte pairs.
    """
    if (folder / "tokenizer.json").is_file():
        return load_tokenizer(folder)
    path = folder / MODEL_FILE
    if not path.is_file():
        raise UsageError(f"{folder} has neither tokenizer.json nor {MODEL_FILE}")
    config = read_json(folder / CONFIG_FILE)
    try:
        tokenizer = _tokenizer(path.read_bytes(), path)
    except (struct.error, IndexError, KeyError, AttributeError, UnicodeDecodeError) as error:
        raise UsageError(f"{path} is not a SentencePiece model: {error}") from error
    _add_special_tokens(tokenizer, config, folder)
    roles = {
        role: _content(config[role])
        for role in ("bos_token", "eos_token", "unk_token", "pad_token", "mask_token")
        if config.get(role)
    }
    if config.get("add_bos_token", True) and "bos_token" in roles:
        _begin_with(tokenizer, roles["bos_token"])
    make: Any = PreTrainedTokenizerFast  # untyped in transformers
    fast = make(tokenizer_object=tokenizer, clean_up_tokenization_spaces=False, **roles)
    fast.chat_template = config.get("chat_template")
    return fast


def _add_special_tokens(tokenizer: Tokenizer, config: dict[str, Any], folder: Path) -> None:
    """Cuts texts at them; the model file has given them their ids already."""
    entries = config.get("added_tokens_decoder", {})
    special = {int(n): str(entry["content"]) for n, entry in entries.items() if entry["special"]}
    tokens = [AddedToken(special[n], special=True, normalized=False) for n in sorted(special)]
    tokenizer.add_special_tokens(tokens)
    for number, token in special.items():
        if tokenizer.token_to_id(token) != number:
            raise UsageError(
                f"{folder}: {CONFIG_FILE} gives {token!r} the id {number}, {MODEL_FILE} "
                f"{tokenizer.token_to_id(token)}"
            )


def _content(token: Any) -> str:  # noqa: ANN401 - a JSON value
    return str(token["content"] if isinstance(token, dict) else token)


def _begin_with(tokenizer: Tokenizer, token: str) -> None:
    number = tokenizer.token_to_id(token)
    tokenizer.post_processor = processors.TemplateProcessing(
        single=[token, "$A"], special_tokens=[(token, number)]
    )


def _tokenizer(content: bytes, path: Path) -> Tokenizer:
    pieces: list[Piece] = []
    trainer: dict[int, Any] = {}
    normaliser: dict[int, Any] = {}
    for field, value in _fields(content):
        if field == PIECES:
            pieces.append(_piece(value))
        elif field == TRAINER:
            trainer = dict(_fields(value))
        elif field == NORMALISER:
            normaliser = dict(_fields(value))
    if trainer.get(TRAINER_ALGORITHM) != BYTE_PAIRS:
        raise UsageError(f"{path} is no SentencePiece model of byte pairs, the only kind known")
    unknown = next((piece.text for piece in pieces if piece.kind == UNKNOWN), None)
    tokenizer = Tokenizer(
        models.BPE(
            vocab={piece.text: number for number, piece in enumerate(pieces)},
            merges=_merges(pieces),
            unk_token=unknown,
            fuse_unk=True,
            byte_fallback=bool(trainer.get(TRAINER_BYTE_FALLBACK)),
            ignore_merges=True,
        )
    )
    tokenizer.normalizer = _normalizer(normaliser)
    own = sorted((p.text for p in pieces if p.kind == USER_DEFINED), key=len, reverse=True)
    if own:
        # A symbol of the authors' own is one piece wherever it stands, the longest first.
        pattern = Regex("|".join(re.escape(text) for text in own))
        tokenizer.pre_tokenizer = pre_tokenizers.Split(pattern, behavior="isolated")
    tokenizer.decoder = decoders.Sequence(
        [
            decoders.Replace(SPACE, " "),
            decoders.ByteFallback(),
            decoders.Fuse(),
            decoders.Strip(content=" ", left=1 if normaliser.get(DUMMY_PREFIX, 1) else 0),
        ]
    )
    return tokenizer


def _normalizer(spec: dict[int, Any]) -> Any:  # noqa: ANN401 - tokenizers' types are stubs
    """SentencePiece's own: character map, spaces, the space in front, spaces made visible."""
    steps: list[Any] = []
    if spec.get(CHARACTER_MAP):
        steps.append(normalizers.Precompiled(spec[CHARACTER_MAP]))
    if spec.get(FEWER_SPACES, 1):
        steps += [normalizers.Replace(Regex(" {2,}"), " "), normalizers.Replace(Regex("^ | $"), "")]
    if spec.get(DUMMY_PREFIX, 1):
        steps.append(normalizers.Prepend(SPACE))
    steps.append(normalizers.Replace(" ", SPACE))
    return normalizers.Sequence(steps)


def _merges(pieces: list[Piece]) -> list[tuple[str, str]]:
    """Every way to join two pieces into a third, the third's score deciding what goes first."""
    scores = {piece.text: piece.score for piece in pieces if piece.kind == NORMAL}
    joins = [
        (-score, text[:cut], text[cut:])
        for text, score in scores.items()
        for cut in range(1, len(text))
        if text[:cut] in scores and text[cut:] in scores
    ]
    joins.sort(key=lambda join: join[0])
    return [(left, right) for _, left, right in joins]


def _piece(content: bytes) -> Piece:
    entry = dict(_fields(content))
    return Piece(
        text=entry[PIECE_TEXT].decode(),
        score=struct.unpack("<f", entry[PIECE_SCORE])[0] if PIECE_SCORE in entry else 0.0,
        kind=entry.get(PIECE_KIND, NORMAL),
    )


def _fields(content: bytes) -> Iterator[tuple[int, Any]]:
    """(number, value) of a protocol-buffer message: int where it is a varint, else its bytes."""
    at = 0
    while at < len(content):
        key, at = _varint(content, at)
        kind = key & 7
        if kind == 0:
            value, at = _varint(content, at)
            yield key >> 3, value
            continue
        if kind not in (1, 2, 5):
            raise struct.error(f"wire type {kind} at byte {at}")
        size, at = _varint(content, at) if kind == 2 else ({1: 8, 5: 4}[kind], at)
        if at + size > len(content):
            raise struct.error(f"cut off at byte {at}")
        yield key >> 3, content[at : at + size]
        at += size


def _varint(content: bytes, at: int) -> tuple[int, int]:
    """The number that begins at a byte, and where it ends."""
    value, shift = 0, 0
    while True:
        byte = content[at]
        value |= (byte & 127) << shift
        at, shift = at + 1, shift + 7
        if byte < 128:
            return value, at
