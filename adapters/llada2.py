"""The LLaDA2 family: LLaDA2.0 (arXiv 2512.15745) and LLaDA2.1 (arXiv 2602.08676), mini and flash.

Reads the published config.json and tensor names into our Bailing body under block-causal attention;
no code of the checkpoint runs. Nothing in a folder tells 2.0 from 2.1, whose published rule also
edits revealed tokens; `load` and `load_editing` differ in that alone. Facts are from inclusionAI's
modelling code as kept in ZHZisZZ/dllm (commit ca176752, pipelines/llada2 and llada21).
"""

from pathlib import Path
from typing import Any

import torch
from torch import nn

from dllm_eval.checkpoint import Source
from dllm_eval.denoiser import ModelDenoiser
from dllm_eval.errors import UsageError
from dllm_eval.families import Family

from .bodies.bailing import BailingBody, BailingShape
from .bodies.body_and_head import empty_head, load_body_and_head
from .bodies.moe import expert_names
from .bodies.rotary import Rotary
from .entries import TRANSFORMER_SIZES, check_counts, check_multiples, check_values, read_entries
from .special_ids import check_agreement, mask_id_of, padding_id
from .tokens import load_tokenizer, token_id

MASK_TOKEN = "<|mask|>"
END_TOKEN = "<|endoftext|>"
END_OF_TURN_TOKEN = "<|role_end|>"
BLOCK_LENGTH = 32
"""Of every published checkpoint; config.json does not have it."""

DECODING: dict[str, Any] = {
    "block_length": BLOCK_LENGTH,
    "sampler": "low_confidence",
    "temperature": 0.0,
    "threshold": 0.95,
    "strict_threshold": True,
    "at_least": "quota",
    "stop": "eos",
}
"""LLaDA2.0's `generate`: `steps` says how many tokens a step reveals at least, by default one."""

EDITING = DECODING | {"threshold": 0.7, "edit_threshold": 0.5, "max_edit_steps": 16}
"""LLaDA2.1's quality mode, from the model card; its `generate` defaults to 0.95 and 0.9."""

PUBLISHED_DEFAULTS: dict[str, Any] = {
    "hidden_act": "silu",
    "use_qkv_bias": False,
    "use_qk_norm": True,
    "use_bias": True,
    "rms_norm_eps": 1e-5,
    "tie_word_embeddings": False,
    "max_position_embeddings": 16384,
    "rope_theta": 10000.0,
    "partial_rotary_factor": 0.5,
    "num_experts": 16,
    "num_shared_experts": 0,
    "num_experts_per_tok": 2,
    "n_group": 8,
    "topk_group": 4,
    "routed_scaling_factor": 2.5,
    "first_k_dense_replace": 0,
}
"""What the published `LLaDA2MoeConfig` takes where config.json is silent."""

EXPRESSIBLE: dict[str, tuple[Any, ...]] = {
    "hidden_act": ("silu",),
    "rope_scaling": (None,),
    "use_sliding_window": (False, None),
    "norm_head": (False, None),
    "score_function": ("sigmoid", None),
    "norm_topk_prob": (True, None),
    "moe_router_enable_expert_bias": (True, None),
}
"""The values that the native module can express; anything else is refused by name."""

SIZES = (
    *TRANSFORMER_SIZES,
    "num_experts",
    "num_experts_per_tok",
    "moe_intermediate_size",
    "n_group",
    "topk_group",
)

MULTIPLES = (("num_attention_heads", "num_key_value_heads"), ("num_experts", "n_group"))


def load(folder: Path, *, dtype: torch.dtype, device: torch.device) -> ModelDenoiser:
    """Loads a LLaDA2.0-format checkpoint folder.

    Raises:
        UsageError: Something in the folder is missing, damaged or not expressible natively.
    """
    return _load(folder, "llada2", DECODING, dtype, device)


def load_editing(folder: Path, *, dtype: torch.dtype, device: torch.device) -> ModelDenoiser:
    """Loads a LLaDA2.1-format checkpoint folder; as `load`, with the rule that edits tokens."""
    return _load(folder, "llada21", EDITING, dtype, device)


def _load(
    folder: Path, name: str, decoding: dict[str, Any], dtype: torch.dtype, device: torch.device
) -> ModelDenoiser:
    path = folder / "config.json"
    published = PUBLISHED_DEFAULTS | read_entries(folder)
    _check(published, path)
    shape = bailing_shape(published)
    tokenizer = load_tokenizer(folder)
    family = _family(published, tokenizer, folder, name, decoding)
    rotary = Rotary(
        width=int(shape.head_width * published["partial_rotary_factor"]),
        theta=float(published["rope_theta"]),
        full_precision=False,
        device=device,
    )
    with torch.device("meta"):
        body = BailingBody(shape, rotary)
    module = load_body_and_head(
        body,
        empty_head(shape.width, shape.vocab_size),
        folder,
        tensor_names(body, shape),
        dtype=dtype,
        device=device,
        tied_to="word_embeddings.weight" if published["tie_word_embeddings"] else None,
    )
    return ModelDenoiser(body=module.body, head=module.head, family=family, tokenizer=tokenizer)


def tensor_names(body: nn.Module, shape: BailingShape) -> dict[str, Source]:
    """Native parameter name -> published tensor name, or the experts' tensors to stack."""
    names: dict[str, Source] = {
        f"body.{name}": f"model.{name}" for name, _ in body.named_parameters()
    }
    names["head.weight"] = "lm_head.weight"
    for layer in range(shape.num_dense_layers, shape.num_layers):
        experts = f"layers.{layer}.mlp.experts"
        names |= expert_names(f"body.{experts}", f"model.{experts}", shape.num_experts)
    return names


def bailing_shape(published: dict[str, Any]) -> BailingShape:
    """The published configuration in our body's words."""
    return BailingShape(
        vocab_size=published["vocab_size"],
        width=published["hidden_size"],
        num_layers=published["num_hidden_layers"],
        num_heads=published["num_attention_heads"],
        num_key_heads=published["num_key_value_heads"],
        head_width=_head_width(published),
        inner_width=published["intermediate_size"],
        num_dense_layers=published["first_k_dense_replace"],
        norm_eps=float(published["rms_norm_eps"]),
        query_key_norm=bool(published["use_qk_norm"]),
        query_key_value_bias=bool(published["use_qkv_bias"]),
        output_bias=bool(published["use_bias"]),
        num_experts=published["num_experts"],
        num_chosen=published["num_experts_per_tok"],
        expert_width=published["moe_intermediate_size"],
        num_shared=published["num_shared_experts"] or 0,
        num_groups=published["n_group"],
        num_chosen_groups=published["topk_group"],
        routed_scale=float(published["routed_scaling_factor"]),
    )


def _head_width(published: dict[str, Any]) -> int:
    width: int = published.get("head_dim") or (
        published["hidden_size"] // published["num_attention_heads"]
    )
    return width


def _check(published: dict[str, Any], path: Path) -> None:
    check_counts(published, SIZES, path)
    check_values(published, EXPRESSIBLE, path, "LLaDA2")
    check_multiples(published, MULTIPLES, path)
    _check_experts(published, path)


def _check_experts(published: dict[str, Any], path: Path) -> None:
    """A group is judged by its two best experts, and the chosen ones lie in the best groups."""
    experts, groups = published["num_experts"], published["n_group"]
    if experts // groups < 2:
        raise UsageError(
            f"{path}: n_group {groups} leaves 1 of {experts} experts a group; it must leave 2"
        )
    eligible = published["topk_group"] * (experts // groups)
    if published["num_experts_per_tok"] > eligible:
        raise UsageError(
            f"{path}: num_experts_per_tok {published['num_experts_per_tok']} is more than the "
            f"{eligible} experts of topk_group {published['topk_group']} groups"
        )


def _family(
    published: dict[str, Any],
    tokenizer: Any,  # noqa: ANN401
    folder: Path,
    name: str,
    decoding: dict[str, Any],
) -> Family:
    mask_id = mask_id_of(tokenizer, folder, MASK_TOKEN, stated=published.get("mask_token_id"))
    eos_id, eot_id = _end_ids(published.get("eos_token_id"), tokenizer, folder)
    return Family(
        name=name,
        mask_id=mask_id,
        eos_id=eos_id,
        eot_id=eot_id,
        pad_id=padding_id(published, folder, mask_id=mask_id, eos_id=eos_id),
        attention="block_causal",
        block_length=BLOCK_LENGTH,
        context_length=published["max_position_embeddings"],
        decoding=decoding,
    )


def _end_ids(stated: Any, tokenizer: Any, folder: Path) -> tuple[int, int | None]:  # noqa: ANN401
    """End of text, and end of turn where the tokenizer knows one.

    A chat tokenizer may call the end of turn its end token, which contradicts nothing.
    """
    eot_id = token_id(tokenizer, END_OF_TURN_TOKEN)
    named = None if tokenizer.eos_token is None else token_id(tokenizer, tokenizer.eos_token)
    known = token_id(tokenizer, END_TOKEN)
    eos_id = next((number for number in (stated, known, named) if number is not None), None)
    if type(eos_id) is not int:
        raise UsageError(f"{folder}: neither config.json nor the tokenizer has an end-of-text id")
    if named not in (None, eos_id, eot_id):
        check_agreement("eos_token_id", eos_id, tokenizer, tokenizer.eos_token, folder)
    return eos_id, None if eot_id == eos_id else eot_id
