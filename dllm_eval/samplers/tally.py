"""What decoding has cost each request of a batch so far, counted on the host.

The host knows before each pass which rows it works on, and nearly always which columns it
processes; so counting takes nothing of the device's time. Plain numbers, but for passes whose
columns only the device knows. `canvas.py` keeps one.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from itertools import accumulate

import torch
from torch import Tensor


@dataclass(kw_only=True)
class Tally:
    """The steps, passes and positions of every row of a batch."""

    device: torch.device
    nfe: list[int]
    """Forward passes that worked on each row so far."""
    positions: list[int]
    """Token positions that those passes processed, padding excluded, as far as the host knows."""
    unread: Tensor | None = None
    """(batch, 1) int64: positions besides those, which only the device knows."""
    worked: list[Sequence[bool]] = field(default_factory=list)
    """Of every step so far, the rows that it worked on."""

    @classmethod
    def of(cls, num_rows: int, device: torch.device) -> "Tally":
        """Nothing done yet."""
        return cls(device=device, nfe=[0] * num_rows, positions=[0] * num_rows)

    @property
    def steps(self) -> list[int]:
        """How many steps each row has been worked on."""
        return [sum(own) for own in zip(*self.worked, strict=True)] or [0] * len(self.nfe)

    def own_steps(self, row: int, steps: list[int]) -> list[int]:
        """Steps of the batch as steps of one row, from 0; below 0 they stay what they are."""
        own = [rows[row] for rows in self.worked]
        if all(own):
            return steps
        before = list(accumulate(own, initial=0))
        return [step if step < 0 else before[step] for step in steps]

    def charge_step(self, rows: Sequence[bool], columns: Sequence[int] | Tensor, num: int) -> None:
        """Charges a step of `num` passes to some rows; see `charge`."""
        self.worked.append(rows)
        self.nfe = [done + num * on for done, on in zip(self.nfe, rows, strict=True)]
        self.charge(rows, columns, num)

    def charge(self, rows: Sequence[bool], columns: Sequence[int] | Tensor, num: int) -> None:
        """Charges what `num` passes processed.

        Args:
            rows: Whom to charge.
            columns: How many columns each row has in a pass, one per row or (batch, 1) int64.
            num: Passes.
        """
        if isinstance(columns, Tensor):
            more = columns * column_of(rows, self.device) * num
            self.unread = more if self.unread is None else self.unread + more
            return
        charged = zip(self.positions, rows, columns, strict=True)
        self.positions = [done + width * num * on for done, on, width in charged]

    def all_positions(self) -> list[int]:
        """The positions of each row; waits for the device where it alone knows some."""
        if self.unread is None:
            return self.positions
        unread = self.unread[:, 0].tolist()
        return [known + more for known, more in zip(self.positions, unread, strict=True)]


def column_of(values: Sequence[int], device: torch.device) -> Tensor:
    """(batch, 1) bool or int64: one value per row; the host does not wait."""
    if len(set(values)) == 1:
        return torch.full((len(values), 1), values[0], device=device)
    # A copy that blocks would wait for the device.
    return torch.tensor(values).to(device, non_blocking=True)[:, None]
