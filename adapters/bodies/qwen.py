"""Qwen2, Qwen3 and Qwen3-MoE bodies built from a published config.json, and their tensor names.

Several families publish a diffusion model in a Qwen shape, under a model_type of their own. This
file knows those shapes; it knows no family, no ids and no tokenizer. SDAR, Fast-dLLM v2, Dream
and WeDLM call `load_qwen` and add what is theirs.
"""

from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal

import torch
from transformers import (
    Qwen2Config,
    Qwen2Model,
    Qwen3Config,
    Qwen3Model,
    Qwen3MoeConfig,
    Qwen3MoeModel,
)

from dllm_eval.checkpoint import Source
from dllm_eval.errors import UsageError

from ..entries import (
    TRANSFORMER_SIZES,
    check_counts,
    check_flags,
    check_multiples,
    check_values,
)
from .body_and_head import BodyAndHead, empty_head, load_body_and_head
from .moe import expert_names
from .rotary import Rotary
from .transformers_body import EMBEDDING, transformers_body

QwenKind = Literal["qwen2", "qwen3", "qwen3_moe"]

CLASSES: dict[QwenKind, tuple[Any, Any]] = {
    "qwen2": (Qwen2Config, Qwen2Model),
    "qwen3": (Qwen3Config, Qwen3Model),
    "qwen3_moe": (Qwen3MoeConfig, Qwen3MoeModel),
}

DEFAULTS: dict[str, Any] = {
    "hidden_act": "silu",
    "rms_norm_eps": 1e-6,
    "rope_theta": 10000.0,
    "max_position_embeddings": 32768,
    "tie_word_embeddings": False,
    "decoder_sparse_step": 1,
    "mlp_only_layers": [],
}
"""What the Qwen configuration classes, and the published ones made after them, take."""

EXPERT_SIZES = (
    "num_experts",
    "num_experts_per_tok",
    "moe_intermediate_size",
    "decoder_sparse_step",
)

EXPRESSIBLE: dict[str, tuple[Any, ...]] = {
    "hidden_act": ("silu",),
    "use_sliding_window": (False, None),
    "attention_bias": (False, None),
}
"""The values that these bodies can express; anything else is refused by name."""

LAYER_TENSORS = (
    "input_layernorm.weight",
    "post_attention_layernorm.weight",
    "self_attn.q_proj.weight",
    "self_attn.k_proj.weight",
    "self_attn.v_proj.weight",
    "self_attn.o_proj.weight",
)
ATTENTION_TENSORS: dict[QwenKind, tuple[str, ...]] = {
    "qwen2": ("self_attn.q_proj.bias", "self_attn.k_proj.bias", "self_attn.v_proj.bias"),
    "qwen3": ("self_attn.q_norm.weight", "self_attn.k_norm.weight"),
    "qwen3_moe": ("self_attn.q_norm.weight", "self_attn.k_norm.weight"),
}
"""What one kind's layers have beside `LAYER_TENSORS`."""

DENSE_TENSORS = ("mlp.gate_proj.weight", "mlp.up_proj.weight", "mlp.down_proj.weight")


def load_qwen(
    published: Mapping[str, Any],
    folder: Path,
    *,
    kind: QwenKind,
    dtype: torch.dtype,
    device: torch.device,
) -> BodyAndHead:
    """Reads a folder's tensors into a Qwen body and head.

    Args:
        published: The folder's config.json; where it is silent, `DEFAULTS` hold.
        folder: Where the safetensors files lie.
        kind: Which shape the weights have.
        dtype: What the parameters become.
        device: Where the parameters go.

    Returns:
        A module with `body` and `head`, as `ModelDenoiser` takes them.

    Raises:
        UsageError: An entry is missing or not expressible, or a tensor is missing or damaged.
    """
    entries = DEFAULTS | dict(published)
    config = qwen_config(entries, folder / "config.json", kind)
    rotary = Rotary(
        width=config.head_dim,
        theta=config.rope_parameters["rope_theta"],
        full_precision=False,
        device=device,
    )
    return load_body_and_head(
        transformers_body(CLASSES[kind][1], config, rotary),
        empty_head(config.hidden_size, config.vocab_size),
        folder,
        qwen_names(config, kind),
        dtype=dtype,
        device=device,
        tied_to=EMBEDDING if entries["tie_word_embeddings"] else None,
    )


def qwen_config(published: Mapping[str, Any], path: Path, kind: QwenKind) -> Any:  # noqa: ANN401
    """The published configuration in transformers' words.

    Args:
        published: The entries of config.json; where they are silent, `DEFAULTS` hold.
        path: The file they came from, for errors.
        kind: Which shape.

    Returns:
        A Qwen2Config, Qwen3Config or Qwen3MoeConfig, its `head_dim` set.

    Raises:
        UsageError: An entry is missing, or has a value that the native module cannot express.
    """
    entries = DEFAULTS | dict(published)
    _check(entries, path, kind)
    sizes = {name: entries[name] for name in TRANSFORMER_SIZES}
    if kind == "qwen3_moe":
        sizes |= {name: entries[name] for name in (*EXPERT_SIZES, "norm_topk_prob")}
        sizes["mlp_only_layers"] = list(entries["mlp_only_layers"] or ())
    config = CLASSES[kind][0](
        **sizes,
        hidden_act="silu",
        rms_norm_eps=entries["rms_norm_eps"],
        rope_parameters={"rope_type": "default", "rope_theta": _rope_theta(entries, path)},
        use_sliding_window=False,
        tie_word_embeddings=False,
        use_cache=False,
    )
    config.head_dim = _head_width(entries, path, kind)
    return config


def qwen_names(config: Any, kind: QwenKind) -> dict[str, Source]:  # noqa: ANN401
    """Native parameter name -> published tensor name, or the experts' tensors to stack."""
    names: dict[str, Source] = {
        "body.model.embed_tokens.weight": "model.embed_tokens.weight",
        "body.model.norm.weight": "model.norm.weight",
        "head.weight": "lm_head.weight",
    }
    for layer in range(config.num_hidden_layers):
        published = f"model.layers.{layer}"
        for tensor in (*LAYER_TENSORS, *ATTENTION_TENSORS[kind]):
            names[f"body.{published}.{tensor}"] = f"{published}.{tensor}"
        if kind == "qwen3_moe" and _has_experts(config, layer):
            mlp = f"{published}.mlp"
            names[f"body.{mlp}.gate.weight"] = f"{mlp}.gate.weight"
            names |= expert_names(f"body.{mlp}.experts", f"{mlp}.experts", config.num_experts)
        else:
            names |= {f"body.{published}.{name}": f"{published}.{name}" for name in DENSE_TENSORS}
    return names


def _has_experts(config: Any, layer: int) -> bool:  # noqa: ANN401
    return layer not in config.mlp_only_layers and (layer + 1) % config.decoder_sparse_step == 0


def _check(entries: Mapping[str, Any], path: Path, kind: QwenKind) -> None:
    check_counts(entries, TRANSFORMER_SIZES, path)
    if kind == "qwen3_moe":
        check_counts(entries, EXPERT_SIZES, path)
        check_flags(entries, ("norm_topk_prob",), path)
    check_values(entries, EXPRESSIBLE, path, "Qwen")
    for layer in entries.get("layer_types") or ():
        if layer != "full_attention":
            raise UsageError(
                f"{path}: layer_types has {layer!r}; the native Qwen module knows "
                "'full_attention' only"
            )


def _rope_theta(entries: Mapping[str, Any], path: Path) -> float:
    """The base of the rotary angles, from either place where config.json may have it."""
    parameters = entries.get("rope_parameters") or entries.get("rope_scaling") or {}
    kind = parameters.get("rope_type", parameters.get("type", "default"))
    if kind != "default":
        raise UsageError(f"{path}: rope_scaling is {kind!r}; the native module knows none")
    return float(parameters.get("rope_theta", entries["rope_theta"]))


def _head_width(entries: Mapping[str, Any], path: Path, kind: QwenKind) -> int:
    """Width of one head; the published classes derive it from the others, SDAR's takes 128."""
    width = entries.get("head_dim", 128 if kind == "qwen3" else None)
    if width is not None:
        return int(width)
    check_multiples(entries, [("hidden_size", "num_attention_heads")], path)
    return int(entries["hidden_size"] // entries["num_attention_heads"])
