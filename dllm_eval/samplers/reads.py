"""The positions that a pass is read at where the output head runs late: the masked ones.

Knows which positions are masked and how many the host counts; knows no model and no rule.
`reveal.py` makes them before a pass, `reader.py` asks for them, `late_head.py` reduces them.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor


@dataclass(frozen=True, kw_only=True)
class Reads:
    """Of each request its masked positions; one that has fewer is filled up with others."""

    masked: Tensor
    """(batch, rows) bool."""
    counts: Sequence[int]
    """At least how many positions of each request are masked; as many are read, so that a request
    draws the same numbers in every batch."""
    rows: Tensor
    """(batch, reads) int64: each request's masked rows in order, then its filling."""
    places: Tensor
    """(batch * reads,) int64: the same as request * rows + row."""

    @classmethod
    def of(cls, masked: Tensor, counts: Sequence[int]) -> "Reads":
        """Finds them without a look at the device; see the attributes for the arguments."""
        batch, width = masked.shape
        rows = masked.byte().argsort(dim=1, descending=True, stable=True)[:, : max(counts)]
        offsets = torch.arange(0, batch * width, width, device=masked.device)[:, None]
        return cls(masked=masked, counts=counts, rows=rows, places=(rows + offsets).flatten())

    def counted(self) -> Tensor:
        """The numbers of the reads that are no filling, (sum of counts,) int64."""
        numbers = torch.arange(len(self.places), device=self.places.device)
        if min(self.counts) == max(self.counts):
            return numbers
        table = numbers.view(self.rows.shape)
        return torch.cat([own[:count] for own, count in zip(table, self.counts, strict=True)])

    def numbers_of(self, places: Tensor) -> Tensor:
        """The numbers of the reads at some places; any number for a place that is not read."""
        numbers = torch.zeros(self.masked.numel(), dtype=torch.int64, device=places.device)
        numbers[self.places] = torch.arange(len(self.places), device=places.device)
        return numbers[places]
