"""A batch of unequal lengths without its padding: every request's positions in one row.

Position by position, layers are given what is there; attention alone has to know where a request
ends. Knows tensors and lengths; nothing of families, layers, weights or samplers. `attention.py`
calls `attend_packed`, `denoiser.py` lays out by a `Packing`; samplers and scoring make one a batch.
"""

import inspect
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import cache
from itertools import groupby
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn import functional

try:
    from torch.nn.attention import varlen
except ImportError:  # torch 2.9 and before
    _VARLEN: Callable[..., Any] | None = None
else:
    _VARLEN = varlen.varlen_attn

Span = tuple[int, int]
"""A request's first column in the padded table, and the one behind its last."""

HALF_PRECISION = (torch.float16, torch.bfloat16)
MOST_HEAD_WIDTH = 256
HEAD_WIDTH_STEP = 8
"""What FlashAttention 2 takes: heads up to 256 wide, in steps of 8 (the checks of mha_varlen_fwd,
csrc/flash_attn/flash_api.cpp of Dao-AILab/flash-attention)."""
LEAST_CAPABILITY = (8, 0)
"""Ampere, where FlashAttention 2 begins."""


@dataclass(frozen=True, kw_only=True, eq=False)
class Packing:
    """Where a padded batch's own positions stand in one row. It takes the place of a mask.

    Each position sees those of its own request. Requests stand in the order of their lengths, so
    that equally long ones lie side by side; what is handed back is in the batch's order again.
    """

    columns: Tensor
    """(positions,) int64: each position in the flattened (batch, length) table."""
    positions: Tensor
    """(1, positions) int64: each one's place in its request."""
    places: Tensor
    """(batch, length) int64, the batch's rows as they stand here: where a column stands in the row.
    Padding names its request's nearest position."""
    back: Tensor | None
    """(batch,) int64: which of the packed requests each row of the batch is; None: the same."""
    order: Tensor | None
    """(batch,) int64: which row of the batch each packed request is; None: the same."""
    lengths: tuple[int, ...]
    """Of each packed request, ascending."""
    bounds: Tensor
    """(batch + 1,) int32: where each request begins in the row, and the end of the last."""
    asked: int | None = None
    """How many positions of each request look, of those that are seen; None: all of them."""

    @classmethod
    def of(cls, spans: Sequence[Span], length: int, device: torch.device) -> "Packing":
        """Lays out a batch; no wait for the device.

        Args:
            spans: Of each row of the batch, none of them empty.
            length: Columns of the padded table.
            device: Of the tokens.
        """
        lengths = np.array([stop - start for start, stop in spans])
        order = np.argsort(lengths, kind="stable")
        in_order, starts = lengths[order], np.array([start for start, _ in spans])[order]
        bounds = np.concatenate([[0], np.cumsum(in_order)])
        positions = np.arange(bounds[-1]) - np.repeat(bounds[:-1], in_order)
        columns = positions + np.repeat(starts + order * length, in_order)
        own = np.arange(length)[None] - starts[:, None]
        places = bounds[:-1, None] + own.clip(0, in_order[:, None] - 1)
        moved = bool((order != np.arange(len(order))).any())

        def there(array: NDArray[np.int64]) -> Tensor:
            return torch.from_numpy(array).to(device, non_blocking=True)

        return cls(
            columns=there(columns),
            positions=there(positions)[None],
            places=there(places),
            back=there(order.argsort()) if moved else None,
            order=there(order) if moved else None,
            lengths=tuple(in_order.tolist()),
            bounds=there(bounds.astype(np.int32)),
        )

    @property
    def num_positions(self) -> int:
        """Of all requests together."""
        return sum(self.lengths)

    def packed(self, table: Tensor) -> Tensor:
        """(batch, length) -> (1, positions)."""
        return table.flatten().index_select(0, self.columns)[None]

    def rows_of(self, columns: slice | Tensor, shift: int = 0) -> Tensor:
        """(1, batch * columns) int64: where columns of the table stand, as many of each request.

        Args:
            columns: The same of every row, or (batch, columns) int64.
            shift: Each is read this many positions before itself, a request's first at itself.
        """
        if isinstance(columns, slice):
            length = self.places.shape[1]
            first, last = max(columns.start - shift, 0), min(columns.stop, length) - shift
            at = self.places[:, first : max(last, 0)]
            before = min(columns.stop, length) - columns.start - at.shape[1]
            if before:
                at = torch.cat([self.places[:, :1].expand(-1, before), at], dim=1)
            return at.reshape(1, -1)
        own = columns if self.order is None else columns.index_select(0, self.order)
        return self.places.gather(1, (own - shift).clamp(min=0)).view(1, -1)

    def unpacked(self, hidden: Tensor) -> Tensor:
        """(1, batch * rows, width) -> (batch, rows, width), in the batch's order."""
        own = hidden.view(len(self.lengths), -1, hidden.shape[2])
        return own if self.back is None else own.index_select(0, self.back)

    def asking(self, rows: int) -> "Packing":
        """The same, seen by this many wanted rows, an equal number of each request."""
        return replace(self, asked=rows // len(self.lengths))

    @property
    def query_bounds(self) -> Tensor:
        """(batch + 1,) int32: `bounds` of the positions that look."""
        if self.asked is None:
            return self.bounds
        stop = (len(self.lengths) + 1) * self.asked
        return torch.arange(0, stop, self.asked, dtype=torch.int32, device=self.bounds.device)


def packed_pass(
    body: nn.Module,
    token_ids: Tensor,
    packing: Packing,
    rows: slice | Tensor,
    *,
    shift: int,
    narrows: bool,
) -> Tensor:
    """Hidden states of a batch whose padding nobody processes, (batch, rows, width).

    Args:
        body: One that says `packs`; see `adapters/bodies/body.py`.
        token_ids: (batch, length) int64.
        packing: Of this table.
        rows: Whose predictions are wanted; see `Packing.rows_of`.
        shift: The family's.
        narrows: Whether the body takes `rows`.
    """
    ids, wanted = packing.packed(token_ids), packing.rows_of(rows, shift)
    if narrows and wanted.shape[1] < ids.shape[1]:
        hidden: Tensor = body(ids, mask=packing, positions=packing.positions, rows=wanted)
    else:
        hidden = body(ids, mask=packing, positions=packing.positions)
        hidden = hidden.index_select(1, wanted[0])
    return packing.unpacked(hidden)


def attend_packed(
    query: Tensor, key: Tensor, value: Tensor, *, packing: Packing, scaling: float | None
) -> Tensor:
    """Softmax attention of each request to itself.

    On CUDA in half precision one call (`has_varlen`); else one for all requests of a length, whose
    answer is bit for bit that of each alone.

    Args:
        query: (1, heads, positions or batch * asked, width).
        key: (1, key heads, positions, width); key heads divide heads.
        value: As key.
        packing: Who stands where.
        scaling: Of the logits; None is 1 / sqrt(width).

    Returns:
        As query.
    """
    if has_varlen(query.device, query.dtype, query.shape[3]):
        out = _in_one_call(query, key, value, packing, scaling)
    else:
        out = _by_length(query, key, value, packing, scaling)
    return out.transpose(0, 1)[None]


def has_varlen(device: torch.device, dtype: torch.dtype, head_width: int) -> bool:
    """Whether torch has one call for sequences of unequal lengths here.

    `torch.nn.attention.varlen.varlen_attn`, whose scale, grouped heads and `num_splits` torch 2.12
    documents; it runs FlashAttention.
    """
    return (
        device.type == "cuda"
        and dtype in HALF_PRECISION
        and head_width <= MOST_HEAD_WIDTH
        and head_width % HEAD_WIDTH_STEP == 0
        and _takes_all_keywords()
        and _capability(device) >= LEAST_CAPABILITY
    )


def _in_one_call(
    query: Tensor, key: Tensor, value: Tensor, packing: Packing, scaling: float | None
) -> Tensor:
    """(positions that look, heads, width)."""
    if _VARLEN is None:
        raise TypeError("this release of torch has no attention of unequal lengths")
    longest = packing.lengths[-1]
    out: Tensor = _VARLEN(
        *(part[0].transpose(0, 1) for part in (query, key, value)),
        packing.query_bounds,
        packing.bounds,
        longest if packing.asked is None else packing.asked,
        longest,
        scale=scaling,
        enable_gqa=query.shape[1] != key.shape[1],
        # Split keys would be added up in an order that hangs on the batch's longest request.
        num_splits=1,
    )
    return out


def _by_length(
    query: Tensor, key: Tensor, value: Tensor, packing: Packing, scaling: float | None
) -> Tensor:
    """(positions that look, heads, width)."""
    outs, first, first_query = [], 0, 0
    for length, group in groupby(packing.lengths):
        count = len(list(group))
        asked = length if packing.asked is None else packing.asked
        own = (
            _side_by_side(query, first_query, count, asked),
            _side_by_side(key, first, count, length),
            _side_by_side(value, first, count, length),
        )
        out = functional.scaled_dot_product_attention(
            *own, scale=scaling, enable_gqa=query.shape[1] != key.shape[1]
        )
        outs.append(out.transpose(1, 2).flatten(0, 1))
        first, first_query = first + count * length, first_query + count * asked
    return torch.cat(outs)


def _side_by_side(table: Tensor, first: int, count: int, length: int) -> Tensor:
    """(count, heads, length, width): some requests of (1, heads, positions, width)."""
    own = table[0, :, first : first + count * length]
    return own.view(len(own), count, length, -1).transpose(0, 1)


@cache
def _takes_all_keywords() -> bool:
    if _VARLEN is None or torch.version.hip is not None:  # ROCm's kernel takes no num_splits
        return False
    return {"scale", "enable_gqa", "num_splits"} <= inspect.signature(_VARLEN).parameters.keys()


@cache
def _capability(device: torch.device) -> tuple[int, int]:
    return torch.cuda.get_device_capability(device)
