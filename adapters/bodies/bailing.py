"""The Bailing mixture-of-experts body, a module of ours, under our own attention pattern.

Knows layers, routing and partial rotary positions; knows no family, no attention pattern and no
file. LLaDA2.0 and 2.1 are built on it (`llada2.py`); transformers has no class for it. Modules have
the published tensors' names (inclusionAI, `modeling_llada2_moe.py`, kept in ZHZisZZ/dllm ca176752).
"""

from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor, nn
from torch.nn import functional

from dllm_eval.attention import Rows, at_rows, attend, mask_at_rows

from .body import Body, Columns, rows_by_layer
from .fused import fused_heads
from .moe import Experts
from .rotary import Rotary, rotated


@dataclass(frozen=True, kw_only=True)
class BailingShape:
    """The measures of one body."""

    vocab_size: int
    width: int
    num_layers: int
    num_heads: int
    num_key_heads: int
    head_width: int
    inner_width: int
    """Of the dense layers' feed-forward."""
    num_dense_layers: int
    """The first layers, which have no experts."""
    norm_eps: float
    query_key_norm: bool
    query_key_value_bias: bool
    output_bias: bool
    num_experts: int
    num_chosen: int
    """Experts that a token goes through."""
    expert_width: int
    num_shared: int
    """Experts that every token goes through; they are stored as one wider network."""
    num_groups: int
    num_chosen_groups: int
    routed_scale: float


class RootMeanSquareNorm(nn.Module):
    """x / rms(x) in float32, rounded to the model's type and then scaled (arXiv 1910.07467)."""

    def __init__(self, width: int, eps: float) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.empty(width))
        self.eps = eps

    def forward(self, hidden: Tensor) -> Tensor:
        """Over the last axis; any shape."""
        wide = hidden.float()
        wide = wide * torch.rsqrt(wide.square().mean(dim=-1, keepdim=True) + self.eps)
        return self.weight * wide.to(hidden.dtype)


class FeedForward(nn.Module):
    """A gated feed-forward network (arXiv 2002.05202)."""

    def __init__(self, width: int, inner_width: int) -> None:
        super().__init__()
        self.gate_proj = nn.Linear(width, inner_width, bias=False)
        self.up_proj = nn.Linear(width, inner_width, bias=False)
        self.down_proj = nn.Linear(inner_width, width, bias=False)

    def forward(self, hidden: Tensor) -> Tensor:
        """(..., width) to (..., width)."""
        out: Tensor = self.down_proj(functional.silu(self.gate_proj(hidden)) * self.up_proj(hidden))
        return out


class Router(nn.Module):
    """Chooses each token's experts within its best groups of experts.

    Every expert has a score of its own in (0, 1). A bias, which balanced the load in training,
    joins in the choice alone: groups by their two best experts, then experts within the chosen
    groups. The weights are the chosen experts' scores without it (`LLaDA2MoeGate`; the rule is
    DeepSeek-V3's, arXiv 2412.19437 Eq. 12 to 16).
    """

    def __init__(self, shape: BailingShape) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.empty(shape.num_experts, shape.width))
        self.expert_bias = nn.Parameter(torch.empty(shape.num_experts))
        self.shape = shape

    def forward(self, hidden: Tensor) -> tuple[Tensor, Tensor]:
        """Numbers and weights of each token's experts.

        Args:
            hidden: (tokens, width).

        Returns:
            Two tensors (tokens, num_chosen): int64 and float32.
        """
        scores = functional.linear(hidden.float(), self.weight.float()).sigmoid()
        chosen = self._choose(scores + self.expert_bias)
        weights = scores.gather(1, chosen)
        if self.shape.num_chosen > 1:
            weights = weights / (weights.sum(dim=1, keepdim=True) + 1e-20)
        return chosen, weights * self.shape.routed_scale

    def _choose(self, scores: Tensor) -> Tensor:
        grouped = scores.view(len(scores), self.shape.num_groups, -1)  # (tokens, groups, members)
        of_group: Tensor = grouped.topk(2, dim=2).values.sum(dim=2)
        groups = of_group.topk(self.shape.num_chosen_groups, dim=1).indices
        lost = torch.ones_like(of_group, dtype=torch.bool).scatter_(1, groups, False)
        allowed = grouped.masked_fill(lost[..., None], -torch.inf).flatten(1)
        chosen: Tensor = allowed.topk(self.shape.num_chosen, dim=1).indices
        return chosen


class SparseFeedForward(nn.Module):
    """A token's chosen experts, and the shared ones beside them."""

    def __init__(self, shape: BailingShape) -> None:
        super().__init__()
        self.gate = Router(shape)
        self.experts = Experts(
            num_experts=shape.num_experts, width=shape.width, inner_width=shape.expert_width
        )
        self.shared_experts = None
        if shape.num_shared:
            self.shared_experts = FeedForward(shape.width, shape.expert_width * shape.num_shared)

    def forward(self, hidden: Tensor) -> Tensor:
        """(batch, rows, width) to the same; a token's experts do not depend on the others."""
        tokens = hidden.flatten(0, 1)
        chosen, weights = self.gate(tokens)
        out: Tensor = self.experts(tokens, chosen, weights).view_as(hidden)
        return out if self.shared_experts is None else out + self.shared_experts(hidden)


class Attention(nn.Module):
    """Grouped-query attention from one fused projection, the first part of each head rotated."""

    def __init__(self, shape: BailingShape, layer: int) -> None:
        super().__init__()
        fused = (shape.num_heads + 2 * shape.num_key_heads) * shape.head_width
        self.query_key_value = nn.Linear(shape.width, fused, bias=shape.query_key_value_bias)
        if shape.query_key_norm:
            self.query_layernorm = RootMeanSquareNorm(shape.head_width, shape.norm_eps)
            self.key_layernorm = RootMeanSquareNorm(shape.head_width, shape.norm_eps)
        self.dense = nn.Linear(
            shape.num_heads * shape.head_width, shape.width, bias=shape.output_bias
        )
        self.shape, self.layer = shape, layer

    def forward(
        self, hidden: Tensor, turn: tuple[Tensor, Tensor], columns: Columns, rows: Rows
    ) -> Tensor:
        """(batch, columns, width) to (batch, rows, width); `turn` is what `Rotary` gives."""
        query, key, value = fused_heads(
            self.query_key_value,
            hidden,
            rows,
            num_heads=self.shape.num_heads,
            num_key_heads=self.shape.num_key_heads,
        )
        if self.shape.query_key_norm:
            query, key = self.query_layernorm(query), self.key_layernorm(key)
        cosines, sines = turn
        out = attend(
            _partly_rotated(query, (at_rows(cosines, rows), at_rows(sines, rows))),
            _partly_rotated(key, turn),
            value,
            mask=mask_at_rows(columns.mask, rows),
            cache=columns.cache,
            layer=self.layer,
        )
        joined: Tensor = self.dense(out.transpose(1, 2).flatten(2))
        return joined


def _partly_rotated(vectors: Tensor, turn: tuple[Tensor, Tensor]) -> Tensor:
    """(batch, heads, columns, width): the leading part turned by position, the rest as it is."""
    width = turn[0].shape[-1]
    return torch.cat([rotated(vectors[..., :width], turn), vectors[..., width:]], dim=-1)


class Layer(nn.Module):
    """Attention, then a dense or a sparse feed-forward, each behind a norm and beside a bypass."""

    def __init__(self, shape: BailingShape, layer: int) -> None:
        super().__init__()
        self.attention = Attention(shape, layer)
        self.mlp: nn.Module = (
            FeedForward(shape.width, shape.inner_width)
            if layer < shape.num_dense_layers
            else SparseFeedForward(shape)
        )
        self.input_layernorm = RootMeanSquareNorm(shape.width, shape.norm_eps)
        self.post_attention_layernorm = RootMeanSquareNorm(shape.width, shape.norm_eps)

    def forward(
        self, hidden: Tensor, turn: tuple[Tensor, Tensor], columns: Columns, rows: Rows
    ) -> Tensor:
        """(batch, columns, width) to (batch, rows, width)."""
        inner = self.input_layernorm(hidden)
        hidden = at_rows(hidden, rows) + self.attention(inner, turn, columns, rows)
        out: Tensor = hidden + self.mlp(self.post_attention_layernorm(hidden))
        return out


class BailingBody(Body):
    """Embedding, layers and final norm; it is not told the time.

    Args:
        shape: The measures.
        rotary: Its table's width is the part of a head that is rotated.
    """

    narrows: ClassVar[bool] = True

    def __init__(self, shape: BailingShape, rotary: Rotary) -> None:
        super().__init__()
        self.word_embeddings = nn.Embedding(shape.vocab_size, shape.width)
        self.layers = nn.ModuleList(Layer(shape, layer) for layer in range(shape.num_layers))
        self.norm = RootMeanSquareNorm(shape.width, shape.norm_eps)
        self.rotary = rotary

    def hidden(self, columns: Columns) -> Tensor:
        """See `Body`."""
        hidden: Tensor = self.word_embeddings(columns.ids)
        turn = self.rotary(hidden, columns.positions)
        for layer, rows in zip(self.layers, rows_by_layer(columns, len(self.layers)), strict=True):
            hidden = layer(hidden, turn, columns, rows)
        out: Tensor = self.norm(hidden)
        return out
