"""Some columns of a canvas as tensors that share its memory.

Made once and used at every step of a block. Knows tensors alone; `canvas.py` makes them.
"""

from dataclasses import dataclass

from torch import Tensor


@dataclass(frozen=True, kw_only=True, eq=False)
class Area:
    """Views of a canvas, (batch, columns) each: what is written to one is written to the canvas."""

    tokens: Tensor
    """int64."""
    step_set: Tensor
    """int64: see `Canvas.step_set`."""
    broken: Tensor
    """bool: see `Canvas.broken`."""
    places: Tensor
    """(columns,) int64, no view: 0, 1, 2, ..."""
    open: Tensor
    """bool, no view: positions of working rows that may be written."""
    active: Tensor
    """The canvas's own, of which `open` was made."""
    given: Tensor
    """The canvas's own, of which `open` was made."""
