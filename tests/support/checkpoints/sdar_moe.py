"""A tiny random SDAR-30B-A3B checkpoint: SDAR's layout with one set of tensors per expert."""

import json
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from checkpoints.common import save_sharded
from checkpoints.qwen_shape import qwen_tensors
from checkpoints.sdar import sdar_config, write_text_files


def sdar_moe_tensors(config: dict[str, Any], seed: int) -> dict[str, Tensor]:
    """The dense model's weights, its feed-forward layers replaced by routers and experts."""
    generator = torch.Generator().manual_seed(seed + 1)
    width, inner = config["hidden_size"], config["moe_intermediate_size"]
    tensors = qwen_tensors(config, seed, biased=False, normed=True)

    def matrix(name: str, out: int, into: int) -> None:
        tensors[f"{name}.weight"] = torch.randn(out, into, generator=generator) / into**0.5

    for layer in range(config["num_hidden_layers"]):
        if layer in config["mlp_only_layers"] or (layer + 1) % config["decoder_sparse_step"]:
            continue
        start = f"model.layers.{layer}.mlp"
        for part in ("gate_proj", "up_proj", "down_proj"):
            del tensors[f"{start}.{part}.weight"]
        matrix(f"{start}.gate", config["num_experts"], width)
        for expert in range(config["num_experts"]):
            matrix(f"{start}.experts.{expert}.gate_proj", inner, width)
            matrix(f"{start}.experts.{expert}.up_proj", inner, width)
            matrix(f"{start}.experts.{expert}.down_proj", width, inner)
    return tensors


def write(folder: Path, *, seed: int = 0, shards: int = 1, **config: Any) -> Path:
    """Writes an SDAR mixture-of-experts folder; `config` overrides config.json's entries."""
    experts = {
        "architectures": ["SDARMoeForCausalLM"],
        "model_type": "sdar_moe",
        "decoder_sparse_step": 1,
        "mlp_only_layers": [],
        "moe_intermediate_size": 16,
        "norm_topk_prob": True,
        "num_experts": 8,
        "num_experts_per_tok": 3,
        "output_router_logits": False,
        "router_aux_loss_coef": 0.001,
    }
    settings = sdar_config(write_text_files(folder), **(experts | config))
    (folder / "config.json").write_text(json.dumps(settings))
    save_sharded(folder, sdar_moe_tensors(settings, seed), shards)
    return folder
