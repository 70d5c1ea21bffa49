"""A tiny random LLaDA2.0 checkpoint, as inclusionAI publishes them (LLaDA2.0-mini's entries)."""

import json
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from checkpoints.common import END, save_sharded, write_tokenizer

MASK = "<|mask|>"
END_OF_TURN = "<|role_end|>"


def llada2_tensors(config: dict[str, Any], seed: int) -> dict[str, Tensor]:
    """Random weights under the published names, large enough for the logits to differ."""
    generator = torch.Generator().manual_seed(seed)
    width, head = config["hidden_size"], config["head_dim"]
    heads, key_heads = config["num_attention_heads"], config["num_key_value_heads"]
    shared = config["num_shared_experts"] * config["moe_intermediate_size"]
    tensors: dict[str, Tensor] = {}

    def matrix(name: str, out: int, into: int) -> None:
        tensors[f"{name}.weight"] = torch.randn(out, into, generator=generator).div(into**0.5)

    def scale(name: str, size: int) -> None:
        tensors[f"{name}.weight"] = 1 + 0.1 * torch.randn(size, generator=generator)

    def feed_forward(name: str, inner: int) -> None:
        matrix(f"{name}.gate_proj", inner, width)
        matrix(f"{name}.up_proj", inner, width)
        matrix(f"{name}.down_proj", width, inner)

    tensors["model.word_embeddings.weight"] = torch.randn(
        config["vocab_size"], width, generator=generator
    )
    for layer in range(config["num_hidden_layers"]):
        start = f"model.layers.{layer}"
        scale(f"{start}.input_layernorm", width)
        scale(f"{start}.post_attention_layernorm", width)
        matrix(f"{start}.attention.query_key_value", (heads + 2 * key_heads) * head, width)
        matrix(f"{start}.attention.dense", width, heads * head)
        if config["use_qkv_bias"]:
            bias = torch.randn((heads + 2 * key_heads) * head, generator=generator)
            tensors[f"{start}.attention.query_key_value.bias"] = bias
        if config["use_bias"]:
            tensors[f"{start}.attention.dense.bias"] = torch.randn(width, generator=generator)
        if config["use_qk_norm"]:
            scale(f"{start}.attention.query_layernorm", head)
            scale(f"{start}.attention.key_layernorm", head)
        if layer < config["first_k_dense_replace"]:
            feed_forward(f"{start}.mlp", config["intermediate_size"])
            continue
        matrix(f"{start}.mlp.gate", config["num_experts"], width)
        bias = 0.3 * torch.randn(config["num_experts"], generator=generator)
        tensors[f"{start}.mlp.gate.expert_bias"] = bias
        for expert in range(config["num_experts"]):
            feed_forward(f"{start}.mlp.experts.{expert}", config["moe_intermediate_size"])
        if shared:
            feed_forward(f"{start}.mlp.shared_experts", shared)
    scale("model.norm", width)
    if not config["tie_word_embeddings"]:
        matrix("lm_head", config["vocab_size"], width)
        tensors["lm_head.weight"] *= 3
    return tensors


def llada2_config(vocabulary: dict[str, int], **changes: Any) -> dict[str, Any]:
    """config.json with the published entries, small; ids are those of the tokenizer."""
    return {
        "architectures": ["LLaDA2MoeModelLM"],
        "auto_map": {
            "AutoConfig": "configuration_llada2_moe.LLaDA2MoeConfig",
            "AutoModel": "modeling_llada2_moe.LLaDA2MoeModel",
            "AutoModelForCausalLM": "modeling_llada2_moe.LLaDA2MoeModelLM",
        },
        "attention_dropout": 0.0,
        "dtype": "bfloat16",
        "embedding_dropout": 0.0,
        "first_k_dense_replace": 1,
        "head_dim": 16,
        "hidden_act": "silu",
        "hidden_size": 32,
        "initializer_range": 0.02,
        "intermediate_size": 48,
        "max_position_embeddings": 512,
        "max_window_layers": 28,
        "model_type": "llada2_moe",
        "moe_intermediate_size": 16,
        "moe_router_enable_expert_bias": True,
        "n_group": 4,
        "norm_head": False,
        "norm_topk_prob": True,
        "num_attention_heads": 4,
        "num_experts": 8,
        "num_experts_per_tok": 3,
        "num_hidden_layers": 3,
        "num_key_value_heads": 2,
        "num_shared_experts": 1,
        "output_dropout": 0.0,
        "output_router_logits": False,
        "pad_token_id": vocabulary[END],
        "partial_rotary_factor": 0.5,
        "rms_norm_eps": 1e-6,
        "rope_scaling": None,
        "rope_theta": 600000,
        "rotary_dim": 8,
        "routed_scaling_factor": 2.5,
        "router_dtype": "fp32",
        "score_function": "sigmoid",
        "sliding_window": 4096,
        "tie_word_embeddings": False,
        "topk_group": 2,
        "use_bias": False,
        "use_cache": False,
        "use_qk_norm": True,
        "use_qkv_bias": False,
        "use_sliding_window": False,
        "vocab_size": max(vocabulary.values()) + 5,
    } | changes


def write(folder: Path, *, seed: int = 0, shards: int = 1, **config_changes: Any) -> Path:
    """Writes a LLaDA2.0-format checkpoint folder; `config_changes` override config.json."""
    folder.mkdir(parents=True, exist_ok=True)
    vocabulary = write_tokenizer(
        folder, (END, MASK, END_OF_TURN), eos_token=END, pad_token=END, mask_token=MASK
    )
    config = llada2_config(vocabulary, **config_changes)
    (folder / "config.json").write_text(json.dumps(config))
    save_sharded(folder, llada2_tensors(config, seed), shards)
    return folder
