"""What every network below an output head is called with, stated once.

Knows the calling convention of `dllm_eval.denoiser.ModelDenoiser`; knows no network, no family and
no file. The bodies beside it derive from `Body`.
"""

from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor, nn

from dllm_eval.attention import KeyValues, Mask, Rows
from dllm_eval.packing import Packing


@dataclass(frozen=True, kw_only=True, eq=False)
class Columns:
    """The columns that one forward pass processes."""

    ids: Tensor
    """(batch, columns) int64."""
    mask: Mask
    """Who sees whom; a packed batch only where a body says `packs`."""
    positions: Tensor
    """(batch or 1, columns) int64."""
    cache: KeyValues | None
    """Keys and values of the columns before these; only where attention looks back alone."""
    time: Tensor | None
    """(batch,) in [0, 1], the share of noise; None where the family is not told."""
    rows: Rows = None
    """Those of the columns whose hidden states are wanted; always None where a body narrows not."""

    @property
    def table(self) -> Tensor | None:
        """(batch or 1, 1, columns or 1, keys) bool: the mask, for a body that is never packed."""
        if isinstance(self.mask, Packing):
            raise TypeError("this network takes padded batches alone")
        return self.mask


class Body(nn.Module, ABC):
    """Embedding, layers and final norm of a network.

    All bodies of ours narrow. What lies outside computes its last layer everywhere: DiffusionGemma,
    whose decoder processes nothing but the canvas (its encoder, once a block, would do with the
    last layer's keys and values), and the latent families, whose networks take no tokens.
    """

    narrows: ClassVar[bool] = False
    """Whether it takes `rows`, and so spares its last layer the columns that nobody reads: there
    every column gives a key and a value, but only the wanted ones ask and go on. A network takes
    them by handing each layer its entry of `rows_by_layer`."""

    packs: ClassVar[bool] = False
    """Whether it takes a batch without its padding, one row in which each request sees itself:
    true where no layer but `attend` mixes columns, and nothing but `positions` tells them apart."""

    def forward(
        self,
        input_ids: Tensor,
        *,
        mask: Mask,
        positions: Tensor | None,
        cache: KeyValues | None = None,
        time: Tensor | None = None,
        rows: Rows = None,
    ) -> Tensor:
        """Hidden states, (batch, columns or rows, width).

        The arguments are the entries of `Columns`; `positions` None counts from 0.
        """
        if positions is None:
            positions = from_zero(input_ids)
        return self.hidden(
            Columns(
                ids=input_ids, mask=mask, positions=positions, cache=cache, time=time, rows=rows
            )
        )

    @abstractmethod
    def hidden(self, columns: Columns) -> Tensor:
        """Hidden states, (batch, columns or rows, width)."""


def rows_by_layer(columns: Columns, num_layers: int) -> list[Rows]:
    """Which rows leave each layer: all of them, and behind the last one those that are wanted."""
    return [*[None] * (num_layers - 1), columns.rows]


def from_zero(columns: Tensor) -> Tensor:
    """(1, columns) int64: 0, 1, 2, ..., the positions of (batch, columns, ...) without padding."""
    return torch.arange(columns.shape[1], device=columns.device)[None]
