"""Masked canvases of families whose attention looks back: what lies before is read only once.

What the choices of a question begin with, its trunk, is read once for all of them; how a choice
goes on, up to the last border within it, once for all of its masked canvases, behind the trunk.
Knows parts of pairs, mask sets and columns; knows no estimator and no log-probability. `core` runs
the passes.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from itertools import groupby

import numpy as np
from numpy.typing import NDArray

from dllm_eval.families import Family
from dllm_eval.likelihood.batch import Batch, Canvases, indices
from dllm_eval.likelihood.blocks import finished
from dllm_eval.likelihood.budget import OneRow
from dllm_eval.likelihood.pair import Pair

Ids = NDArray[np.int64]

HELD_PER_POSITION = 8
"""Held columns that take the room of one processed position: a row's copy of a layer's keys and
values is far smaller than what a layer makes of a position."""


@dataclass(frozen=True, kw_only=True, eq=False)
class Trunk(OneRow):
    """What all canvases of a question begin with, and the choices behind it."""

    ids: Ids
    """Finished; none where too few for a pass of their own."""
    branches: "list[Branch]" = field(default_factory=list)

    @property
    def width(self) -> int:
        """Positions that its pass takes."""
        return len(self.ids)


@dataclass(frozen=True, kw_only=True, eq=False)
class Branch(OneRow):
    """How one choice goes on behind the trunk."""

    trunk: Trunk
    group: int
    ids: Ids
    """From the row's first token: the longest finished beginning among its canvases."""
    canvases: list[Canvases]
    continues: bool
    """Whether it has finished tokens behind the trunk."""

    @property
    def width(self) -> int:
        """Positions that are held for it."""
        return len(self.ids)


@dataclass(frozen=True, kw_only=True, eq=False)
class Prefixes:
    """A pass over finished columns."""

    token_ids: NDArray[np.int64]
    """(batch, columns)"""
    valid: NDArray[np.bool_] | None
    """(batch, columns), False at padding; None where nothing is padded."""
    groups: list[list[int]]
    """(batch,) whose canvases may continue each row."""


@dataclass(frozen=True, kw_only=True, eq=False)
class Layout:
    """Columns `[trunk | padding | rest of the prefix | padding | block | padding]`.

    Every block begins at one column, so that block borders line up, and a row sees as much of the
    prefix as is its own. With a logit shift of s, the last s positions of a prefix are processed
    again in the pass behind it, because its first tokens are read there.
    """

    trunk_width: int
    width: int
    """Where blocks begin."""
    held: int
    """Columns that are held."""
    row_of: Mapping[int, int]
    """Group -> its held row; a group that sees none of the held columns may be missing."""
    family: Family

    def placed(self, branches: Iterable[Branch]) -> "Iterator[Placed]":
        """The branches' canvases."""
        for branch in branches:
            for canvases in branch.canvases:
                yield Placed(canvases=canvases, trunk=len(branch.trunk.ids), layout=self)


@dataclass(frozen=True, kw_only=True, eq=False)
class Placed:
    """Canvases behind what is held."""

    canvases: Canvases
    trunk: int
    """Positions of their trunk."""
    layout: Layout

    @property
    def num_rows(self) -> int:
        """Canvases."""
        return self.canvases.num_rows

    @property
    def shift(self) -> int:
        """The column of the row's first token, were its prefix written right before its block."""
        return self.layout.width - finished(self.canvases.pair, self.layout.family)

    @property
    def width(self) -> int:
        """Positions that each canvas takes in its pass."""
        held = self.layout.held
        return self.shift + self.canvases.pair.length - held + held // HELD_PER_POSITION

    def cut(self, start: int, stop: int) -> "Placed":
        """Some of the canvases."""
        return replace(self, canvases=self.canvases.cut(start, stop))


def trunks(canvases: Iterable[Canvases], family: Family) -> Iterator[Trunk]:
    """Groups canvases that are to be evaluated by question and by choice."""
    for _, question in groupby(canvases, key=lambda piece: piece.question):
        groups = [list(own) for _, own in groupby(question, key=lambda piece: piece.group)]
        beginnings = [_longest(own, family) for own in groups]
        trunk = Trunk(ids=_common(beginnings, family))
        for own, ids in zip(groups, beginnings, strict=True):
            branch = Branch(
                trunk=trunk,
                group=own[0].group,
                ids=ids,
                canvases=own,
                continues=len(ids) > max(len(trunk.ids), family.logits_shift),
            )
            trunk.branches.append(branch)
        yield trunk


def trunk_pass(chosen: Sequence[Trunk], family: Family) -> Prefixes | None:
    """The pass that reads trunks; None where all are empty."""
    some = [trunk for trunk in chosen if len(trunk.ids)]
    width = max((len(trunk.ids) for trunk in some), default=0)
    token_ids = np.full((len(some), width), family.pad_id, dtype=np.int64)
    valid = np.zeros(token_ids.shape, dtype=np.bool_)
    for row, trunk in enumerate(some):
        token_ids[row, : len(trunk.ids)] = trunk.ids
        valid[row, : len(trunk.ids)] = True
    groups = [[branch.group for branch in trunk.branches] for trunk in some]
    return _prefixes(token_ids, valid, groups) if some else None


def branch_pass(chosen: Sequence[Branch], trunk_width: int, family: Family) -> Prefixes | None:
    """The pass that reads how branches go on; None where none does."""
    if not any(branch.continues for branch in chosen):
        return None
    # A row without any token would have nothing to look at.
    some = [branch for branch in chosen if branch.continues or len(branch.trunk.ids)]
    width = block_column(chosen, trunk_width)
    token_ids = np.full((len(some), width), family.pad_id, dtype=np.int64)
    valid = np.zeros(token_ids.shape, dtype=np.bool_)
    for row, branch in enumerate(some):
        seen = max(0, len(branch.trunk.ids) - family.logits_shift)
        shift = trunk_width - len(branch.trunk.ids)
        stop = len(branch.ids) if branch.continues else seen
        for own, columns in (
            (branch.ids[:seen], slice(0, seen)),
            (branch.ids[seen:stop], slice(shift + seen, shift + stop)),
        ):
            token_ids[row, columns] = own
            valid[row, columns] = True
    return _prefixes(token_ids, valid, [[branch.group] for branch in some])


def block_column(chosen: Iterable[Branch], trunk_width: int) -> int:
    """Where blocks begin behind these branches."""
    return max(trunk_width + len(branch.ids) - len(branch.trunk.ids) for branch in chosen)


def pack(pieces: Sequence[Placed], family: Family) -> Batch:
    """Lays canvases out behind what is held."""
    layout = pieces[0].layout
    stops = [piece.shift + piece.canvases.pair.length for piece in pieces]
    first = min(piece.shift + piece.canvases.pair.start for piece in pieces)
    wanted = slice(first, max(stops))
    num_rows = sum(piece.num_rows for piece in pieces)
    token_ids = np.full((num_rows, wanted.stop), family.pad_id, dtype=np.int64)
    valid = np.zeros(token_ids.shape, dtype=np.bool_)
    prefix_of = np.zeros(num_rows, dtype=np.int64)
    masked, row = [], 0
    for piece, stop in zip(pieces, stops, strict=True):
        pair, rows = piece.canvases.pair, slice(row, row + piece.num_rows)
        seen = _seen(pair, family)
        in_trunk = min(seen, max(0, piece.trunk - family.logits_shift))
        behind = layout.trunk_width - piece.trunk
        target = slice(piece.shift + pair.start, stop)
        for own, columns in (
            (pair.token_ids[:in_trunk], slice(0, in_trunk)),
            (pair.token_ids[in_trunk:seen], slice(behind + in_trunk, behind + seen)),
            (pair.token_ids[seen:], slice(piece.shift + seen, stop)),
        ):
            token_ids[rows, columns] = own
            valid[rows, columns] = True
        token_ids[rows, target][piece.canvases.masks] = family.mask_id
        masked.append(indices(piece.canvases, row, target.start, wanted))
        prefix_of[rows] = layout.row_of.get(piece.canvases.group, 0)
        row = rows.stop
    return Batch(
        token_ids=token_ids,
        valid=None if valid.all() else valid,
        rows=wanted,
        masked=np.concatenate(masked),
        targets=np.concatenate([piece.canvases.ids for piece in pieces]),
        prefix_of=prefix_of,
    )


def costs(canvases: Sequence[Canvases], family: Family) -> list[tuple[int, int]]:
    """What each request costs that asked for these canvases first.

    Args:
        canvases: Per request, possibly none.
        family: Its attention says what is finished.

    Returns:
        Canvases processed, a prefix that is held being one of them, and the positions in them; a
        prefix counts at the first of those who share it.
    """
    own = [
        (each.num_rows, each.num_rows * (each.width - _seen(each.pair, family)))
        for each in canvases
    ]
    asking = iter([index for index, each in enumerate(canvases) if each.num_rows])
    for trunk in trunks([each for each in canvases if each.num_rows], family):
        trunk_length, before = len(trunk.ids), max(0, len(trunk.ids) - family.logits_shift)
        extra = [trunk_length] if trunk_length else []
        for branch in trunk.branches:
            extra += [len(branch.ids) - before] if branch.continues else []
            first, *_ = (next(asking) for _ in branch.canvases)
            nfe, positions = own[first]
            own[first] = (nfe + len(extra), positions + sum(extra))
            extra = []
    return own


def _longest(group: Sequence[Canvases], family: Family) -> Ids:
    last = max((piece.pair for piece in group), key=lambda pair: finished(pair, family))
    return last.token_ids[: finished(last, family)]


def _common(beginnings: Sequence[Ids], family: Family) -> Ids:
    """What all begin with, up to a border between blocks."""
    first, length = beginnings[0], min(map(len, beginnings))
    for other in beginnings[1:]:
        differs = np.flatnonzero(first[:length] != other[:length])
        length = int(differs[0]) if len(differs) else length
    length -= length % (family.aligned_block or 1)
    return first[: length if length > family.logits_shift else 0]


def _seen(pair: Pair, family: Family) -> int:
    """How many leading positions of a pair are read from what is held."""
    return max(0, finished(pair, family) - family.logits_shift)


def _prefixes(
    token_ids: NDArray[np.int64], valid: NDArray[np.bool_], groups: list[list[int]]
) -> Prefixes:
    return Prefixes(token_ids=token_ids, valid=None if valid.all() else valid, groups=groups)
