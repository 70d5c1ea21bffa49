"""D3PM's text model: a T5 decoder without an encoder, every position seeing every other.

Knows layers and tensors; knows no file and no family. `d3pm.py` fills in the weights. Written from
google-research d3pm/text/models.py and flaxformer (commit 399ea3a8): attention is not scaled by the
width, norms have no bias, and relative positions are counted backwards only.
"""

import math
from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor, nn
from torch.nn import functional

from dllm_eval.attention import Rows, at_rows, mask_at_rows

from .body import Body, Columns, rows_by_layer

NORM_EPS = 1e-6


@dataclass(frozen=True, kw_only=True)
class D3pmShape:
    """Sizes of the published TransformerConfig, by its names."""

    vocab_size: int
    emb_dim: int
    num_heads: int
    num_decoder_layers: int
    qkv_dim: int
    mlp_dim: int
    num_steps: int
    relative_attention_num_buckets: int
    relative_attention_max_distance: int


class _Norm(nn.Module):
    """T5's norm: root mean square in float32, a scale and no bias (flaxformer T5LayerNorm)."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.empty(width))

    def forward(self, hidden: Tensor) -> Tensor:
        normed = functional.rms_norm(hidden.float(), (hidden.shape[-1],), eps=NORM_EPS)
        return normed.to(self.weight.dtype) * self.weight


class _Attention(nn.Module):
    def __init__(self, shape: D3pmShape) -> None:
        super().__init__()
        self.num_heads = shape.num_heads
        self.query = nn.Linear(shape.emb_dim, shape.qkv_dim, bias=False)
        self.key = nn.Linear(shape.emb_dim, shape.qkv_dim, bias=False)
        self.value = nn.Linear(shape.emb_dim, shape.qkv_dim, bias=False)
        self.out = nn.Linear(shape.qkv_dim, shape.emb_dim, bias=False)

    def forward(self, hidden: Tensor, bias: Tensor, rows: Rows) -> Tensor:
        def heads(layer: nn.Linear, into: Tensor) -> Tensor:
            projected: Tensor = layer(into)
            return projected.view(*into.shape[:2], self.num_heads, -1).transpose(1, 2)

        query = heads(self.query, at_rows(hidden, rows))
        key, value = heads(self.key, hidden), heads(self.value, hidden)
        # The cache and a boolean mask do not fit a bias that depends on the head.
        mixed = functional.scaled_dot_product_attention(
            query, key, value, attn_mask=mask_at_rows(bias, rows), scale=1.0
        )
        out: Tensor = self.out(mixed.transpose(1, 2).flatten(2))
        return out


class _Mlp(nn.Module):
    def __init__(self, shape: D3pmShape) -> None:
        super().__init__()
        self.wi = nn.Linear(shape.emb_dim, shape.mlp_dim, bias=False)
        self.wo = nn.Linear(shape.mlp_dim, shape.emb_dim, bias=False)

    def forward(self, hidden: Tensor) -> Tensor:
        out: Tensor = self.wo(functional.gelu(self.wi(hidden), approximate="tanh"))
        return out


class _Layer(nn.Module):
    def __init__(self, shape: D3pmShape) -> None:
        super().__init__()
        self.pre_self_attention_layer_norm = _Norm(shape.emb_dim)
        self.self_attention = _Attention(shape)
        self.pre_mlp_layer_norm = _Norm(shape.emb_dim)
        self.mlp = _Mlp(shape)

    def forward(self, hidden: Tensor, bias: Tensor, rows: Rows) -> Tensor:
        inner = self.pre_self_attention_layer_norm(hidden)
        hidden = at_rows(hidden, rows) + self.self_attention(inner, bias, rows)
        out: Tensor = hidden + self.mlp(self.pre_mlp_layer_norm(hidden))
        return out


class D3pmBody(Body):
    """Token and time embedding, layers and final norm.

    The time is the step of the chain divided by its number of steps; there is no cache, as every
    position sees every other.
    """

    narrows: ClassVar[bool] = True

    def __init__(self, shape: D3pmShape) -> None:
        super().__init__()
        self.shape = shape
        self.token_embedder = nn.Embedding(shape.vocab_size, shape.emb_dim)
        self.timestep_embedder = nn.Embedding(shape.num_steps, shape.emb_dim)
        self.relpos_bias = nn.Parameter(
            torch.empty(shape.num_heads, shape.relative_attention_num_buckets)
        )
        self.layers = nn.ModuleList(_Layer(shape) for _ in range(shape.num_decoder_layers))
        self.decoder_norm = _Norm(shape.emb_dim)

    def hidden(self, columns: Columns) -> Tensor:
        """See `Body`."""
        if columns.time is None:
            raise TypeError("a D3PM model is told the time")
        step = (columns.time * self.shape.num_steps).round().long()
        # The table has no row for the last step; jax reads the row before it instead.
        step = step.clamp(max=self.shape.num_steps - 1)
        hidden = self.token_embedder(columns.ids) + self.timestep_embedder(step)[:, None]
        bias = self._bias(columns.table, columns.positions)
        for layer, rows in zip(self.layers, rows_by_layer(columns, len(self.layers)), strict=True):
            hidden = layer(hidden, bias, rows)
        out: Tensor = self.decoder_norm(hidden)
        return out

    def _bias(self, mask: Tensor | None, positions: Tensor) -> Tensor:
        """(batch or 1, heads, length, length), minus infinity where a query may not look."""
        bucket = backward_bucket(
            positions[:, :, None] - positions[:, None, :],
            self.shape.relative_attention_num_buckets,
            self.shape.relative_attention_max_distance,
        )
        bias = self.relpos_bias[:, bucket].transpose(0, 1)  # (batch or 1, heads, length, length)
        return bias if mask is None else torch.where(mask, bias, -torch.inf)


def backward_bucket(distance: Tensor, num_buckets: int, max_distance: int) -> Tensor:
    """The bucket of a query's distance to a key before it; all keys behind it share bucket 0.

    flaxformer `RelativePositionBiases._relative_position_bucket` with bidirectional=False, which is
    what d3pm's DecoderLayer asks for although its attention looks both ways.

    Args:
        distance: (...) int64, query position minus key position.
        num_buckets: Half of them hold one distance each, the rest grow with its logarithm.
        max_distance: From here on all distances share the last bucket.
    """
    near = num_buckets // 2
    distance = distance.clamp(min=0)
    growth = torch.log(distance.float() / near + torch.finfo(torch.float32).eps)
    far = near + (growth / math.log(max_distance / near) * (num_buckets - near)).long()
    return torch.where(distance < near, distance, far.clamp(max=num_buckets - 1))
