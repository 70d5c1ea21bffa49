"""A transformers body under our own attention pattern, built without weights.

Knows attention and masks; knows no family and no file. Family loaders call
`transformers_body` and fill in the weights. Transformers' own mask and cache code is left aside: it
waits for the device to look whether anything is padded, and differs between releases.
"""

import torch
from torch import Tensor, nn
from transformers import AttentionInterface, PretrainedConfig, PreTrainedModel

from dllm_eval.attention import KeyValues, attend

from .body import Body, Columns
from .rotary import Rotary

ATTENTION = "dllm_eval"

EMBEDDING = "model.embed_tokens.weight"
"""The parameter of a `TransformersBody` that a tied head shares."""


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


class TransformersBody(Body):
    """Embedding, layers and final norm of a transformers model, which is not told the time."""

    def __init__(self, model: PreTrainedModel) -> None:
        super().__init__()
        self.model = model

    def hidden(self, columns: Columns) -> Tensor:
        """See `Body`."""
        out = self.model(
            input_ids=columns.ids,
            attention_mask=columns.mask,
            position_ids=columns.positions,
            use_cache=False,
            held=columns.cache,
        )
        hidden: Tensor = out.last_hidden_state
        return hidden


def transformers_body(
    model_class: type[PreTrainedModel], config: PretrainedConfig, rotary: Rotary
) -> TransformersBody:
    """A body on the meta device, its rotary table apart, which is where `rotary` put it."""
    config._attn_implementation = ATTENTION
    with torch.device("meta"):
        model = model_class(config)
    model.rotary_emb = rotary
    return TransformersBody(model).eval()
