"""Queries, keys and values from one fused projection, the queries at the wanted rows only.

Knows a linear layer whose outputs are query heads, then key heads, then value heads; knows no
attention, no mask and no family. `bailing.py` and `dit.py` call it.
"""

from collections.abc import Sequence

from torch import Tensor, nn
from torch.nn import functional

from dllm_eval.attention import Rows, at_rows


def fused_heads(
    layer: nn.Linear, inner: Tensor, rows: Rows, *, num_heads: int, num_key_heads: int
) -> Sequence[Tensor]:
    """The queries of `rows`, and the keys and values of every column.

    Args:
        layer: width -> (num_heads + 2 * num_key_heads) * head width.
        inner: (batch, columns, width).
        rows: Whose queries are wanted.
        num_heads: Of the queries.
        num_key_heads: Of the keys, and of the values.

    Returns:
        (batch, num_heads, rows, head width) and twice (batch, num_key_heads, columns, head width).
    """
    head_width = layer.out_features // (num_heads + 2 * num_key_heads)
    sizes = [num_heads, num_key_heads, num_key_heads]
    if rows is None:
        whole: Sequence[Tensor] = _heads(layer(inner), head_width).split_with_sizes(sizes, dim=1)
        return whole
    border = num_heads * head_width
    query = _heads(_part(layer, at_rows(inner, rows), slice(0, border)), head_width)
    rest = _heads(_part(layer, inner, slice(border, None)), head_width)
    key, value = rest.split_with_sizes(sizes[1:], dim=1)
    return query, key, value


def _part(layer: nn.Linear, inner: Tensor, outputs: slice) -> Tensor:
    """(batch, columns, outputs): some outputs of the layer."""
    return functional.linear(inner, layer.weight[outputs], _entries(layer.bias, outputs))


def _entries(bias: Tensor | None, outputs: slice) -> Tensor | None:
    return None if bias is None else bias[outputs]


def _heads(flat: Tensor, head_width: int) -> Tensor:
    """(batch, columns, heads * head width) -> (batch, heads, columns, head width)."""
    return flat.view(*flat.shape[:2], -1, head_width).transpose(1, 2)
