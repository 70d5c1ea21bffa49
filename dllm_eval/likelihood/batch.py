"""Masked canvases of many pairs, packed into one forward pass.

Knows pairs, mask sets and padding; knows no estimator and no log-probability. `budget` says how
many fit, `core` and `score_entropy` run batches. Attention that sees the whole canvas is packed
here, attention that looks back in `look_back`.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from dllm_eval.families import Family
from dllm_eval.likelihood.pair import Pair
from dllm_eval.likelihood.plan import Masks
from dllm_eval.packing import Span


@dataclass(frozen=True, kw_only=True, eq=False)
class Request:
    """The mask sets wanted of one pair, or of one part of a pair."""

    pair: Pair
    masks: Masks
    read: Masks | None = None
    """Which masked positions are read; None for all of them."""
    group: int = 0
    """Parts of one pair have one number and lie side by side; the last one's ids begin with each
    other one's."""
    question: int = 0
    """Pairs that are compared have one number; equal canvases among them are evaluated once."""

    @property
    def wanted(self) -> Masks:
        """(rows, target length): the positions that are read."""
        return self.masks if self.read is None else self.read

    def rows(self, start: int, stop: int) -> "Request":
        """Some of the mask sets."""
        read = None if self.read is None else self.read[start:stop]
        return replace(self, masks=self.masks[start:stop], read=read)


@dataclass(frozen=True, kw_only=True, eq=False)
class Canvases:
    """Masked canvases of a pair to evaluate, and what is read from them for whoever asked."""

    pair: Pair
    masks: Masks
    row: NDArray[np.int64]
    """(reads,) ascending: the mask set a value is read from."""
    column: NDArray[np.int64]
    """(reads,) the position that is read, counted from the target's first."""
    ids: NDArray[np.int64]
    """(reads,) the id whose value it is; where pairs share a canvas, another pair's."""
    group: int
    question: int

    @classmethod
    def of(cls, request: Request) -> "Canvases":
        """All canvases of one request, read for it alone."""
        row, column = np.nonzero(request.wanted)
        return cls(
            pair=request.pair,
            masks=request.masks,
            row=row,
            column=column,
            ids=request.pair.target[column],
            group=request.group,
            question=request.question,
        )

    @property
    def num_rows(self) -> int:
        """Canvases."""
        return len(self.masks)

    @property
    def width(self) -> int:
        """Positions of each canvas."""
        return self.pair.length

    def cut(self, start: int, stop: int) -> "Canvases":
        """Some of the canvases."""
        reads = slice(*np.searchsorted(self.row, [start, stop]))
        return replace(
            self,
            masks=self.masks[start:stop],
            row=self.row[reads] - start,
            column=self.column[reads],
            ids=self.ids[reads],
        )


@dataclass(frozen=True, kw_only=True, eq=False)
class Batch:
    """One forward pass. What is read is listed row by row."""

    token_ids: NDArray[np.int64]
    """(batch, length)"""
    valid: NDArray[np.bool_] | None
    """(batch, length), False at padding; None where nothing is padded."""
    rows: slice
    """Canvas positions that cover every target of the batch."""
    masked: NDArray[np.int64]
    """(reads,) indices into the flattened (batch, rows): masked positions, some more than once."""
    targets: NDArray[np.int64]
    """(reads,) the true ids."""
    spans: Sequence[Span] | None = None
    """Each row's own columns, where attention sees all of them; None where it looks back."""
    prefix_of: NDArray[np.int64] | None = None
    """(batch,) which of the held prefixes each row continues; None where none are held."""


def pack(pieces: Sequence[Canvases], family: Family) -> Batch:
    """Lays canvases out side by side."""
    pairs = [piece.pair for piece in pieces]
    num_rows = sum(piece.num_rows for piece in pieces)
    length = max(pair.length for pair in pairs)
    token_ids = np.full((num_rows, length), family.pad_id, dtype=np.int64)
    valid = np.zeros((num_rows, length), dtype=np.bool_)
    masked: list[NDArray[np.int64]] = []
    spans: list[Span] = []
    left = _pad_left(pairs, family)
    wanted = _target_rows(pairs, length, left=left)
    for piece in pieces:
        pair, row = piece.pair, len(spans)
        rows = slice(row, row + piece.num_rows)
        first = length - pair.length if left else 0
        canvas = slice(first, first + pair.length)
        target = slice(first + pair.start, first + pair.stop)
        token_ids[rows, canvas] = pair.token_ids
        token_ids[rows, target][piece.masks] = family.mask_id
        valid[rows, canvas] = True
        masked.append(indices(piece, row, target.start, wanted))
        spans += [(canvas.start, canvas.stop)] * piece.num_rows
    return Batch(
        token_ids=token_ids,
        valid=None if all(pair.length == length for pair in pairs) else valid,
        rows=wanted,
        masked=np.concatenate(masked),
        targets=np.concatenate([piece.ids for piece in pieces]),
        spans=spans,
    )


def indices(piece: Canvases, row: int, start: int, rows: slice) -> NDArray[np.int64]:
    """(reads,) indices into the flattened (batch, rows).

    Args:
        piece: What is read.
        row: The batch's row of its first canvas.
        start: The column of its target's first position.
        rows: The columns that have logits.
    """
    width: int = rows.stop - rows.start
    own: int = start - rows.start
    return (row + piece.row) * width + own + piece.column


def _pad_left(pairs: list[Pair], family: Family) -> bool:
    """Whether padding goes before the canvases, so that the targets line up at the end.

    A family that reads position i at i - shift would read padding for a target that starts less
    than `shift` positions into its canvas; such a batch is padded behind instead.
    """
    return min(len(pair.context) for pair in pairs) >= family.logits_shift


def _target_rows(pairs: list[Pair], length: int, *, left: bool) -> slice:
    firsts = [length - pair.length if left else 0 for pair in pairs]
    placed = list(zip(firsts, pairs, strict=True))
    return slice(
        min(first + pair.start for first, pair in placed),
        max(first + pair.stop for first, pair in placed),
    )
