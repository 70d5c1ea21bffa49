"""The diffusion transformer that MDLM, SEDD and BD3-LM share.

A transformer whose layers are shifted, scaled and gated by the noise level (adaptive layer norm,
DiT, arXiv 2212.09748). Written after models/dit.py of kuleshov-group/mdlm (commit c112c526),
model/transformer.py of louaaron/Score-Entropy-Discrete-Diffusion (0605786d) and
models/hf/modeling_bd3lm.py of kuleshov-group/bd3lms (1c3e8f43), whose arithmetic is one and the
same. Knows tensors; knows no family, no mask pattern, no file and no tokenizer. `dit_weights.py`
fills it.
"""

import math
from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor, nn
from torch.nn import functional

from dllm_eval.attention import Rows, at_rows, attend, mask_at_rows
from dllm_eval.errors import UsageError
from dllm_eval.processes.noise_schedules import total_noise

from .body import Body, Columns, rows_by_layer
from .fused import fused_heads
from .rotary import Rotary, rotated

NUM_FREQUENCIES = 128
"""Cosines, and as many sines, that a noise level is spread over."""
LONGEST_PERIOD = 10000.0
MLP_RATIO = 4


@dataclass(frozen=True, kw_only=True)
class DitConfig:
    """The sizes of one checkpoint.

    Raises:
        UsageError: The heads do not divide the width into halves of even width.
    """

    vocab_size: int
    """Rows of embedding and head, the mask among them."""
    mask_id: int
    width: int
    level_width: int
    """Of the embedded noise level."""
    num_layers: int
    num_heads: int
    time_conditioned: bool = False
    log_weight_offset: float = 0.0
    """Taken off every logit: SEDD's log(vocab_size - 1)."""

    def __post_init__(self) -> None:
        if self.width % (2 * self.num_heads):
            raise UsageError(
                f"a width of {self.width} does not divide into {self.num_heads} heads of even width"
            )


class Norm(nn.Module):
    """Layer norm in float32 with a scale and no bias."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.empty(width))

    def forward(self, hidden: Tensor) -> Tensor:
        """(..., width) -> (..., width) float32."""
        return functional.layer_norm(hidden.float(), self.weight.shape) * self.weight


class NoiseLevel(nn.Module):
    """A noise level as a vector: cosines and sines of it through two linear layers."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.inwards = nn.Linear(2 * NUM_FREQUENCIES, width)
        self.outwards = nn.Linear(width, width)

    def forward(self, level: Tensor) -> Tensor:
        """(batch,) total noise -> (batch, width)."""
        steps = torch.arange(NUM_FREQUENCIES, device=level.device, dtype=torch.float32)
        angles = level.float()[:, None] * torch.exp(
            -math.log(LONGEST_PERIOD) / NUM_FREQUENCIES * steps
        )
        waves = torch.cat([angles.cos(), angles.sin()], dim=-1).to(self.inwards.weight.dtype)
        out: Tensor = self.outwards(functional.silu(self.inwards(waves)))
        return functional.silu(out)


class Layer(nn.Module):
    """Attention and a feed-forward network, each shifted, scaled and gated by the noise level."""

    def __init__(self, config: DitConfig, index: int) -> None:
        super().__init__()
        width, inner = config.width, MLP_RATIO * config.width
        self.index = index
        self.num_heads = config.num_heads
        self.attention_norm = Norm(width)
        self.attention_in = nn.Linear(width, 3 * width, bias=False)
        self.attention_out = nn.Linear(width, width, bias=False)
        self.mlp_norm = Norm(width)
        self.mlp_in = nn.Linear(width, inner)
        self.mlp_out = nn.Linear(inner, width)
        self.modulation = nn.Linear(config.level_width, 6 * width)

    def forward(
        self,
        hidden: Tensor,
        level: Tensor,
        rotary: tuple[Tensor, Tensor],
        columns: Columns,
        rows: Rows,
    ) -> Tensor:
        """(batch, columns, width) float32 -> (batch, rows, width) float32.

        `level` is (batch or 1, level width).
        """
        shifts = self.modulation(level)[:, None].chunk(6, dim=-1)
        shift, scale, gate, mlp_shift, mlp_scale, mlp_gate = shifts
        inner = _modulated(self.attention_norm(hidden), shift, scale).to(level.dtype)
        hidden = at_rows(hidden, rows) + gate * self._attention(inner, rotary, columns, rows)
        inner = _modulated(self.mlp_norm(hidden), mlp_shift, mlp_scale).to(level.dtype)
        inner = functional.gelu(self.mlp_in(inner), approximate="tanh")
        out: Tensor = hidden + mlp_gate * self.mlp_out(inner)
        return out

    def _attention(
        self,
        inner: Tensor,
        rotary: tuple[Tensor, Tensor],
        columns: Columns,
        rows: Rows,
    ) -> Tensor:
        query, key, value = fused_heads(
            self.attention_in,
            inner,
            rows,
            num_heads=self.num_heads,
            num_key_heads=self.num_heads,
        )
        cosines, sines = rotary
        out = attend(
            rotated(query, (at_rows(cosines, rows), at_rows(sines, rows))),
            rotated(key, rotary),
            value,
            mask=mask_at_rows(columns.mask, rows),
            cache=columns.cache,
            layer=self.index,
        )
        projected: Tensor = self.attention_out(out.transpose(1, 2).flatten(2))
        return projected


class DitBody(Body):
    """Everything below the head; one that is not time-conditioned reads zero noise.

    The residual stream is float32 whatever the weights are: the released code runs its layers under
    autocast, which keeps it so.
    """

    narrows: ClassVar[bool] = True
    packs: ClassVar[bool] = True
    """Where it is not told the time: a noise level would be each request's own."""

    def __init__(self, config: DitConfig) -> None:
        super().__init__()
        self.time_conditioned = config.time_conditioned
        self.rotary: Rotary
        self.embedding = nn.Embedding(config.vocab_size, config.width)
        self.level = NoiseLevel(config.level_width)
        self.layers = nn.ModuleList(Layer(config, index) for index in range(config.num_layers))
        self.norm = Norm(config.width)
        self.modulation = nn.Linear(config.level_width, 2 * config.width)

    def hidden(self, columns: Columns) -> Tensor:
        """See `Body`.

        Raises:
            UsageError: A time-conditioned body is given no time.
        """
        hidden = self.embedding(columns.ids).float()
        level = self.level(self._total_noise(columns.time, hidden.device))
        rotary = self.rotary(hidden, columns.positions)
        for layer, rows in zip(self.layers, rows_by_layer(columns, len(self.layers)), strict=True):
            hidden = layer(hidden, level, rotary, columns, rows)
        shift, scale = self.modulation(level)[:, None].chunk(2, dim=-1)
        return _modulated(self.norm(hidden), shift, scale).to(level.dtype)

    def _total_noise(self, time: Tensor | None, device: torch.device) -> Tensor:
        if not self.time_conditioned:
            return torch.zeros(1, device=device)
        if time is None:
            raise UsageError(
                "the model has to be told how much noise is left, which this sampler or estimator "
                "does not say; accepted: transition=analytic, euler or ancestral, and "
                "likelihood=score_entropy"
            )
        return total_noise(time.float())


class DitHead(nn.Linear):
    """Hidden states to logits; the mask is never predicted (SUBS, arXiv 2406.07524, section 3.2).

    Its logit is the lowest finite number, so that no 0 * -inf arises.
    """

    def __init__(self, config: DitConfig) -> None:
        super().__init__(config.width, config.vocab_size)
        self.mask_id = config.mask_id
        self.log_weight_offset = config.log_weight_offset

    def forward(self, hidden: Tensor) -> Tensor:
        """(..., width) -> (..., vocab_size)."""
        logits = super().forward(hidden)
        if self.log_weight_offset:
            # float32: the scores of all tokens are summed, and compared with one.
            logits = logits.float() - self.log_weight_offset
        logits[..., self.mask_id] = torch.finfo(logits.dtype).min
        return logits


def _modulated(hidden: Tensor, shift: Tensor, scale: Tensor) -> Tensor:
    return hidden * (1 + scale) + shift
