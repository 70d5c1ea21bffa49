"""A tiny SentencePiece model of byte pairs, in that library's file format."""

import struct
from collections import Counter
from itertools import pairwise
from pathlib import Path

from checkpoints.common import CORPUS

SPACE = "\u2581"
NORMAL, UNKNOWN, CONTROL, USER_DEFINED, BYTE = 1, 2, 3, 4, 6
NUM_MERGES = 40


def _varint(value: int) -> bytes:
    out = bytearray()
    while value > 127:
        out.append(value & 127 | 128)
        value >>= 7
    return bytes([*out, value])


def _number(field: int, value: int) -> bytes:
    return _varint(field << 3) + _varint(value)


def _bytes(field: int, value: bytes) -> bytes:
    return _varint(field << 3 | 2) + _varint(len(value)) + value


def _piece(text: str, score: float, kind: int) -> bytes:
    entry = _bytes(1, text.encode()) + _varint(2 << 3 | 5) + struct.pack("<f", score)
    return entry if kind == NORMAL else entry + _number(3, kind)


def merges_of(words: list[list[str]]) -> list[str]:
    """The joined pieces that byte-pair training finds, most frequent first."""
    found = []
    for _ in range(NUM_MERGES):
        counts = Counter(pair for word in words for pair in pairwise(word))
        best = max(counts, key=lambda pair: (counts[pair], pair))
        found.append("".join(best))
        for word in words:
            at = 0
            while at + 1 < len(word):
                if (word[at], word[at + 1]) == best:
                    word[at : at + 2] = ["".join(best)]
                at += 1
    return list(dict.fromkeys(found))


def write_sentence_pieces(folder: Path, symbols: tuple[str, ...]) -> dict[str, int]:
    """Writes tokenizer.model; returns piece -> id.

    Args:
        folder: Where it goes.
        symbols: The authors' own, which are one piece wherever they stand.
    """
    words = [list(SPACE + word) for line in CORPUS for word in line.split()]
    characters = sorted({character for word in words for character in word})
    merged = merges_of(words)
    pieces = [("<unk>", 0.0, UNKNOWN), ("<s>", 0.0, CONTROL), ("</s>", 0.0, CONTROL)]
    pieces += [(symbol, 0.0, USER_DEFINED) for symbol in symbols]
    pieces += [(f"<0x{value:02X}>", 0.0, BYTE) for value in range(256)]
    learnt = merged + characters
    pieces += [(text, -float(rank), NORMAL) for rank, text in enumerate(learnt)]
    content = b"".join(_bytes(1, _piece(*piece)) for piece in pieces)
    content += _bytes(2, _number(3, 2) + _number(35, 1))  # byte pairs, bytes for the rest
    content += _bytes(3, _bytes(1, b"identity") + _number(3, 1) + _number(4, 0))
    (folder / "tokenizer.model").write_bytes(content)
    return {text: number for number, (text, _, _) in enumerate(pieces)}
