"""A transformers body under our own attention pattern, built without weights.

Knows attention and masks; knows no family and no file. Family loaders call
`transformers_body` and fill in the weights. Transformers' own mask and cache code is left aside: it
waits for the device to look whether anything is padded, and differs between releases.
"""

from typing import Any, ClassVar

import torch
from torch import Tensor, nn
from transformers import AttentionInterface, PretrainedConfig, PreTrainedModel

from dllm_eval.attention import KeyValues, Rows, at_rows, attend, mask_at_rows

from .body import Body, Columns, rows_by_layer
from .rotary import Rotary, rotated

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
    """Embedding, layers and final norm of a transformers model, which is not told the time.

    Its modules are transformers' own (Llama, Qwen2, Qwen3 and Qwen3-MoE, which name theirs alike);
    the way through a layer is stated here, because theirs has no last layer at some rows only.
    """

    narrows: ClassVar[bool] = True
    packs: ClassVar[bool] = True

    def __init__(self, model: PreTrainedModel) -> None:
        super().__init__()
        self.model = model

    def hidden(self, columns: Columns) -> Tensor:
        """See `Body`."""
        model: Any = self.model
        hidden: Tensor = model.embed_tokens(columns.ids)
        turn = model.rotary_emb(hidden, columns.positions)
        for layer, rows in zip(
            model.layers, rows_by_layer(columns, len(model.layers)), strict=True
        ):
            inner = layer.input_layernorm(hidden)
            hidden = at_rows(hidden, rows) + _attended(layer.self_attn, inner, turn, columns, rows)
            hidden = hidden + layer.mlp(layer.post_attention_layernorm(hidden))
        out: Tensor = model.norm(hidden)
        return out


def _attended(
    module: Any,  # noqa: ANN401 - transformers' attention modules share no type
    inner: Tensor,
    turn: tuple[Tensor, Tensor],
    columns: Columns,
    rows: Rows,
) -> Tensor:
    """(batch, columns, width) to (batch, rows, width): every column is seen, `rows` look."""
    query = _heads(module, "q", at_rows(inner, rows))
    key, value = _heads(module, "k", inner), _heads(module, "v", inner)
    cosines, sines = turn
    out = attend(
        rotated(query, (at_rows(cosines, rows), at_rows(sines, rows))),
        rotated(key, turn),
        value,
        mask=mask_at_rows(columns.mask, rows),
        scaling=module.scaling,
        cache=columns.cache,
        layer=module.layer_idx,
    )
    joined: Tensor = module.o_proj(out.transpose(1, 2).flatten(2))
    return joined


def _heads(module: Any, name: str, inner: Tensor) -> Tensor:  # noqa: ANN401 - as above
    """(batch, heads, columns, width of a head): queries "q", keys "k" or values "v"."""
    flat: Tensor = getattr(module, f"{name}_proj")(inner)
    vectors = flat.view(*flat.shape[:2], -1, module.head_dim)
    norm = getattr(module, f"{name}_norm", None)
    return (vectors if norm is None else norm(vectors)).transpose(1, 2)


def transformers_body(
    model_class: type[PreTrainedModel], config: PretrainedConfig, rotary: Rotary
) -> TransformersBody:
    """A body on the meta device, its rotary table apart, which is where `rotary` put it."""
    config._attn_implementation = ATTENTION
    with torch.device("meta"):
        model = model_class(config)
    model.rotary_emb = rotary
    return TransformersBody(model).eval()
