"""A transformers body whose every position sees every other, built without weights.

Knows attention, rotary positions and the validity mask; knows no family and no file. Family
loaders call `full_attention_body` and fill in the weights. Transformers' own mask code is left
aside: it waits for the device to look whether anything is padded, and differs between releases.
"""

from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional
from transformers import AttentionInterface, PretrainedConfig, PreTrainedModel

ATTENTION = "dllm_full"


def _full_attention(
    _module: nn.Module,
    query: Tensor,
    key: Tensor,
    value: Tensor,
    attention_mask: Tensor | None,
    scaling: float | None = None,
    **_: object,
) -> tuple[Tensor, None]:
    """Attention over (batch, heads, length, width) under transformers' calling convention."""
    out = functional.scaled_dot_product_attention(
        query.to(value.dtype),
        key.to(value.dtype),
        value,
        attn_mask=attention_mask,
        scale=scaling,
        enable_gqa=query.shape[1] != key.shape[1],
    )
    return out.transpose(1, 2).contiguous(), None


AttentionInterface.register(ATTENTION, _full_attention)


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
        """Two tensors of shape (batch or 1, length, head width)."""
        angles = position_ids[..., None].float() * self.inverse_frequencies
        angles = torch.cat([angles, angles], dim=-1)
        dtype = torch.float32 if self.full_precision else hidden.dtype
        return angles.cos().to(dtype), angles.sin().to(dtype)


class FullAttentionBody(nn.Module):
    """Embedding, layers and final norm; takes a validity mask instead of an attention mask."""

    def __init__(self, model: PreTrainedModel) -> None:
        super().__init__()
        self.model = model

    def forward(
        self,
        input_ids: Tensor,
        attention_mask: Tensor | None = None,
        position_ids: Tensor | None = None,
        *,
        use_cache: bool = False,
    ) -> Any:  # noqa: ANN401 - transformers' output class
        """Hidden states of every position.

        Args:
            input_ids: (batch, length) int64.
            attention_mask: (batch, length) bool, False at padding; None where nothing is padded.
            position_ids: (batch, length) int64; None counts from 0.
            use_cache: Always False here; full attention has no causal cache.
        """
        # (batch, 1, 1, length): every query may look at every valid key, so no row is empty.
        mask = None if attention_mask is None else attention_mask.bool()[:, None, None, :]
        return self.model(
            input_ids=input_ids, attention_mask=mask, position_ids=position_ids, use_cache=use_cache
        )


def full_attention_body(
    model_class: type[PreTrainedModel], config: PretrainedConfig, rotary: Rotary
) -> FullAttentionBody:
    """A body on the meta device, its rotary table apart, which is where `rotary` put it."""
    config._attn_implementation = ATTENTION
    with torch.device("meta"):
        model = model_class(config)
    model.rotary_emb = rotary
    return FullAttentionBody(model).eval()
