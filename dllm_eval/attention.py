"""Who sees whom: attention patterns as masks, held keys and values, and the one attention call.

Knows tensors and family facts; nothing of layers, weights or samplers. `denoiser.py` asks for the
mask, every body in `adapters/` calls `attend`.
"""

from typing import overload

import torch
from torch import Tensor
from torch.nn import functional

from dllm_eval.families import Family
from dllm_eval.packing import Packing, attend_packed

Columns = slice | Tensor
"""Columns that one pass processes: the same in every row, or (batch, columns) int64."""

Rows = slice | Tensor | None
"""Columns of a pass whose outcome is wanted: a slice of them, (batch, rows) int64, None for all."""

Mask = Tensor | Packing | None
"""(batch or 1, 1, columns or 1, keys) bool, True = may look; packed requests see themselves."""


class KeyValues:
    """Keys and values of finished columns: written once, read by every later pass.

    Exact where attention only looks back: a finished column's keys do not depend on what comes
    behind it. A pass over columns [length, stop) sees the held columns and its own; those before
    `keep` are then held for good.

    Args:
        capacity: Columns of the whole canvas.
    """

    def __init__(self, capacity: int) -> None:
        self.capacity = capacity
        self.length = 0
        """Columns held."""
        self.keep = 0
        """Columns that are held after the pass in progress."""
        self._layers: dict[int, tuple[Tensor, Tensor]] = {}

    def seen(self, layer: int, key: Tensor, value: Tensor) -> tuple[Tensor, Tensor]:
        """Held and new keys and values of one layer, (batch, heads, columns, width) each.

        The new ones are written behind the held ones, over what an earlier pass left there.
        """
        stop = self.length + key.shape[2]
        keys, values = self._room(layer, key, value)
        keys[:, :, self.length : stop] = key
        values[:, :, self.length : stop] = value
        return keys[:, :, :stop], values[:, :, :stop]

    def held(self) -> list[tuple[Tensor, Tensor]]:
        """The held keys and values by layer, (batch, heads, `length`, width) each."""
        layers = (self._layers[layer] for layer in sorted(self._layers))
        return [(keys[:, :, : self.length], values[:, :, : self.length]) for keys, values in layers]

    def _room(self, layer: int, key: Tensor, value: Tensor) -> tuple[Tensor, Tensor]:
        """What holds a layer's keys and values, (batch, heads, capacity, width) each."""
        if layer not in self._layers:
            self._layers[layer] = tuple(  # type: ignore[assignment]
                new.new_empty(*new.shape[:2], self.capacity, new.shape[3]) for new in (key, value)
            )
        return self._layers[layer]

    def columns(self, behind: slice) -> Columns:
        """What the next pass processes, of the columns `behind` the held ones: all of them."""
        return behind

    def advance(self) -> None:
        """Ends a pass: the columns before `keep` are held."""
        self.length = max(self.length, self.keep)

    def spread(self, rows: Tensor) -> "KeyValues":
        """The held columns under a batch in which row i continues row `rows[i]`; it holds no more.

        Args:
            rows: (batch,) int64.
        """
        return _Spread(self, rows)


class _Spread(KeyValues):
    """Held columns that several rows of a batch share; a layer's copy of them ends with its use."""

    def __init__(self, held: KeyValues, rows: Tensor) -> None:
        super().__init__(held.capacity)
        self.length = self.keep = held.length
        self._layers = held._layers
        self._rows = rows

    def seen(self, layer: int, key: Tensor, value: Tensor) -> tuple[Tensor, Tensor]:
        held = (part[:, :, : self.length] for part in self._layers[layer])
        keys, values = (
            torch.cat([old.index_select(0, self._rows), new], dim=2)
            for old, new in zip(held, (key, value), strict=True)
        )
        return keys, values


class StaleKeyValues(KeyValues):
    """Keys and values of every column, each as of the last pass that processed it.

    Approximate: under full attention a column's keys change with every token that does. The first
    pass has to process every column. Arguments as of `KeyValues`.
    """

    def __init__(self, capacity: int) -> None:
        super().__init__(capacity)
        self.everything = slice(0, capacity)
        self.next: Columns = self.everything
        """What the next pass processes. A row may name one of its columns twice."""
        self.read: slice | None = None
        """Which columns of a tensor `next` are read; None for all."""

    def columns(self, behind: slice) -> Columns:
        """See `next`."""
        del behind
        return self.next

    def seen(self, layer: int, key: Tensor, value: Tensor) -> tuple[Tensor, Tensor]:
        """All of one layer, after the new ones have taken their columns' places."""
        held = self._room(layer, key, value)
        for old, new in zip(held, (key, value), strict=True):
            if isinstance(self.next, slice):
                old[:, :, self.next] = new
            else:
                old.scatter_(2, self.next[:, None, :, None].expand_as(new), new)
        return held


def at_columns(table: Tensor, columns: Columns) -> Tensor:
    """What a (batch or 1, length) table says at the columns of a pass, (batch or 1, columns)."""
    if isinstance(columns, slice):
        return table[:, columns]
    return table.expand(len(columns), -1).gather(1, columns)


def at_rows(hidden: Tensor, rows: Rows) -> Tensor:
    """(batch, rows, width): those of a pass's (batch, columns, width) that are wanted."""
    if rows is None:
        return hidden
    if isinstance(rows, slice):
        return hidden[:, rows]
    if len(rows) == 1:
        return hidden.index_select(1, rows[0])
    return hidden.take_along_dim(rows[..., None], dim=1)


@overload
def mask_at_rows(mask: Tensor, rows: Rows) -> Tensor: ...
@overload
def mask_at_rows(mask: Mask, rows: Rows) -> Mask: ...
def mask_at_rows(mask: Mask, rows: Rows) -> Mask:
    """What the wanted rows see; of a packed batch, as many of each request."""
    if isinstance(mask, Packing):
        return mask.asking(rows.shape[1]) if isinstance(rows, Tensor) else mask
    if mask is None or rows is None or mask.shape[2] == 1:
        return mask
    if isinstance(rows, slice):
        return mask[:, :, rows]
    return mask.take_along_dim(rows[:, None, :, None], dim=2)


def attend(
    query: Tensor,
    key: Tensor,
    value: Tensor,
    *,
    mask: Mask,
    scaling: float | None = None,
    cache: KeyValues | None = None,
    layer: int = 0,
) -> Tensor:
    """Softmax attention, (batch, heads, columns, width).

    Args:
        query: (batch, heads, columns, width).
        key: (batch, key heads, columns, width); key heads divide heads.
        value: As key.
        mask: Who sees whom, of the keys seen. A packed batch has no cache.
        scaling: Of the logits; None is 1 / sqrt(width).
        cache: Holds the keys of other columns, None where there are none.
        layer: Which of the cache's layers this is.
    """
    query, key = query.to(value.dtype), key.to(value.dtype)
    if isinstance(mask, Packing):
        return attend_packed(query, key, value, packing=mask, scaling=scaling)
    if cache is not None:
        key, value = cache.seen(layer, key, value)
    return functional.scaled_dot_product_attention(
        query,
        key,
        value,
        attn_mask=mask,
        scale=scaling,
        enable_gqa=query.shape[1] != key.shape[1],
    )


def positions_of(valid: Tensor) -> Tensor:
    """(batch, length) int64: each column's place among its row's own tokens, padding apart."""
    return (valid.cumsum(dim=1) - 1).clamp(min=0)


def stop_of(family: Family, rows: slice, length: int) -> int:
    """Behind the last column that logits at `rows` depend on; the rest need not be processed.

    Blocks are taken to begin at whole multiples of their length, as an unpadded text's do.
    """
    if family.attention == "full":
        return length
    stop: int = rows.stop
    block = family.aligned_block
    if block is not None:
        last = max(stop - 1 - family.logits_shift, 0)
        stop = max(stop, (last // block + 1) * block)
    return min(stop, length)


def attention_mask(
    family: Family, token_ids: Tensor, *, valid: Tensor | None, columns: slice, rows: slice
) -> Tensor | None:
    """The family's attention pattern over a batch.

    Args:
        family: Its `attention` names the pattern:
            full: every position sees every other;
            block_causal: a position sees its own block and those before (SDAR, LLaDA2);
            causal_context: everything is read causally but the rows asked for, which see each
            other too (NBDiff);
            reordered: as if revealed tokens came first and masked ones behind them, both in
            reading order, under causal attention (WeDLM).
        token_ids: (batch, length) int64.
        valid: (batch, length) bool, False at padding; None where nothing is padded.
        columns: The columns that look; they may look at [0, columns.stop).
        rows: The columns whose logits are wanted.

    Returns:
        (batch or 1, 1, columns, keys) bool, or None where everything is seen. Padding sees all that
        is not padding, so that no row is empty.
    """
    keys = slice(0, columns.stop)
    seen = None if valid is None else valid[:, None, None, keys]
    if family.attention == "full" or _sees_all(family, columns, rows):
        return seen
    if valid is None:
        places = torch.arange(columns.stop, device=token_ids.device)[None]
    else:
        places = positions_of(valid[:, keys])
    query, key = places[:, columns, None], places[:, None, keys]
    length = family.block_length or 1
    if family.attention == "block_causal":
        pattern = query // length >= key // length
    elif family.attention == "causal_context":
        looking = torch.arange(columns.start, columns.stop, device=token_ids.device)
        pattern = (key <= query) | (looking >= rows.start)[None, :, None]
    else:
        masked = token_ids[:, keys] == family.mask_id
        asking, asked = masked[:, columns, None], masked[:, None, keys]
        pattern = torch.where(asking & ~asked, True, (key <= query) & (asking | ~asked))
    pattern = pattern[:, None]
    if valid is None or seen is None:
        return pattern
    return (pattern | ~valid[:, None, columns, None]) & seen


def shadow_mask(token_ids: Tensor, *, valid: Tensor | None, rows: slice) -> Tensor:
    """Full attention over a canvas, and over a shadow of some rows that stands behind it.

    Every canvas position sees the canvas alone. The shadow of a row sees the canvas but the row,
    and the whole shadow.

    Args:
        token_ids: (batch, length) int64.
        valid: (batch, length) bool, False at padding; None where nothing is padded.
        rows: What the shadow repeats.

    Returns:
        (batch or 1, 1, length + rows, length + rows) bool, True where a query may look.
    """
    length, width = token_ids.shape[1], rows.stop - rows.start
    places = torch.arange(length + width, device=token_ids.device)
    query, key = places[:, None], places[None]
    hidden = torch.where(query < length, key >= length, key == query - length + rows.start)
    if valid is None:
        return ~hidden[None, None]
    seen = torch.cat([valid, valid[:, rows]], dim=1)
    return ~hidden & seen[:, None, None]


def _sees_all(family: Family, columns: slice, rows: slice) -> bool:
    """Whether a pattern that looks back leaves nothing out for these columns."""
    if family.attention == "causal_context":
        return int(columns.start) >= int(rows.start)
    length = family.aligned_block
    return length is not None and columns.start // length == (columns.stop - 1) // length
