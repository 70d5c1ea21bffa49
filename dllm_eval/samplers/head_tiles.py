"""An output head on a CPU, a tile of the vocabulary at a time.

A tile of logits is reduced to a few numbers a row while it lies in the processor's cache, and is
never written to memory; the product is faster too, as its output stays near and its weights are
laid out for it once. The tokens do not depend on the tiles' size. Knows states, a linear head and
row statistics; nothing of masks, rules or models. `late_head.py` decides where it applies.
"""

from collections.abc import Callable

import torch
from torch import Tensor, nn
from torch.nn import functional

from dllm_eval.samplers.row_statistics import RowStatistics, join, join_columns, row_statistics

TILE_COLUMNS = 8192
"""Ids whose logits exist at once."""

TILE_ROWS = 256
"""Rows that exist at once: with `TILE_COLUMNS` 8 MiB of logits, which a shared cache holds."""

Finish = Callable[[Tensor, int], Tensor]
"""Makes of a tile's logits, (copies, rows, columns), and its first id those that count, (rows,
columns); it may overwrite them. Copies are those of guidance."""


class TiledHead:
    """A linear head that only row statistics are wanted of; it holds a copy of the weights.

    Args:
        head: (..., width) -> (..., vocab), on a CPU; its weights are read once, here.
    """

    def __init__(self, head: nn.Linear) -> None:
        self._vocab = head.out_features
        self._tiles = [
            _tile(head, slice(start, start + TILE_COLUMNS))
            for start in range(0, self._vocab, TILE_COLUMNS)
        ]

    def reduce(
        self, states: Tensor, *, finish: Finish, entropy: bool = False, runner_up: bool = False
    ) -> RowStatistics:
        """What `row_statistics` says of the head's logits, which never exist together.

        Args:
            states: (copies, rows, width).
            finish: What is done to a tile of logits first.
            entropy: Whether the entropy is wanted.
            runner_up: Whether the second best is wanted.

        Returns:
            (rows,) each.
        """
        starts = range(0, self._vocab, TILE_COLUMNS)
        found = []
        for rows in torch.split(states, max(1, TILE_ROWS // len(states)), dim=1):
            parts = [
                row_statistics(
                    finish(product(rows), start),
                    entropy=entropy,
                    runner_up=runner_up,
                    overwrite=True,
                )
                for start, product in zip(starts, self._tiles, strict=True)
            ]
            found.append(join_columns(parts, starts))
        return join(found)


def _tile(head: nn.Linear, columns: slice) -> Callable[[Tensor], Tensor]:
    """(..., width) -> (..., columns), a fresh tensor."""
    weight, bias = head.weight[columns], _entries(head.bias, columns)
    if weight.dtype != torch.float32 or not _has_onednn():
        return lambda states: functional.linear(states, weight, bias)
    # oneDNN's product, which functional.linear leaves aside in float32, and its own layout.
    packed = torch.ops.mkldnn._reorder_linear_weight(weight, TILE_ROWS)
    product = torch.ops.mkldnn._linear_pointwise
    return lambda states: product(states, packed, bias, "none", [], "")


def _entries(bias: Tensor | None, columns: slice) -> Tensor | None:
    return None if bias is None else bias[columns]


def _has_onednn() -> bool:
    return bool(torch.backends.mkldnn.is_available())  # type: ignore[no-untyped-call]
