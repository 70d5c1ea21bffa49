"""A tiny random LLaDA checkpoint, as ML-GSAI publishes them."""

import json
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from checkpoints.common import END, save_sharded, write_tokenizer

MASK = "<|mdm_mask|>"


def llada_tensors(config: dict[str, Any], seed: int) -> dict[str, Tensor]:
    """Random weights under the published names, large enough for the logits to differ."""
    generator = torch.Generator().manual_seed(seed)
    width, inner = config["d_model"], config["mlp_hidden_size"]
    narrow = width // config["n_heads"] * (config["n_kv_heads"] or config["n_heads"])
    rows = config["embedding_size"]

    def matrix(out: int, into: int) -> Tensor:
        return torch.randn(out, into, generator=generator).div(into**0.5)

    def scale() -> Tensor:
        return 1 + 0.1 * torch.randn(width, generator=generator)

    tensors = {"wte": torch.randn(rows, width, generator=generator), "ln_f": scale()}
    if not config["weight_tying"]:
        tensors["ff_out"] = 3 * matrix(rows, width)
    for layer in range(config["n_layers"]):
        shapes = {
            "q_proj": (width, width),
            "k_proj": (narrow, width),
            "v_proj": (narrow, width),
            "attn_out": (width, width),
            "ff_proj": (inner, width),
            "up_proj": (inner, width),
            "ff_out": (width, inner),
        }
        for name, (out, into) in shapes.items():
            tensors[f"blocks.{layer}.{name}"] = matrix(out, into)
        tensors[f"blocks.{layer}.attn_norm"] = scale()
        tensors[f"blocks.{layer}.ff_norm"] = scale()
    return {f"model.transformer.{name}.weight": tensor for name, tensor in tensors.items()}


def llada_config(vocabulary: dict[str, int], **changes: Any) -> dict[str, Any]:
    return {
        "model_type": "llada",
        "architectures": ["LLaDAModelLM"],
        "block_type": "llama",
        "block_group_size": 1,
        "activation_type": "silu",
        "layer_norm_type": "rms",
        "rms_norm_eps": 1e-5,
        "rope": True,
        "rope_theta": 500000.0,
        "rope_full_precision": True,
        "alibi": False,
        "include_bias": False,
        "include_qkv_bias": False,
        "bias_for_layer_norm": False,
        "attention_layer_norm": False,
        "input_emb_norm": False,
        "scale_logits": False,
        "d_model": 32,
        "n_heads": 4,
        "n_kv_heads": 2,
        "n_layers": 2,
        "mlp_hidden_size": 48,
        "vocab_size": 310,
        "embedding_size": 320,
        "max_sequence_length": 256,
        "weight_tying": False,
        "mask_token_id": vocabulary[MASK],
        "eos_token_id": vocabulary[END],
        "pad_token_id": vocabulary[END],
    } | changes


def write(folder: Path, *, seed: int = 0, shards: int = 1, **config: Any) -> Path:
    """Writes a LLaDA-format checkpoint folder; `config` overrides config.json's entries."""
    folder.mkdir(parents=True, exist_ok=True)
    vocabulary = write_tokenizer(folder, (END, MASK), eos_token=END, pad_token=END, mask_token=MASK)
    settings = llada_config(vocabulary, **config)
    (folder / "config.json").write_text(json.dumps(settings))
    save_sharded(folder, llada_tensors(settings, seed), shards)
    return folder
