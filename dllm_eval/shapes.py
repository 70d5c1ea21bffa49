"""The few shapes that compiled passes are padded up to, and the padding of what goes into one.

Knows tensors of a pass and how they are laid out; knows no network, no compiler and no family.
`compiled.py` calls it.
"""

from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional

from dllm_eval.attention import KeyValues

Held = list[tuple[Tensor, Tensor]]
"""Keys and values of finished columns by layer, (batch, heads, columns, width) each."""

COLUMNS = 64
"""Canvases are padded to a multiple of this, shorter ones to a power of two."""

LEAST_COLUMNS = 8
"""Padding of the very short costs nothing."""


@dataclass(frozen=True, kw_only=True)
class Shape:
    """What one graph is compiled for, padding included."""

    batch: int
    columns: int
    held: int
    """Columns that another pass has processed; 0 where this one processes all."""

    @classmethod
    def around(cls, batch: int, columns: int, held: int) -> "Shape":
        """The smallest one that has room."""
        return cls(
            batch=_power_of_two(batch),
            columns=_whole_columns(columns),
            held=0 if held == 0 else max(COLUMNS, _power_of_two(held)),
        )


def padded(table: Tensor, shape: Shape) -> Tensor:
    """(batch or 1, columns) with zeros to the right and below; one row stays one."""
    rows = shape.batch - len(table) if len(table) > 1 else 0
    return functional.pad(table, (0, shape.columns - table.shape[1], 0, rows))


def padded_index(rows: slice | None, shape: Shape, device: torch.device) -> Tensor | None:
    """(1, rows) int64, with some more columns that are cut off again; None stays None."""
    if rows is None:
        return None
    room = min(_whole_columns(rows.stop - rows.start), shape.columns)
    columns = torch.arange(rows.start, rows.start + room, device=device)
    return columns.clamp(max=shape.columns - 1)[None]


def padded_mask(
    mask: Tensor | None, shape: Shape, *, columns: int, held: int, device: torch.device
) -> Tensor | None:
    """Who sees whom, padding hidden: keys are the held columns, then the pass's own.

    Padding itself sees all that a mask names, so that no row is empty.

    Args:
        mask: (batch or 1, 1, columns or 1, held + columns) bool, None where all is seen.
        shape: With padding.
        columns: Without.
        held: Without.
        device: Of the canvas.
    """
    if mask is None:
        if (columns, held) == (shape.columns, shape.held):
            return None
        mask = torch.ones(1, 1, 1, held + columns, dtype=torch.bool, device=device)
    before, own = mask[..., :held], mask[..., held:]
    keys = (
        functional.pad(before, (0, shape.held - held)),
        functional.pad(own, (0, shape.columns - columns)),
    )
    wide = torch.cat(keys, dim=3)
    rows = shape.batch - len(mask) if len(mask) > 1 else 0
    queries = shape.columns - columns if mask.shape[2] > 1 else 0
    return functional.pad(wide, (0, 0, 0, queries, 0, 0, 0, rows), value=True)


def padded_held(cache: KeyValues, shape: Shape) -> Held:
    """Zeros where nothing is held, because attention weighs even what it hides by nought."""
    if cache.length == 0:
        return []
    return [(_padded_block(key, shape), _padded_block(value, shape)) for key, value in cache.held()]


def _padded_block(part: Tensor, shape: Shape) -> Tensor:
    batch, _, columns, _ = part.shape
    room = (0, 0, 0, shape.held - columns, 0, 0, 0, shape.batch - batch)
    return functional.pad(part, room)


def _whole_columns(columns: int) -> int:
    if columns <= COLUMNS:
        return max(LEAST_COLUMNS, _power_of_two(columns))
    return -(-columns // COLUMNS) * COLUMNS


def _power_of_two(number: int) -> int:
    return 1 << (number - 1).bit_length()
