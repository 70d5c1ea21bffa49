"""Tiny random WeDLM checkpoints: the 7B shape (Qwen2.5) and the 8B shape (Qwen3)."""

import json
from pathlib import Path
from typing import Any, Literal

from checkpoints.common import END, save_sharded, write_tokenizer
from checkpoints.qwen_shape import qwen_tensors

MASK = "<|mask|>"
TURN, END_OF_TURN = "<|im_start|>", "<|im_end|>"

Shape = Literal["7b", "8b"]


def wedlm_config(vocabulary: dict[str, int], shape: Shape, **changes: Any) -> dict[str, Any]:
    return {
        "architectures": ["WeDLMForCausalLM"],
        "attention_bias": shape == "7b",
        "attention_dropout": 0.0,
        "auto_map": {
            "AutoConfig": "configuration_wedlm.WeDLMConfig",
            "AutoModelForCausalLM": "modeling_wedlm.WeDLMForCausalLM",
        },
        "dtype": "bfloat16",
        "eos_token_id": vocabulary[END],
        "head_dim": 8 if shape == "7b" else 16,
        "hidden_act": "silu",
        "hidden_size": 32,
        "initializer_range": 0.02,
        "intermediate_size": 48,
        "layer_types": ["full_attention", "full_attention"],
        # Published as null, which means 151665; a small vocabulary needs one of its own.
        "mask_token_id": vocabulary[MASK],
        "max_position_embeddings": 512,
        "max_window_layers": 2,
        "model_type": "wedlm",
        "num_attention_heads": 4,
        "num_hidden_layers": 2,
        "num_key_value_heads": 2,
        "pad_token_id": vocabulary[END],
        "qk_norm": shape == "8b",
        "rms_norm_eps": 1e-6,
        "rope_scaling": None,
        "rope_theta": 1000000.0,
        "sliding_window": None,
        "tie_word_embeddings": False,
        "transformers_version": "4.56.1",
        "use_cache": True,
        "use_sliding_window": False,
        "vocab_size": 320,
    } | changes


def write(
    folder: Path, *, seed: int = 0, shards: int = 1, shape: Shape = "8b", **config_changes: Any
) -> Path:
    """Writes a WeDLM-format checkpoint folder; keywords override config.json's entries."""
    folder.mkdir(parents=True, exist_ok=True)
    vocabulary = write_tokenizer(
        folder, (END, TURN, END_OF_TURN, MASK), eos_token=END, pad_token=END
    )
    config = wedlm_config(vocabulary, shape, **config_changes)
    (folder / "config.json").write_text(json.dumps(config))
    tensors = qwen_tensors(
        config, seed, biased=config["attention_bias"], normed=bool(config["qk_norm"])
    )
    save_sharded(folder, tensors, shards)
    return folder
