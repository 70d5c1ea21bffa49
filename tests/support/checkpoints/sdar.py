"""A tiny random SDAR checkpoint, as JetLM publishes them (SDAR-8B-Chat's entries)."""

import json
from pathlib import Path
from typing import Any

from checkpoints.common import END, save_sharded, write_tokenizer
from checkpoints.qwen_shape import qwen_tensors

TURN, END_OF_TURN, MASK = "<|im_start|>", "<|im_end|>", "<|MASK|>"


def sdar_config(vocabulary: dict[str, int], **changes: Any) -> dict[str, Any]:
    """config.json with the published entries, small; ids are those of the tokenizer."""
    return {
        "architectures": ["SDARForCausalLM"],
        "auto_map": {
            "AutoConfig": "configuration_sdar.SDARConfig",
            "AutoModel": "modeling_sdar.SDARModel",
            "AutoModelForCausalLM": "modeling_sdar.SDARForCausalLM",
        },
        "attention_bias": False,
        "attention_dropout": 0.0,
        "attn_implementation": "flex_attention",
        "bos_token_id": vocabulary[END],
        "debug": False,
        "eos_token_id": vocabulary[END],
        "block_size": 4,
        "mask_token_id": vocabulary[MASK],
        "ep_size": 1,
        "fuse_cross_entropy": True,
        "head_dim": 16,
        "hidden_act": "silu",
        "hidden_size": 32,
        "initializer_range": 0.02,
        "intermediate_size": 48,
        "max_position_embeddings": 256,
        "max_window_layers": 2,
        "micro_forward": False,
        "model_type": "sdar",
        "num_attention_heads": 4,
        "num_hidden_layers": 2,
        "num_key_value_heads": 2,
        "rms_norm_eps": 1e-6,
        "rope_scaling": None,
        "rope_theta": 1000000,
        "skip_checkpoint": False,
        "sliding_window": None,
        "tie_word_embeddings": False,
        "torch_dtype": "bfloat16",
        "transformers_version": "4.52.4",
        "use_cache": False,
        "use_deepep": False,
        "use_sliding_window": False,
        "vocab_size": max(vocabulary.values()) + 8,
    } | changes


def write_text_files(folder: Path) -> dict[str, int]:
    """Tokenizer and generation_config.json; returns token -> id."""
    folder.mkdir(parents=True, exist_ok=True)
    vocabulary = write_tokenizer(
        folder,
        (END, TURN, END_OF_TURN, MASK),
        tokenizer_class="Qwen2Tokenizer",
        eos_token=END,
        pad_token=END,
        mask_token=MASK,
    )
    generation = {
        "bos_token_id": vocabulary[END],
        "do_sample": True,
        "eos_token_id": [vocabulary[END_OF_TURN], vocabulary[END]],
        "pad_token_id": vocabulary[END],
        "temperature": 0.6,
        "top_k": 20,
        "top_p": 0.95,
        "transformers_version": "4.51.0",
    }
    (folder / "generation_config.json").write_text(json.dumps(generation))
    return vocabulary


def write(folder: Path, *, seed: int = 0, shards: int = 1, **config: Any) -> Path:
    """Writes an SDAR folder; `config` overrides config.json's entries."""
    settings = sdar_config(write_text_files(folder), **config)
    (folder / "config.json").write_text(json.dumps(settings))
    save_sharded(folder, qwen_tensors(settings, seed, biased=False, normed=True), shards)
    return folder
