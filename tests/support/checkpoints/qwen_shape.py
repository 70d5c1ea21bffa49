"""Random weights in the Qwen2 and Qwen3 shapes, under the names that both publish."""

from typing import Any

import torch
from torch import Tensor


def qwen_tensors(
    config: dict[str, Any], seed: int, *, biased: bool, normed: bool
) -> dict[str, Tensor]:
    """Weights large enough for the logits to differ.

    Args:
        config: config.json's entries.
        seed: Of the weights.
        biased: Queries, keys and values have a bias (Qwen2).
        normed: Queries and keys are normed, head by head (Qwen3).
    """
    generator = torch.Generator().manual_seed(seed)
    width, inner, rows = (config[k] for k in ("hidden_size", "intermediate_size", "vocab_size"))
    head = config.get("head_dim") or width // config["num_attention_heads"]
    wide, narrow = (head * config[f"num_{k}_heads"] for k in ("attention", "key_value"))

    def noise(*shape: int) -> Tensor:
        return torch.randn(*shape, generator=generator)

    def scale(size: int) -> Tensor:
        return 1 + 0.1 * noise(size)

    tensors = {"model.embed_tokens.weight": noise(rows, width), "model.norm.weight": scale(width)}
    if not config["tie_word_embeddings"]:
        tensors["lm_head.weight"] = 3 * noise(rows, width) / width**0.5
    shapes = {
        "self_attn.q_proj": (wide, width),
        "self_attn.k_proj": (narrow, width),
        "self_attn.v_proj": (narrow, width),
        "self_attn.o_proj": (width, wide),
        "mlp.gate_proj": (inner, width),
        "mlp.up_proj": (inner, width),
        "mlp.down_proj": (width, inner),
    }
    for layer in range(config["num_hidden_layers"]):
        start = f"model.layers.{layer}."
        for name, (out, into) in shapes.items():
            tensors[f"{start}{name}.weight"] = noise(out, into) / into**0.5
            if biased and name[10] in "qkv":
                tensors[f"{start}{name}.bias"] = 0.3 * noise(out)
        for name in ("q_norm", "k_norm") if normed else ():
            tensors[f"{start}self_attn.{name}.weight"] = scale(head)
        for name in ("input_layernorm", "post_attention_layernorm"):
            tensors[f"{start}{name}.weight"] = scale(width)
    return tensors
