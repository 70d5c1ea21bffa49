"""A transformers body under our own attention pattern, built without weights.

Knows attention, rotary positions and masks; knows no family and no file. Family loaders call
`transformers_body` and fill in the weights. Transformers' own mask and cache code is left aside: it
waits for the device to look whether anything is padded, and differs between releases.
"""

import torch
from torch import Tensor, nn
from transformers import AttentionInterface, PretrainedConfig, PreTrainedModel

from dllm_eval.attention import KeyValues, attend

ATTENTION = "dllm_eval"


def _attention(
    module: nn.Module,
    query: Tensor,
    key: Tensor,
    value: Tensor,
    attention_mask: Tensor | None,
    scaling: float | None = None,
    held: KeyValues | None = None,
    **_: object,
) -> tuple[Tensor, None]:
    """`attend` under transformers' calling convention: (batch, heads, length, width)."""
    layer = module.layer_idx
    out = attend(
        query,
        key,
        value,
        mask=attention_mask,
        scaling=scaling,
        cache=held,
        layer=layer if isinstance(layer, int) else 0,
    )
    return out.transpose(1, 2).contiguous(), None


AttentionInterface.register(ATTENTION, _attention)


class Rotary(nn.Module):
    """Cosines and sines of the rotary positions (arXiv 2104.09864).

    Transformers rounds them to the model's type. LLaDA rotates in float32 whatever that type, so
    `full_precision` keeps them, and attention rounds the rotated queries and keys instead.
    """

    def __init__(
        self, *, width: int, theta: float, full_precision: bool, device: torch.device
    ) -> None:
        super().__init__()
        exponents = torch.arange(0, width, 2, dtype=torch.float32, device=device) / width
        self.inverse_frequencies: Tensor
        self.register_buffer("inverse_frequencies", 1.0 / theta**exponents, persistent=False)
        self.full_precision = full_precision

    def forward(self, hidden: Tensor, position_ids: Tensor) -> tuple[Tensor, Tensor]:
        """Two tensors of shape (batch or 1, length, width of a head)."""
        angles = position_ids[..., None].float() * self.inverse_frequencies
        angles = torch.cat([angles, angles], dim=-1)
        dtype = torch.float32 if self.full_precision else hidden.dtype
        return angles.cos().to(dtype), angles.sin().to(dtype)


class TransformersBody(nn.Module):
    """Embedding, layers and final norm of a transformers model, under `denoiser`'s convention."""

    def __init__(self, model: PreTrainedModel) -> None:
        super().__init__()
        self.model = model

    def forward(
        self,
        input_ids: Tensor,
        *,
        mask: Tensor | None,
        positions: Tensor | None,
        cache: KeyValues | None = None,
        time: Tensor | None = None,
    ) -> Tensor:
        """Hidden states, (batch, columns, width).

        Args:
            input_ids: (batch, columns) int64.
            mask: (batch or 1, 1, columns, keys) bool; None where everything is seen.
            positions: (batch or 1, columns) int64; None counts from 0.
            cache: Keys and values of the columns before these.
            time: Unused: no transformers body is told the noise level.
        """
        del time
        out = self.model(
            input_ids=input_ids,
            attention_mask=mask,
            position_ids=positions,
            use_cache=False,
            held=cache,
        )
        hidden: Tensor = out.last_hidden_state
        return hidden


def transformers_body(
    model_class: type[PreTrainedModel], config: PretrainedConfig, rotary: nn.Module
) -> TransformersBody:
    """A body on the meta device, its rotary table apart, which is where `rotary` put it."""
    config._attn_implementation = ATTENTION
    with torch.device("meta"):
        model = model_class(config)
    model.rotary_emb = rotary
    return TransformersBody(model).eval()
