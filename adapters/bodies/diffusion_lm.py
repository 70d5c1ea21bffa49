"""Diffusion-LM's network over latents: a BERT encoder between two small projections.

Knows layers and tensors; knows no file and no family. Written from XiangLi1999/Diffusion-LM
(commit 759889d5) improved_diffusion/transformer_model2.py, TransformerNetModel2, and BERT's layer
(arXiv 1810.04805). `diffusion_lm.py` fills in the weights, under the published names.
"""

import math
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional

from dllm_eval.attention import attend

NORM_EPS = 1e-12
LONGEST_PERIOD = 10000.0


@dataclass(frozen=True, kw_only=True)
class DiffusionLmShape:
    """Sizes: training_args.json's names, and those of the BERT configuration."""

    vocab_size: int
    in_channel: int
    num_channels: int
    hidden_size: int
    intermediate_size: int
    num_hidden_layers: int
    num_attention_heads: int
    max_position_embeddings: int


def _norm(width: int) -> nn.LayerNorm:
    return nn.LayerNorm(width, eps=NORM_EPS)


class _SelfAttention(nn.Module):
    def __init__(self, shape: DiffusionLmShape) -> None:
        super().__init__()
        self.num_heads = shape.num_attention_heads
        self.query = nn.Linear(shape.hidden_size, shape.hidden_size)
        self.key = nn.Linear(shape.hidden_size, shape.hidden_size)
        self.value = nn.Linear(shape.hidden_size, shape.hidden_size)

    def forward(self, hidden: Tensor, mask: Tensor | None) -> Tensor:
        query, key, value = (
            layer(hidden).unflatten(-1, (self.num_heads, -1)).transpose(1, 2)
            for layer in (self.query, self.key, self.value)
        )
        return attend(query, key, value, mask=mask).transpose(1, 2).flatten(2)


class _AddAndNorm(nn.Module):
    """Projects, adds what went around, normalises."""

    def __init__(self, into: int, width: int) -> None:
        super().__init__()
        self.dense = nn.Linear(into, width)
        self.LayerNorm = _norm(width)

    def forward(self, hidden: Tensor, around: Tensor) -> Tensor:
        out: Tensor = self.LayerNorm(self.dense(hidden) + around)
        return out


class _Layer(nn.Module):
    def __init__(self, shape: DiffusionLmShape) -> None:
        super().__init__()
        width, inner = shape.hidden_size, shape.intermediate_size
        self.attention = nn.ModuleDict(
            {"self": _SelfAttention(shape), "output": _AddAndNorm(width, width)}
        )
        self.intermediate = nn.ModuleDict({"dense": nn.Linear(width, inner)})
        self.output = _AddAndNorm(inner, width)

    def forward(self, hidden: Tensor, mask: Tensor | None) -> Tensor:
        mixed = self.attention["self"](hidden, mask)
        hidden = self.attention["output"](mixed, hidden)
        out: Tensor = self.output(functional.gelu(self.intermediate["dense"](hidden)), hidden)
        return out


class _Encoder(nn.Module):
    def __init__(self, shape: DiffusionLmShape) -> None:
        super().__init__()
        self.layer = nn.ModuleList(_Layer(shape) for _ in range(shape.num_hidden_layers))

    def forward(self, hidden: Tensor, mask: Tensor | None) -> Tensor:
        for layer in self.layer:
            hidden = layer(hidden, mask)
        return hidden


class DiffusionLmBody(nn.Module):
    """z_t and the time in, the network's x_start out; and the table of token embeddings."""

    def __init__(self, shape: DiffusionLmShape) -> None:
        super().__init__()
        self.shape = shape
        width, latent = shape.hidden_size, shape.in_channel
        self.word_embedding = nn.Embedding(shape.vocab_size, latent)
        self.lm_head_bias = nn.Parameter(torch.empty(shape.vocab_size))
        self.time_embed = nn.Sequential(
            nn.Linear(shape.num_channels, 4 * shape.num_channels),
            nn.SiLU(),
            nn.Linear(4 * shape.num_channels, width),
        )
        self.input_up_proj = nn.Sequential(
            nn.Linear(latent, width), nn.Tanh(), nn.Linear(width, width)
        )
        self.input_transformers = _Encoder(shape)
        self.position_embeddings = nn.Embedding(shape.max_position_embeddings, width)
        self.LayerNorm = _norm(width)
        self.output_down_proj = nn.Sequential(
            nn.Linear(width, width), nn.Tanh(), nn.Linear(width, latent)
        )

    def forward(
        self, latents: Tensor, *, step: Tensor, mask: Tensor | None, positions: Tensor
    ) -> Tensor:
        """Predicted x_start, (batch, length, in_channel).

        Args:
            latents: (batch, length, in_channel), z_t.
            step: (batch,) float, the chain's step from 0, rescaled where the training was.
            mask: (batch or 1, 1, length, length or 1) bool, True = may look; None sees everything.
            positions: (batch or 1, length) int64.
        """
        waves = _waves(step, self.shape.num_channels).to(self.LayerNorm.weight.dtype)
        hidden = self.position_embeddings(positions) + self.input_up_proj(latents)
        hidden = self.LayerNorm(hidden + self.time_embed(waves)[:, None])
        out: Tensor = self.output_down_proj(self.input_transformers(hidden, mask))
        return out


def _waves(step: Tensor, width: int) -> Tensor:
    """(batch, width) float32 cosines and sines of the time (nn.py, timestep_embedding)."""
    half = width // 2
    exponents = torch.arange(half, dtype=torch.float32, device=step.device) / half
    angles = step.float()[:, None] * torch.exp(-math.log(LONGEST_PERIOD) * exponents)
    waves = torch.cat([angles.cos(), angles.sin()], dim=-1)
    return functional.pad(waves, (0, width % 2))
