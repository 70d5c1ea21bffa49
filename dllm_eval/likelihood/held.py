"""Passes of models whose attention looks back: prefixes are read and held, canvases behind them.

Knows the order of passes and who continues whom; nothing of columns, which `look_back` lays out,
and of estimators. `core` calls it.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from torch import Tensor

from dllm_eval.api import Denoiser
from dllm_eval.attention import KeyValues
from dllm_eval.likelihood.batch import Canvases
from dllm_eval.likelihood.budget import Budget
from dllm_eval.likelihood.forward import Reader, read, to_device
from dllm_eval.likelihood.look_back import (
    Branch,
    Layout,
    Prefixes,
    Trunk,
    block_column,
    branch_pass,
    pack,
    trunk_pass,
    trunks,
)


@dataclass(frozen=True, kw_only=True, eq=False)
class _Held:
    """Keys and values of finished columns."""

    keys: KeyValues | None
    """None where nothing is held."""
    width: int
    """Columns up to where the last finished one ends."""
    row_of: Mapping[int, int]
    """Group -> the row that its canvases continue."""


_NOTHING = _Held(keys=None, width=0, row_of={})


def outputs_behind_prefixes(
    denoiser: Denoiser, canvases: Iterable[Canvases], budget: Budget, reader: Reader
) -> Iterator[Tensor]:
    """(reads, columns) of every pass over masked canvases, in their order.

    Args:
        denoiser: A model whose attention looks back.
        canvases: Those of one question side by side, and of one choice within it.
        budget: Bounds every pass, and the finished columns held at once.
        reader: Reduces logits.
    """
    family = denoiser.family

    def read_pass(held: _Held, branches: Sequence[Branch], before: int) -> Iterator[Tensor]:
        layout = Layout(
            trunk_width=before,
            width=block_column(branches, before),
            held=held.keys.length if held.keys else 0,
            row_of=held.row_of,
            family=family,
        )
        for _, output in budget.run(
            layout.placed(branches),
            lambda some: read(denoiser, pack(some, family), held.keys, reader),
        ):
            yield output

    def branches_behind(before: _Held, some: Sequence[Trunk]) -> Iterator[Tensor]:
        every = [branch for trunk in some for branch in trunk.branches]
        for chosen, held in budget.run(every, lambda own: _branches(denoiser, own, before)):
            yield from read_pass(held, chosen, before.width)
            del held  # or the next branches' keys would be made beside these

    for some, held in budget.run(trunks(canvases, family), lambda own: _trunks(denoiser, own)):
        yield from branches_behind(held, some)
        del held


def _trunks(denoiser: Denoiser, chosen: Sequence[Trunk]) -> _Held:
    prefixes = trunk_pass(chosen, denoiser.family)
    return _NOTHING if prefixes is None else _hold(denoiser, prefixes, _NOTHING)


def _branches(denoiser: Denoiser, chosen: Sequence[Branch], before: _Held) -> _Held:
    prefixes = branch_pass(chosen, before.width, denoiser.family)
    return before if prefixes is None else _hold(denoiser, prefixes, before)


def _hold(denoiser: Denoiser, prefixes: Prefixes, before: _Held) -> _Held:
    """Reads finished columns once; where logits are shifted, the last ones are left open."""
    length = prefixes.token_ids.shape[1]
    cache = KeyValues(length)
    if before.keys is not None:
        rows = np.array([before.row_of.get(groups[0], 0) for groups in prefixes.groups])
        cache = _Continued(before.keys.spread(to_device(rows, denoiser)), length)
    cache.keep = length - denoiser.family.logits_shift
    denoiser.logits(
        to_device(prefixes.token_ids, denoiser),
        valid=None if prefixes.valid is None else to_device(prefixes.valid, denoiser),
        rows=slice(length - 1, length),
        cache=cache,
    )
    places = enumerate(prefixes.groups)
    return _Held(
        keys=cache,
        width=length,
        row_of={group: row for row, groups in places for group in groups},
    )


class _Continued(KeyValues):
    """Columns held before, and those of one more pass behind them."""

    def __init__(self, before: KeyValues, capacity: int) -> None:
        super().__init__(capacity)
        self.length = before.length
        self._before = before

    def seen(self, layer: int, key: Tensor, value: Tensor) -> tuple[Tensor, Tensor]:
        """All columns, which are held as they are."""
        self._layers[layer] = self._before.seen(layer, key, value)
        return self._layers[layer]
