"""Masked canvases of families whose attention looks back: what lies before is read only once.

Knows parts of pairs, mask sets and columns; knows no estimator and no log-probability. `core` runs
the batches, `score` and `greedy` ask for the cost.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import groupby, islice

import numpy as np
from numpy.typing import NDArray

from dllm_eval.families import Family
from dllm_eval.likelihood.batch import Batch, Prefixes, Request, filled
from dllm_eval.likelihood.blocks import finished
from dllm_eval.likelihood.pair import Pair

Ids = NDArray[np.int64]


def batches_behind_prefixes(
    requests: Iterable[Request], rows_per_forward: int, family: Family
) -> Iterator[Batch]:
    """Packs requests behind the finished beginnings of their pairs.

    Columns are `[prefix | padding | block | padding]`. All parts of a pair share the longest prefix
    among them, and a row sees as much of it as is its own. Every block begins where the longest
    prefix ends, so that block borders line up. With a logit shift of s, the last s positions of a
    prefix are processed again with the block, because its first tokens are read there.

    Args:
        requests: Parts of one pair side by side, see `Request.group`.
        rows_per_forward: The most masked canvases per pass, and the most prefixes held at once.
        family: Its attention says what is finished.
    """
    groups = (list(group) for _, group in groupby(requests, key=lambda request: request.group))
    while chunk := list(islice(groups, rows_per_forward)):
        longest = {group[0].group: _longest(group, family) for group in chunk}
        some = [number for number, ids in longest.items() if len(ids)]
        held = _Held(
            width=max(map(len, longest.values())),
            prefixes=_prefixes([longest[number] for number in some], family),
            place={number: row for row, number in enumerate(some)},
        )
        for pieces in filled((request for group in chunk for request in group), rows_per_forward):
            yield _pack(pieces, held, family)


def cost(requests: Sequence[Request], family: Family) -> tuple[int, int]:
    """What the parts of one pair cost when they are read together.

    Returns:
        Canvases processed, a held prefix being one of them, and the positions in them.
    """
    rows = [len(request.masks) for request in requests]
    own = [request.pair.length - _seen(request.pair, family) for request in requests]
    prefix = len(_longest(requests, family))
    once = 1 if prefix > family.logits_shift else 0
    return sum(rows) + once, once * prefix + sum(n * m for n, m in zip(rows, own, strict=True))


@dataclass(frozen=True, kw_only=True, eq=False)
class _Held:
    """The prefixes of some pairs."""

    width: int
    """Positions of the longest."""
    prefixes: Prefixes | None
    """Those that are not empty."""
    place: Mapping[int, int]
    """Number of a pair -> its prefix's row."""


def _longest(group: Sequence[Request], family: Family) -> Ids:
    last = max((request.pair for request in group), key=lambda pair: finished(pair, family))
    return last.token_ids[: finished(last, family)]


def _seen(pair: Pair, family: Family) -> int:
    """How many leading positions of a pair are read from its prefix."""
    return max(0, finished(pair, family) - family.logits_shift)


def _prefixes(beginnings: Sequence[Ids], family: Family) -> Prefixes | None:
    width = max(map(len, beginnings), default=0)
    if width <= family.logits_shift:
        return None
    token_ids = np.full((len(beginnings), width), family.pad_id, dtype=np.int64)
    valid = np.zeros(token_ids.shape, dtype=np.bool_)
    for row, ids in enumerate(beginnings):
        token_ids[row, : len(ids)] = ids
        valid[row, : len(ids)] = True
    return Prefixes(token_ids=token_ids, valid=None if valid.all() else valid)


def _pack(pieces: list[Request], held: _Held, family: Family) -> Batch:
    # The column of a pair's position 0, were its prefix written right before its block.
    shifts = [held.width - finished(piece.pair, family) for piece in pieces]
    stops = [shift + piece.pair.length for shift, piece in zip(shifts, pieces, strict=True)]
    num_rows = sum(len(piece.masks) for piece in pieces)
    token_ids = np.full((num_rows, max(stops)), family.pad_id, dtype=np.int64)
    valid = np.zeros(token_ids.shape, dtype=np.bool_)
    masked = np.zeros(token_ids.shape, dtype=np.bool_)
    prefix_of = np.zeros(num_rows, dtype=np.int64)
    targets, row = [], 0
    for piece, shift, stop in zip(pieces, shifts, stops, strict=True):
        pair, seen, rows = piece.pair, _seen(piece.pair, family), slice(row, row + len(piece.masks))
        target = slice(shift + pair.start, stop)
        token_ids[rows, :seen] = pair.token_ids[:seen]
        token_ids[rows, shift + seen : stop] = pair.token_ids[seen:]
        token_ids[rows, target][piece.masks] = family.mask_id
        valid[rows, :seen] = valid[rows, shift + seen : stop] = True
        masked[rows, target] = piece.wanted
        prefix_of[rows] = held.place.get(piece.group, 0)
        targets.append(np.broadcast_to(pair.target, piece.masks.shape)[piece.wanted])
        row = rows.stop
    first = min(shift + piece.pair.start for shift, piece in zip(shifts, pieces, strict=True))
    wanted = slice(first, max(stops))
    return Batch(
        token_ids=token_ids,
        valid=None if valid.all() else valid,
        rows=wanted,
        masked=np.flatnonzero(masked[:, wanted]),
        targets=np.concatenate(targets),
        prefixes=held.prefixes,
        prefix_of=prefix_of,
    )
