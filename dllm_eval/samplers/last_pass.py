"""What the forward passes of one step worked on, for the count of positions.

Plain data; knows no canvas and no model. `reader.py` fills it in, `canvas.py` charges it.
"""

from collections.abc import Sequence
from dataclasses import dataclass

from torch import Tensor


@dataclass(frozen=True, kw_only=True)
class LastPass:
    """The forward passes of one step: how many, and over which columns."""

    passes: int = 0
    start: int = 0
    kept: int = 0
    """Columns before this one are held from now on."""
    stop: int = 0
    num_columns: Sequence[int] | Tensor | None = None
    """How many columns each row processed, where they are not the same ones in every row: plain
    numbers, or (batch, 1) int64 where only the device knows them; None where they are those from
    `start` to `stop`."""
