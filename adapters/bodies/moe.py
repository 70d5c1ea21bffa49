"""Routed experts (arXiv 1701.06538): each token through the few expert networks its router chose.

Knows gated feed-forward experts and how tokens are grouped by expert; knows no family and no
routing rule. `bailing.py` uses it, whose routing no transformers class has; `qwen.py` takes
transformers' Qwen3-MoE, which lays its experts out in the same way, and uses the names alone.
"""

import torch
from torch import Tensor, nn
from torch.nn import functional

from dllm_eval.checkpoint import Stack


class Experts(nn.Module):
    """The experts of one layer, one behind the other along a first axis.

    Shapes: gate_up_proj (experts, 2 * inner, width), the gates above what they open;
    down_proj (experts, width, inner).
    """

    def __init__(self, *, num_experts: int, width: int, inner_width: int) -> None:
        super().__init__()
        self.gate_up_proj = nn.Parameter(torch.empty(num_experts, 2 * inner_width, width))
        self.down_proj = nn.Parameter(torch.empty(num_experts, width, inner_width))

    def forward(self, hidden: Tensor, chosen: Tensor, weights: Tensor) -> Tensor:
        """The weighted sum of what each token's experts make of it.

        Args:
            hidden: (tokens, width).
            chosen: (tokens, experts per token) int64, the experts' numbers.
            weights: (tokens, experts per token), in any floating-point type.

        Returns:
            (tokens, width) in the type of `hidden`; summed in that of `weights`.
        """
        order = chosen.flatten().argsort(stable=True)  # (pairs,), pairs of one expert adjacent
        counts = _counts(chosen, len(self.down_proj))
        rows = hidden[order // chosen.shape[1]]
        gate, up = _grouped(rows, self.gate_up_proj, counts).chunk(2, dim=1)
        parts = _grouped(functional.silu(gate) * up, self.down_proj, counts)
        unsorted = torch.empty_like(parts)
        unsorted[order] = parts
        # A sum over a token's own parts, in its router's order, is the same whatever the batch.
        by_token = unsorted.view(*chosen.shape, -1)  # (tokens, experts per token, width)
        return (by_token * weights[..., None]).sum(dim=1).to(hidden.dtype)


def expert_names(native: str, published: str, num_experts: int) -> dict[str, Stack]:
    """Native parameter -> the published tensors, one an expert and part, that it is made of.

    Args:
        native: Name of an `Experts` module.
        published: Prefix of the published tensors, `<published>.<expert>.<part>.weight`.
        num_experts: How many.
    """
    experts = [f"{published}.{expert}" for expert in range(num_experts)]
    inwards = tuple((f"{one}.gate_proj.weight", f"{one}.up_proj.weight") for one in experts)
    outwards = tuple((f"{one}.down_proj.weight",) for one in experts)
    return {f"{native}.gate_up_proj": Stack(inwards), f"{native}.down_proj": Stack(outwards)}


def _counts(chosen: Tensor, num_experts: int) -> Tensor:
    """(experts,) int64: how many pairs each expert has; unlike `bincount`, no wait for a GPU."""
    counts = torch.zeros(num_experts, dtype=torch.int64, device=chosen.device)
    flat = chosen.flatten()
    return counts.scatter_add_(0, flat, torch.ones_like(flat))


def _grouped(rows: Tensor, weight: Tensor, counts: Tensor) -> Tensor:
    """Each group of rows times its own matrix: (pairs, in), (experts, out, in) -> (pairs, out).

    In bfloat16 on a GPU the host need not know the groups' sizes; elsewhere it reads them.
    """
    if rows.is_cuda and rows.dtype == torch.bfloat16 and hasattr(functional, "grouped_mm"):
        ends = counts.cumsum(0).to(torch.int32)
        product: Tensor = functional.grouped_mm(rows, weight.transpose(1, 2), offs=ends)
        return product
    sizes: list[int] = counts.tolist()
    groups = zip(torch.split(rows, sizes), weight, strict=True)
    return torch.cat([group @ matrix.T for group, matrix in groups if len(group)])
