"""Saved folders: the autoregressive model as stock Llama, the diffusion model as LLaDA-8B's.

Knows nothing about training. Called by ``train``; ``load_diffusion`` is for tests and inspection.
"""

import hashlib
import json
import re
from pathlib import Path
from typing import Final

import torch
from safetensors.torch import load_file, save_file
from torch import Tensor
from transformers import GenerationConfig, LlamaForCausalLM

from dllm_eval.reference.model import (
    INITIAL_STD,
    MLP_WIDTH,
    NUM_HEADS,
    NUM_LAYERS,
    RMS_NORM_EPS,
    ROPE_THETA,
    WIDTH,
    llama_config,
    make_bidirectional,
)
from dllm_eval.reference.tokenizer import EOS, MASK, MAX_LENGTH, build_tokenizer, vocabulary

WEIGHTS_FILE: Final = "model.safetensors"
_TOP: Final = {
    "model.embed_tokens.weight": "model.transformer.wte.weight",
    "model.norm.weight": "model.transformer.ln_f.weight",
    "lm_head.weight": "model.transformer.ff_out.weight",
}
_BLOCK: Final = {
    "input_layernorm": "attn_norm",
    "post_attention_layernorm": "ff_norm",
    "self_attn.q_proj": "q_proj",
    "self_attn.k_proj": "k_proj",
    "self_attn.v_proj": "v_proj",
    "self_attn.o_proj": "attn_out",
    "mlp.gate_proj": "ff_proj",
    "mlp.up_proj": "up_proj",
    "mlp.down_proj": "ff_out",
}


def llada_name(name: str) -> str:
    """The LLaDA-8B tensor name of a Llama tensor name."""
    if name in _TOP:
        return _TOP[name]
    match = re.fullmatch(r"model\.layers\.(\d+)\.(.+)\.weight", name)
    if match is None or match[2] not in _BLOCK:
        raise ValueError(f"no LLaDA name for tensor {name!r}")
    return f"model.transformer.blocks.{match[1]}.{_BLOCK[match[2]]}.weight"


def llada_config() -> dict[str, object]:
    """The ``config.json`` of the diffusion model, with the keys of LLaDA-8B."""
    ids = vocabulary()
    return {
        "activation_type": "silu",
        "alibi": False,
        "alibi_bias_max": 8.0,
        "architectures": ["LLaDAModelLM"],
        "attention_dropout": 0.0,
        "attention_layer_norm": False,
        "attention_layer_norm_with_affine": True,
        "bias_for_layer_norm": False,
        "block_group_size": 1,
        "block_type": "llama",
        "d_model": WIDTH,
        "embedding_dropout": 0.0,
        "embedding_size": len(ids),
        "eos_token_id": ids[EOS],
        "flash_attention": False,
        "include_bias": False,
        "include_qkv_bias": False,
        "init_device": "cpu",
        "init_fn": "mitchell",
        "init_std": INITIAL_STD,
        "input_emb_norm": False,
        "layer_norm_type": "rms",
        "layer_norm_with_affine": True,
        "mask_token_id": ids[MASK],
        "max_sequence_length": MAX_LENGTH,
        "mlp_hidden_size": MLP_WIDTH,
        "mlp_ratio": 4,
        "model_type": "llada",
        "multi_query_attention": None,
        "n_heads": NUM_HEADS,
        "n_kv_heads": NUM_HEADS,
        "n_layers": NUM_LAYERS,
        "pad_token_id": ids[EOS],
        "precision": "fp32",
        "residual_dropout": 0.0,
        "rms_norm_eps": RMS_NORM_EPS,
        "rope": True,
        "rope_full_precision": True,
        "rope_theta": ROPE_THETA,
        "scale_logits": False,
        "torch_dtype": "float32",
        "use_cache": False,
        "vocab_size": len(ids),
        "weight_tying": False,
    }


def _write_json(path: Path, value: object) -> None:
    path.write_text(json.dumps(value, indent=2) + "\n", encoding="utf-8", newline="\n")


def _save_tokenizer(folder: Path) -> None:
    tokenizer = build_tokenizer()
    tokenizer.save_pretrained(folder)
    _write_json(folder / "special_tokens_map.json", tokenizer.special_tokens_map)


def save_autoregressive(model: LlamaForCausalLM, folder: Path) -> None:
    """Save as a folder for ``AutoModelForCausalLM``."""
    folder.mkdir(parents=True, exist_ok=True)
    model.save_pretrained(folder)
    eos = vocabulary()[EOS]
    generation = GenerationConfig(eos_token_id=eos, pad_token_id=eos)  # type: ignore[no-untyped-call]
    generation.save_pretrained(folder)
    _save_tokenizer(folder)


def save_diffusion(model: LlamaForCausalLM, folder: Path) -> None:
    """Save in the checkpoint format of LLaDA-8B, without remote code."""
    folder.mkdir(parents=True, exist_ok=True)
    tensors = {
        llada_name(name): value.detach().clone() for name, value in model.state_dict().items()
    }
    save_file(tensors, folder / WEIGHTS_FILE, metadata={"format": "pt"})
    _write_json(folder / "config.json", llada_config())
    eos = vocabulary()[EOS]
    _write_json(folder / "generation_config.json", {"eos_token_id": eos, "pad_token_id": eos})
    _save_tokenizer(folder)


def load_diffusion(folder: Path) -> LlamaForCausalLM:
    """Load a folder of ``save_diffusion`` as a Llama with full attention, for inspection."""
    saved: dict[str, Tensor] = load_file(folder / WEIGHTS_FILE)
    with torch.random.fork_rng(devices=[]):
        model = LlamaForCausalLM(llama_config())
    model.load_state_dict({name: saved[llada_name(name)] for name in model.state_dict()})
    make_bidirectional(model)
    model.train(mode=False)
    return model


def weights_sha256(folder: Path) -> str:
    """SHA-256 of the weights file of a folder, in hexadecimal."""
    return hashlib.sha256((folder / WEIGHTS_FILE).read_bytes()).hexdigest()
