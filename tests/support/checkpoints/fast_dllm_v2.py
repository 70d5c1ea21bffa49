"""A tiny random Fast-dLLM v2 checkpoint, as Efficient-Large-Model publishes them (the 7B)."""

import json
from pathlib import Path
from typing import Any

from checkpoints.common import END, save_sharded, write_tokenizer
from checkpoints.qwen_shape import qwen_tensors

TURN, END_OF_TURN, MASK = "<|im_start|>", "<|im_end|>", "|<MASK>|"


def fast_dllm_config(vocabulary: dict[str, int], **changes: Any) -> dict[str, Any]:
    """config.json with the published entries, small; ids are those of the tokenizer."""
    num_layers = changes.get("num_hidden_layers", 2)
    return {
        "architectures": ["Fast_dLLM_QwenForCausalLM"],
        "attention_dropout": 0.0,
        "auto_map": {
            "AutoConfig": "configuration.Fast_dLLM_QwenConfig",
            "AutoModel": "modeling.Fast_dLLM_QwenModel",
            "AutoModelForCausalLM": "modeling.Fast_dLLM_QwenForCausalLM",
        },
        "bd_size": 16,
        "bos_token_id": vocabulary[END],
        "conplemenrary_mask": True,
        "eos_token_id": vocabulary[END_OF_TURN],
        "hidden_act": "silu",
        "hidden_size": 32,
        "initializer_range": 0.02,
        "intermediate_size": 48,
        "layer_types": ["full_attention"] * num_layers,
        "max_position_embeddings": 256,
        "max_window_layers": 28,
        "model_type": "Fast_dLLM_Qwen",
        "num_attention_heads": 4,
        "num_hidden_layers": num_layers,
        "num_key_value_heads": 2,
        "pad_token_id": vocabulary[END_OF_TURN],
        "rms_norm_eps": 1e-6,
        "rope_scaling": None,
        "rope_theta": 1000000.0,
        "sliding_window": None,
        "tie_word_embeddings": False,
        "torch_dtype": "bfloat16",
        "transformers_version": "4.53.1",
        "use_cache": True,
        "use_sliding_window": False,
        "vocab_size": max(vocabulary.values()) + 8,
    } | changes


def write(folder: Path, *, seed: int = 0, shards: int = 1, **config: Any) -> Path:
    """Writes a Fast-dLLM v2 folder; `config` overrides config.json's entries."""
    folder.mkdir(parents=True, exist_ok=True)
    vocabulary = write_tokenizer(
        folder,
        (END, TURN, END_OF_TURN, MASK),
        tokenizer_class="Qwen2Tokenizer",
        eos_token=END_OF_TURN,
        pad_token=END,
    )
    settings = fast_dllm_config(vocabulary, **config)
    (folder / "config.json").write_text(json.dumps(settings))
    generation = {
        "bos_token_id": vocabulary[END],
        "do_sample": True,
        "eos_token_id": [vocabulary[END_OF_TURN], vocabulary[END]],
        "pad_token_id": vocabulary[END],
        "repetition_penalty": 1.05,
        "temperature": 0.7,
        "top_k": 20,
        "top_p": 0.8,
        "transformers_version": "4.53.1",
    }
    (folder / "generation_config.json").write_text(json.dumps(generation))
    save_sharded(folder, qwen_tensors(settings, seed, biased=True, normed=False), shards)
    return folder
