"""Masked canvases of many pairs, packed into forward passes of a bounded number of rows.

Knows pairs, mask sets and padding; knows no estimator and no log-probability. `core` runs batches.
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
    """The mask sets wanted of one pair."""

    pair: Pair
    masks: Masks


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
    """(masked positions,) indices into the flattened (batch, rows)."""
    targets: NDArray[np.int64]
    """(masked positions,) the true ids."""


def batches(requests: Iterable[Request], rows_per_forward: int, family: Family) -> Iterator[Batch]:
    """Packs requests in the order given; a request may fill several batches or share one."""
    parts: list[Request] = []
    free = rows_per_forward
    for request in requests:
        start = 0
        while start < len(request.masks):
            part = request.masks[start : start + free]
            parts.append(Request(pair=request.pair, masks=part))
            start += len(part)
            free -= len(part)
            if free == 0:
                yield _pack(parts, family)
                parts, free = [], rows_per_forward
    if parts:
        yield _pack(parts, family)


def _pack(parts: list[Request], family: Family) -> Batch:
    pairs = [part.pair for part in parts]
    num_rows = sum(len(part.masks) for part in parts)
    length = max(pair.length for pair in pairs)
    token_ids = np.full((num_rows, length), family.pad_id, dtype=np.int64)
    valid = np.zeros((num_rows, length), dtype=np.bool_)
    masked = np.zeros((num_rows, length), dtype=np.bool_)
    targets = []
    left = _pad_left(pairs, family)
    row = 0
    for part in parts:
        pair, rows = part.pair, slice(row, row + len(part.masks))
        stop = length if left else pair.length
        canvas, target = slice(stop - pair.length, stop), slice(stop - pair.target_length, stop)
        token_ids[rows, canvas] = pair.token_ids
        token_ids[rows, target][part.masks] = family.mask_id
        valid[rows, canvas] = True
        masked[rows, target] = part.masks
        targets.append(np.broadcast_to(pair.target, part.masks.shape)[part.masks])
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
    if left:
        return slice(length - max(pair.target_length for pair in pairs), length)
    return slice(min(len(pair.context) for pair in pairs), length)
