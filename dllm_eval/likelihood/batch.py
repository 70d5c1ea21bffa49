"""Masked canvases of many pairs, packed into forward passes of a bounded number of rows.

Knows pairs, mask sets and padding; knows no estimator and no log-probability. `core` runs batches.
Attention that sees the whole canvas is packed here, attention that looks back in `look_back`.
"""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from dllm_eval.families import Family
from dllm_eval.likelihood.pair import Pair
from dllm_eval.likelihood.plan import Masks


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

    @property
    def wanted(self) -> Masks:
        """(rows, target length): the positions that are read."""
        return self.masks if self.read is None else self.read

    def rows(self, start: int, stop: int) -> "Request":
        """Some of the mask sets."""
        read = None if self.read is None else self.read[start:stop]
        return Request(pair=self.pair, masks=self.masks[start:stop], read=read, group=self.group)


@dataclass(frozen=True, kw_only=True, eq=False)
class Prefixes:
    """Finished beginnings of canvases, read once and shared by many masked ones."""

    token_ids: NDArray[np.int64]
    """(prefixes, columns)"""
    valid: NDArray[np.bool_] | None
    """(prefixes, columns), False at padding; None where nothing is padded."""


@dataclass(frozen=True, kw_only=True, eq=False)
class Batch:
    """One forward pass. The masked positions are listed row by row, each row left to right."""

    token_ids: NDArray[np.int64]
    """(batch, length)"""
    valid: NDArray[np.bool_] | None
    """(batch, length), False at padding; None where nothing is padded."""
    rows: slice
    """Canvas positions that cover every target of the batch."""
    masked: NDArray[np.int64]
    """(masked positions,) indices into the flattened (batch, rows); those that are read."""
    targets: NDArray[np.int64]
    """(masked positions,) the true ids."""
    prefixes: Prefixes | None = None
    """What the first columns are, where they need not be processed again."""
    prefix_of: NDArray[np.int64] | None = None
    """(batch,) which of the prefixes each row begins with."""


def batches(requests: Iterable[Request], rows_per_forward: int, family: Family) -> Iterator[Batch]:
    """Packs requests in the order given; a request may fill several batches or share one."""
    for pieces in filled(requests, rows_per_forward):
        yield _pack(pieces, family)


def filled(requests: Iterable[Request], rows_per_forward: int) -> Iterator[list[Request]]:
    """Requests cut and gathered so that every list but the last has `rows_per_forward` rows."""
    pieces: list[Request] = []
    free = rows_per_forward
    for request in requests:
        start = 0
        while start < len(request.masks):
            piece = request.rows(start, start + free)
            pieces.append(piece)
            start += len(piece.masks)
            free -= len(piece.masks)
            if free == 0:
                yield pieces
                pieces, free = [], rows_per_forward
    if pieces:
        yield pieces


def _pack(pieces: list[Request], family: Family) -> Batch:
    pairs = [piece.pair for piece in pieces]
    num_rows = sum(len(piece.masks) for piece in pieces)
    length = max(pair.length for pair in pairs)
    token_ids = np.full((num_rows, length), family.pad_id, dtype=np.int64)
    valid = np.zeros((num_rows, length), dtype=np.bool_)
    masked = np.zeros((num_rows, length), dtype=np.bool_)
    targets = []
    left = _pad_left(pairs, family)
    row = 0
    for piece in pieces:
        pair, rows = piece.pair, slice(row, row + len(piece.masks))
        first = length - pair.length if left else 0
        canvas = slice(first, first + pair.length)
        target = slice(first + pair.start, first + pair.stop)
        token_ids[rows, canvas] = pair.token_ids
        token_ids[rows, target][piece.masks] = family.mask_id
        valid[rows, canvas] = True
        masked[rows, target] = piece.wanted
        targets.append(np.broadcast_to(pair.target, piece.masks.shape)[piece.wanted])
        row = rows.stop
    wanted = _target_rows(pairs, length, left=left)
    return Batch(
        token_ids=token_ids,
        valid=None if all(pair.length == length for pair in pairs) else valid,
        rows=wanted,
        masked=np.flatnonzero(masked[:, wanted]),
        targets=np.concatenate(targets),
    )


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
