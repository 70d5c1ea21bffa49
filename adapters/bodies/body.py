"""What every network below an output head is called with, stated once.

Knows the calling convention of `dllm_eval.denoiser.ModelDenoiser`; knows no network, no family and
no file. The bodies beside it derive from `Body`.
"""

from abc import ABC, abstractmethod
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from dllm_eval.attention import KeyValues


@dataclass(frozen=True, kw_only=True, eq=False)
class Columns:
    """The columns that one forward pass processes."""

    ids: Tensor
    """(batch, columns) int64."""
    mask: Tensor | None
    """(batch or 1, 1, columns, keys) bool, True = may look; None where everything is seen."""
    positions: Tensor
    """(batch or 1, columns) int64."""
    cache: KeyValues | None
    """Keys and values of the columns before these; only where attention looks back alone."""
    time: Tensor | None
    """(batch,) in [0, 1], the share of noise; None where the family is not told."""


class Body(nn.Module, ABC):
    """Embedding, layers and final norm of a network."""

    def forward(
        self,
        input_ids: Tensor,
        *,
        mask: Tensor | None,
        positions: Tensor | None,
        cache: KeyValues | None = None,
        time: Tensor | None = None,
    ) -> Tensor:
        """Hidden states, (batch, columns, width).

        The arguments are the entries of `Columns`; `positions` None counts from 0.
        """
        if positions is None:
            positions = from_zero(input_ids)
        return self.hidden(
            Columns(ids=input_ids, mask=mask, positions=positions, cache=cache, time=time)
        )

    @abstractmethod
    def hidden(self, columns: Columns) -> Tensor:
        """Hidden states, (batch, columns, width)."""


def from_zero(columns: Tensor) -> Tensor:
    """(1, columns) int64: 0, 1, 2, ..., the positions of (batch, columns, ...) without padding."""
    return torch.arange(columns.shape[1], device=columns.device)[None]
