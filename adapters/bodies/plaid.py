"""Plaid's transformer over latents, and its reading of tokens.

Knows layers and tensors; knows no file and no family. Written from igul222/plaid (commit e7d5cf87)
lib/models.py and lib/rotary.py, its fused kernels (apex RMS norm, flash-attention, FusedMLP with
its default activation, gelu by tanh) in plain torch. `plaid.py` fills in the weights.
"""

import math
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional

from dllm_eval.attention import attend

from .rotary import Rotary, rotated

READOUT_BASE_WIDTH = 256
"""mup's base model: the readout is scaled by this over the width (train.py, create_modules)."""
NORM_EPS = 1e-5
NUM_FREQUENCIES = 32
ROTARY_THETA = 10000.0


@dataclass(frozen=True, kw_only=True)
class PlaidShape:
    """Sizes, by the names of sample.py's options."""

    vocab_size: int
    embed_dim: int
    dim: int
    n_blocks: int
    n_heads: int


class _RmsNorm(nn.Module):
    def __init__(self, width: int) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.empty(width))

    def forward(self, hidden: Tensor) -> Tensor:
        return functional.rms_norm(hidden, (hidden.shape[-1],), self.weight, eps=NORM_EPS)


class _Mlp(nn.Module):
    def __init__(self, width: int) -> None:
        super().__init__()
        self.fc1 = nn.Linear(width, 4 * width, bias=False)
        self.fc2 = nn.Linear(4 * width, width, bias=False)

    def forward(self, hidden: Tensor) -> Tensor:
        out: Tensor = self.fc2(functional.gelu(self.fc1(hidden), approximate="tanh"))
        return out


class _Block(nn.Module):
    """Pre-norm attention and MLP, each added with the residual scale 1 / sqrt(blocks)."""

    def __init__(self, shape: PlaidShape) -> None:
        super().__init__()
        self.num_heads = shape.n_heads
        self.residual_scale = shape.n_blocks**-0.5
        self.rmsnorm1 = _RmsNorm(shape.dim)
        self.attn_qkv = nn.Linear(shape.dim, 3 * shape.dim, bias=False)
        self.attn_out = nn.Linear(shape.dim, shape.dim, bias=False)
        self.rmsnorm2 = _RmsNorm(shape.dim)
        self.mlp = _Mlp(shape.dim)

    def forward(self, hidden: Tensor, angles: tuple[Tensor, Tensor], mask: Tensor | None) -> Tensor:
        projected = self.attn_qkv(self.rmsnorm1(hidden))
        query, key, value = (
            part.unflatten(-1, (self.num_heads, -1)).transpose(1, 2)
            for part in projected.chunk(3, dim=-1)
        )
        mixed = attend(rotated(query, angles), rotated(key, angles), value, mask=mask)
        added = self.attn_out(mixed.transpose(1, 2).flatten(2))
        hidden = hidden + self.residual_scale * added
        out: Tensor = hidden + self.residual_scale * self.mlp(self.rmsnorm2(hidden))
        return out


class PlaidBody(nn.Module):
    """z_t, gamma and the last prediction in; token logits and predicted clean latents out."""

    def __init__(self, shape: PlaidShape, device: torch.device) -> None:
        super().__init__()
        self.shape = shape
        with torch.device("meta"):
            self.input_linear = nn.Linear(shape.embed_dim, shape.dim, bias=False)
            self.selfcond_linear = nn.Linear(shape.embed_dim, shape.dim, bias=False)
            self.gamma_linear = nn.Linear(2 * NUM_FREQUENCIES, shape.dim, bias=False)
            self.blocks = nn.ModuleList(_Block(shape) for _ in range(shape.n_blocks))
            self.output_norm = _RmsNorm(shape.dim)  # holds the weight of a layer norm
            self.output_linear = nn.Linear(shape.dim, shape.vocab_size)
        self.block_dtype = torch.float32
        """What the blocks compute in; all around them stays float32."""
        self.rotary = Rotary(
            width=shape.dim // shape.n_heads,
            theta=ROTARY_THETA,
            full_precision=False,
            device=device,
        )

    def forward(
        self,
        latents: Tensor,
        predicted: Tensor,
        *,
        gamma: Tensor,
        embeddings: Tensor,
        mask: Tensor | None,
        positions: Tensor,
    ) -> tuple[Tensor, Tensor]:
        """One pass.

        Args:
            latents: (batch, length, embed_dim) float32, z_t.
            predicted: As latents, the clean latents of the step before, 0 at the first.
            gamma: (batch,) float32, log(sigma^2 / alpha^2).
            embeddings: (vocab, embed_dim) float32, every row of length 1.
            mask: (batch or 1, 1, length, length or 1) bool, True = may look; None sees everything.
            positions: (batch or 1, length) int64.

        Returns:
            (batch, length, vocab) logits and (batch, length, embed_dim) clean latents, float32.
        """
        kept, noise = (torch.sigmoid(sign * gamma)[:, None, None] for sign in (-1, 1))
        width = self.shape.embed_dim
        hidden = self.input_linear(latents / (kept / width + noise).sqrt())
        hidden = hidden + self.selfcond_linear(predicted * math.sqrt(width))
        hidden = hidden + self.gamma_linear(_waves(gamma))[:, None]
        hidden = hidden.to(self.block_dtype)
        angles = self.rotary(hidden, positions)
        for block in self.blocks:
            hidden = block(hidden, angles, mask)
        hidden = functional.layer_norm(hidden.float(), (self.shape.dim,))
        hidden = hidden * self.output_norm.weight * (READOUT_BASE_WIDTH / self.shape.dim)
        # What z_t itself says of its token: the log-likelihood of each embedding, up to a constant.
        evidence = (kept.sqrt() / noise) * latents @ embeddings.T
        logits = self.output_linear(hidden) + evidence
        return logits, logits.softmax(dim=-1) @ embeddings


def _waves(gamma: Tensor) -> Tensor:
    """(batch, 64) float32 sines and cosines of gamma."""
    steps = torch.linspace(-5.0, 5.0, NUM_FREQUENCIES, dtype=torch.float64, device=gamma.device)
    waves = steps.exp() * gamma.double()[:, None]
    return torch.cat([waves.sin(), waves.cos()], dim=1).float()
