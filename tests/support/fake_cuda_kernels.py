"""What stands in on a CPU for kernels that only a CUDA device has; `fake_cuda.py` calls it."""

from typing import Any

import torch
from torch import Tensor


def on_cpu(func: Any, name: str, args: Any, kwargs: Any) -> Any:
    """By the CPU's kernel, or what stands in for it where only a device has one."""
    if name == "histc" and not args[0].is_floating_point():
        return func(args[0].float(), *args[1:], **kwargs).to(args[0].dtype)
    if name == "_varlen_attn":
        return _attention_by_sequence(*args, **kwargs), args[0].new_empty(0), args[0].new_empty(0)
    return func(*args, **kwargs)


def _attention_by_sequence(
    query: Tensor,
    key: Tensor,
    value: Tensor,
    query_bounds: Tensor,
    key_bounds: Tensor,
    most_queries: int,
    most_keys: int,
    is_causal: bool = False,
    scale: float | None = None,
    *_: Any,
    **__: Any,
) -> Tensor:
    """What torch's `varlen_attn` is documented to give, (positions, heads, width)."""
    if query.dtype not in (torch.float16, torch.bfloat16) or query_bounds.dtype != torch.int32:
        raise TypeError("varlen_attn takes half precision and int32 bounds")
    if is_causal or key_bounds.dtype != torch.int32:
        raise TypeError("this stand-in knows no causal attention, and varlen_attn int32 bounds")
    out, edges = torch.empty_like(query), (query_bounds.tolist(), key_bounds.tolist())
    groups = query.shape[1] // key.shape[1]
    for queries, keys in zip(*(map(slice, ends, ends[1:]) for ends in edges), strict=True):
        if queries.stop - queries.start > most_queries or keys.stop - keys.start > most_keys:
            raise ValueError("a sequence is longer than it was said to be")
        own_keys, own_values = (
            part[keys].float().repeat_interleave(groups, dim=1) for part in (key, value)
        )
        factor = query.shape[2] ** -0.5 if scale is None else scale
        weights = torch.einsum("qhw,khw->hqk", query[queries].float() * factor, own_keys)
        own = torch.einsum("hqk,khw->qhw", weights.softmax(dim=2), own_values)
        out[queries] = own.to(out.dtype)
    return out
