"""A tiny random DiffusionGemma checkpoint, as google/diffusiongemma-26B-A4B-it is laid out.

Encoder and decoder share their weights, stored once under the decoder's names; the encoder has its
own output scale per layer, and the vision tower lies beside it. Layers that attend to everything
have no v_proj: their values are their keys.
"""

import json
import math
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from checkpoints.common import save_sharded, write_tokenizer

PAD, EOS, BOS, TURN_END, TOOL = "<pad>", "<eos>", "<bos>", "<turn|>", "<|tool_response>"

TEXT: dict[str, Any] = {
    "attention_bias": False,
    "attention_dropout": 0.0,
    "bos_token_id": 2,
    "dtype": "float32",
    "eos_token_id": 1,
    "final_logit_softcapping": 30.0,
    "global_head_dim": 16,
    "head_dim": 8,
    "hidden_activation": "gelu_pytorch_tanh",
    "hidden_size": 32,
    "initializer_range": 0.02,
    "intermediate_size": 40,
    "layer_types": ["sliding_attention", "full_attention"],
    "max_position_embeddings": 512,
    "model_type": "diffusion_gemma_text",
    "moe_intermediate_size": 24,
    "num_attention_heads": 4,
    "num_experts": 4,
    "num_global_key_value_heads": 1,
    "num_hidden_layers": 2,
    "num_key_value_heads": 2,
    "pad_token_id": 0,
    "rms_norm_eps": 1e-6,
    "rope_parameters": {
        "full_attention": {
            "partial_rotary_factor": 0.25,
            "rope_theta": 1000000.0,
            "rope_type": "proportional",
        },
        "sliding_attention": {"rope_theta": 10000.0, "rope_type": "default"},
    },
    "sliding_window": 8,
    "tie_word_embeddings": True,
    "top_k_experts": 2,
    "use_bidirectional_attention": "vision",
    "vocab_size": 310,
}

VISION: dict[str, Any] = {
    "head_dim": 8,
    "hidden_size": 16,
    "intermediate_size": 24,
    "model_type": "gemma4_vision",
    "num_attention_heads": 2,
    "num_hidden_layers": 1,
    "num_key_value_heads": 2,
    "pooling_kernel_size": 1,
    "position_embedding_size": 16,
    "standardize": True,
}

GENERATION: dict[str, Any] = {
    "confidence_threshold": 0.005,
    "eos_token_id": [1, 3, 4],
    "max_denoising_steps": 6,
    "max_new_tokens": 8,
    "pad_token_id": 0,
    "sampler_config": {"_cls_name": "EntropyBoundSamplerConfig", "entropy_bound": 0.1},
    "stability_threshold": 1,
    "t_max": 0.8,
    "t_min": 0.4,
}


def write(folder: Path, *, seed: int = 0, shards: int = 1, **config: Any) -> Path:
    """Writes the folder.

    Args:
        folder: Made where it does not exist.
        seed: Of the weights.
        shards: Number of safetensors files.
        config: Entries of config.json (`canvas_length`, ...), of its text_config, or of
            generation_config.json.
    """
    folder.mkdir(parents=True, exist_ok=True)
    write_tokenizer(
        folder,
        (PAD, EOS, BOS, TURN_END, TOOL),
        eos_token=EOS,
        bos_token=BOS,
        pad_token=PAD,
    )
    generation = GENERATION | {name: config.pop(name) for name in GENERATION if name in config}
    text = TEXT | {name: config.pop(name) for name in TEXT if name in config}
    settings = {
        "architectures": ["DiffusionGemmaForBlockDiffusion"],
        "boi_token_id": 300,
        "canvas_length": 8,
        "dtype": "float32",
        "eoi_token_id": 301,
        "eos_token_id": [1, 3],
        "image_token_id": 302,
        "initializer_range": 0.02,
        "model_type": "diffusion_gemma",
        "text_config": text,
        "tie_word_embeddings": True,
        "vision_config": VISION,
    } | config
    (folder / "config.json").write_text(json.dumps(settings))
    (folder / "generation_config.json").write_text(json.dumps(generation))
    save_sharded(folder, tensors(text, seed), shards)
    return folder


def tensors(text: dict[str, Any], seed: int) -> dict[str, Tensor]:
    """Random weights under the published names, large enough for the logits to differ."""
    generator = torch.Generator().manual_seed(seed)

    def matrix(*shape: int, gain: float = 1.0) -> Tensor:
        return gain / math.sqrt(shape[-1]) * torch.randn(*shape, generator=generator)

    def scale(width: int) -> Tensor:
        return 1 + 0.1 * torch.randn(width, generator=generator)

    width, inner = text["hidden_size"], text["intermediate_size"]
    out = {
        "decoder.embed_tokens.weight": matrix(text["vocab_size"], width, gain=1.5),
        "decoder.norm.weight": scale(width),
        "decoder.self_conditioning.pre_norm.weight": scale(width),
        "decoder.self_conditioning.gate_proj.weight": matrix(inner, width),
        "decoder.self_conditioning.up_proj.weight": matrix(inner, width),
        "decoder.self_conditioning.down_proj.weight": matrix(width, inner, gain=0.2),
    }
    for layer, kind in enumerate(text["layer_types"]):
        start = f"decoder.layers.{layer}."
        whole = kind == "full_attention"
        head = text["global_head_dim" if whole else "head_dim"]
        narrow = head * text["num_global_key_value_heads" if whole else "num_key_value_heads"]
        wide = head * text["num_attention_heads"]
        sizes = {"q_proj": (wide, width), "k_proj": (narrow, width), "o_proj": (width, wide)}
        if not whole:
            sizes["v_proj"] = (narrow, width)
        for name, size in sizes.items():
            out[f"{start}self_attn.{name}.weight"] = matrix(*size)
        for name in ("q_norm", "k_norm"):
            out[f"{start}self_attn.{name}.weight"] = scale(head)
        for name, size in (
            ("gate_proj", (inner, width)),
            ("up_proj", (inner, width)),
            ("down_proj", (width, inner)),
        ):
            out[f"{start}mlp.{name}.weight"] = matrix(*size)
        experts, hidden = text["num_experts"], text["moe_intermediate_size"]
        out[f"{start}experts.gate_up_proj"] = matrix(experts, 2 * hidden, width)
        out[f"{start}experts.down_proj"] = matrix(experts, width, hidden)
        out[f"{start}router.proj.weight"] = matrix(experts, width, gain=2.0)
        out[f"{start}router.scale"] = scale(width) * width**0.5
        out[f"{start}router.per_expert_scale"] = scale(experts)
        for name in NORMS:
            out[f"{start}{name}.weight"] = scale(width)
        out[f"{start}layer_scalar"] = scale(1)
        out[f"encoder.language_model.layers.{layer}.layer_scalar"] = scale(1)
    out |= {f"encoder.{name}": matrix(*size) for name, size in vision_sizes(width).items()}
    return {f"model.{name}": tensor for name, tensor in out.items()}


NORMS = (
    "input_layernorm",
    "post_attention_layernorm",
    "pre_feedforward_layernorm",
    "pre_feedforward_layernorm_2",
    "post_feedforward_layernorm",
    "post_feedforward_layernorm_1",
    "post_feedforward_layernorm_2",
)


def vision_sizes(text_width: int) -> dict[str, tuple[int, ...]]:
    """Name -> shape of the image half, which text leaves unread."""
    width, inner, head = VISION["hidden_size"], VISION["intermediate_size"], VISION["head_dim"]
    start = "vision_tower.encoder.layers.0."
    sizes: dict[str, tuple[int, ...]] = {
        "embed_vision.embedding_projection.weight": (text_width, width),
        "vision_tower.patch_embedder.input_proj.weight": (width, 768),
        "vision_tower.patch_embedder.position_embedding_table": (2, 16, width),
        "vision_tower.std_bias": (width,),
        "vision_tower.std_scale": (width,),
        f"{start}mlp.down_proj.linear.weight": (width, inner),
        f"{start}mlp.gate_proj.linear.weight": (inner, width),
        f"{start}mlp.up_proj.linear.weight": (inner, width),
        f"{start}self_attn.k_norm.weight": (head,),
        f"{start}self_attn.q_norm.weight": (head,),
    }
    for name in ("k_proj", "o_proj", "q_proj", "v_proj"):
        sizes[f"{start}self_attn.{name}.linear.weight"] = (width, width)
    for name in (*NORMS[:3], "post_feedforward_layernorm"):
        sizes[f"{start}{name}.weight"] = (width,)
    return sizes
