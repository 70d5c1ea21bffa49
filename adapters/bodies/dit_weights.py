"""Published tensors of MDLM, SEDD and BD3-LM into the diffusion transformer of `dit.py`.

Knows tensor names and files; knows no family and no tokenizer. The three loaders beside it call
`load_dit`.
"""

from pathlib import Path

import torch

from .body_and_head import BodyAndHead, layer_names, load_body_and_head
from .dit import DitBody, DitConfig, DitHead
from .rotary import Rotary

ROTARY_THETA = 10000.0

TOP_NAMES = {
    "body.embedding.weight": "vocab_embed.embedding",
    "body.level.inwards.weight": "sigma_map.mlp.0.weight",
    "body.level.inwards.bias": "sigma_map.mlp.0.bias",
    "body.level.outwards.weight": "sigma_map.mlp.2.weight",
    "body.level.outwards.bias": "sigma_map.mlp.2.bias",
    "body.norm.weight": "output_layer.norm_final.weight",
    "body.modulation.weight": "output_layer.adaLN_modulation.weight",
    "body.modulation.bias": "output_layer.adaLN_modulation.bias",
    "head.weight": "output_layer.linear.weight",
    "head.bias": "output_layer.linear.bias",
}
LAYER_NAMES = {
    "attention_norm.weight": "norm1.weight",
    "attention_in.weight": "attn_qkv.weight",
    "attention_out.weight": "attn_out.weight",
    "mlp_norm.weight": "norm2.weight",
    "mlp_in.weight": "mlp.0.weight",
    "mlp_in.bias": "mlp.0.bias",
    "mlp_out.weight": "mlp.2.weight",
    "mlp_out.bias": "mlp.2.bias",
    "modulation.weight": "adaLN_modulation.weight",
    "modulation.bias": "adaLN_modulation.bias",
}
"""Native parameter -> published tensor; of the model, and within one of its layers."""


def load_dit(
    folder: Path,
    config: DitConfig,
    *,
    prefix: str = "",
    unused: tuple[str, ...] = (),
    dtype: torch.dtype,
    device: torch.device,
) -> BodyAndHead:
    """Reads a folder's tensors into body and head.

    Args:
        folder: A checkpoint folder.
        config: Its sizes.
        prefix: What the published names begin with.
        unused: Beginnings of the names of further published buffers that nothing needs.
        dtype: What the weights become; norms and rotations are float32 whatever it is.
        device: Where the weights go.

    Raises:
        UsageError: A tensor is missing, surplus or wrongly shaped.
    """
    with torch.device("meta"):
        body, head = DitBody(config), DitHead(config)
    body.rotary = Rotary(
        width=config.width // config.num_heads,
        theta=ROTARY_THETA,
        full_precision=True,
        device=device,
    )
    names = {native: prefix + published for native, published in TOP_NAMES.items()}
    names |= layer_names(
        LAYER_NAMES,
        config.num_layers,
        native="body.layers.{layer}.{part}",
        published=prefix + "blocks.{layer}.{part}",
    )
    # The published frequencies are a buffer that its class fills in; theta is fixed there.
    unused = (f"{prefix}rotary_emb.inv_freq", *unused)
    return load_body_and_head(body, head, folder, names, dtype=dtype, device=device, unused=unused)
