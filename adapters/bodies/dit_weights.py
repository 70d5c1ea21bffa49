"""Published tensors of MDLM, SEDD and BD3-LM into the diffusion transformer of `dit.py`.

Knows tensor names and files; knows no family and no tokenizer. The three loaders beside it call
`load_dit`.
"""

from pathlib import Path

import torch
from torch import nn

from dllm_eval.checkpoint import load_weights

from .dit import DitBody, DitConfig, DitHead
from .transformers_body import Rotary

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


class _Dit(nn.Module):
    """All parts under one roof, so that their weights are read in one pass."""

    def __init__(self, config: DitConfig) -> None:
        super().__init__()
        self.body = DitBody(config)
        self.head = DitHead(config)


def load_dit(
    folder: Path,
    config: DitConfig,
    *,
    prefix: str = "",
    unused: tuple[str, ...] = (),
    dtype: torch.dtype,
    device: torch.device,
) -> tuple[DitBody, DitHead]:
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
        module = _Dit(config)
    module.body.rotary = Rotary(
        width=config.width // config.num_heads,
        theta=ROTARY_THETA,
        full_precision=True,
        device=device,
    )
    # The published frequencies are a buffer that its class fills in; theta is fixed there.
    known = (f"{prefix}rotary_emb.inv_freq", *unused)
    names = tensor_names(config.num_layers, prefix)
    load_weights(module, folder, names, dtype=dtype, device=device, unused=known)
    return module.body.eval(), module.head.eval()


def tensor_names(num_layers: int, prefix: str) -> dict[str, str]:
    """Native parameter name -> published tensor name."""
    names = {native: prefix + published for native, published in TOP_NAMES.items()}
    for layer in range(num_layers):
        for native, published in LAYER_NAMES.items():
            names[f"body.layers.{layer}.{native}"] = f"{prefix}blocks.{layer}.{published}"
    return names
