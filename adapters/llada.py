"""The LLaDA family (arXiv 2502.09992): LLaDA-8B Base and Instruct, LLaDA-1.5, and look-alikes.

Reads the published config.json and tensor names into transformers' Llama with full attention;
no code of the checkpoint runs. Reached through the registry alone.
"""

from pathlib import Path
from typing import Any

import torch
from transformers import LlamaConfig, LlamaModel

from dllm_eval.denoiser import ModelDenoiser
from dllm_eval.errors import UsageError
from dllm_eval.families import Family

from .bodies.body_and_head import empty_head, layer_names, load_body_and_head
from .bodies.rotary import Rotary
from .bodies.transformers_body import EMBEDDING, transformers_body
from .entries import check_counts, check_multiples, check_values, read_entries, stated_id
from .special_ids import mask_id_of, padding_id
from .tokens import load_tokenizer, token_id

MASK_TOKEN = "<|mdm_mask|>"
END_OF_TURN_TOKEN = "<|eot_id|>"

TOP_NAMES = {
    "body.model.embed_tokens.weight": "model.transformer.wte.weight",
    "body.model.norm.weight": "model.transformer.ln_f.weight",
    "head.weight": "model.transformer.ff_out.weight",
}
LAYER_NAMES = {
    "input_layernorm": "attn_norm",
    "self_attn.q_proj": "q_proj",
    "self_attn.k_proj": "k_proj",
    "self_attn.v_proj": "v_proj",
    "self_attn.o_proj": "attn_out",
    "post_attention_layernorm": "ff_norm",
    "mlp.gate_proj": "ff_proj",
    "mlp.up_proj": "up_proj",
    "mlp.down_proj": "ff_out",
}
"""Native module -> published tensor, within one layer."""

PUBLISHED_DEFAULTS: dict[str, Any] = {
    "block_type": "sequential",
    "activation_type": "swiglu",
    "layer_norm_type": "default",
    "layer_norm_with_affine": True,
    "rms_norm_eps": 1e-5,
    "rope": False,
    "rope_theta": 10000.0,
    "rope_full_precision": True,
    "max_sequence_length": 1024,
    "n_kv_heads": None,
    "multi_query_attention": None,
    "mlp_ratio": 4,
    "mlp_hidden_size": None,
    "embedding_size": 50304,
    "weight_tying": True,
}
"""What the published configuration class takes where config.json is silent."""

EXPRESSIBLE: dict[str, tuple[Any, ...]] = {
    "block_type": ("llama",),
    "block_group_size": (1, None),
    "activation_type": ("silu",),
    "layer_norm_type": ("rms",),
    "layer_norm_with_affine": (True,),
    "rope": (True,),
    "alibi": (False, None),
    "include_bias": (False, None),
    "include_qkv_bias": (False, None),
    "bias_for_layer_norm": (False, None),
    "attention_layer_norm": (False, None),
    "input_emb_norm": (False, None),
    "scale_logits": (False, None),
}
"""The values that a Llama body can express; anything else is refused by name."""

SIZES = ("d_model", "n_heads", "n_layers", "vocab_size")


def load(folder: Path, *, dtype: torch.dtype, device: torch.device) -> ModelDenoiser:
    """Loads a LLaDA-format checkpoint folder.

    Raises:
        UsageError: Something in the folder is missing, damaged or not expressible natively.
    """
    path = folder / "config.json"
    published = PUBLISHED_DEFAULTS | read_entries(folder)
    check_counts(published, SIZES, path)
    check_values(published, EXPRESSIBLE, path, "LLaDA")
    config = llama_config(published, path)
    tokenizer = load_tokenizer(folder)
    family = _family(published, tokenizer, folder)
    rotary = Rotary(
        width=config.head_dim or 0,
        theta=float(published["rope_theta"]),
        full_precision=bool(published["rope_full_precision"]),
        device=device,
    )
    names = TOP_NAMES | layer_names(
        LAYER_NAMES,
        config.num_hidden_layers,
        native="body.model.layers.{layer}.{part}.weight",
        published="model.transformer.blocks.{layer}.{part}.weight",
    )
    module = load_body_and_head(
        transformers_body(LlamaModel, config, rotary),
        empty_head(config.hidden_size, config.vocab_size),
        folder,
        names,
        dtype=dtype,
        device=device,
        tied_to=EMBEDDING if published["weight_tying"] else None,
    )
    return ModelDenoiser(body=module.body, head=module.head, family=family, tokenizer=tokenizer)


def llama_config(published: dict[str, Any], path: Path) -> LlamaConfig:
    """The published configuration in transformers' words."""
    vocab_size = published["embedding_size"] or published["vocab_size"]
    if vocab_size < published["vocab_size"]:
        raise UsageError(
            f"{path}: embedding_size {vocab_size} is below vocab_size {published['vocab_size']}"
        )
    check_multiples(published, [("d_model", "n_heads")], path)
    hidden = published["d_model"]
    return LlamaConfig(
        vocab_size=vocab_size,
        hidden_size=hidden,
        intermediate_size=published["mlp_hidden_size"] or published["mlp_ratio"] * hidden,
        num_hidden_layers=published["n_layers"],
        num_attention_heads=published["n_heads"],
        num_key_value_heads=_num_key_value_heads(published, path),
        max_position_embeddings=published["max_sequence_length"],
        rms_norm_eps=published["rms_norm_eps"],
        rope_parameters={"rope_type": "default", "rope_theta": float(published["rope_theta"])},
        tie_word_embeddings=False,
        bos_token_id=None,
        eos_token_id=None,
        pad_token_id=None,
        use_cache=False,
    )


def _num_key_value_heads(published: dict[str, Any], path: Path) -> int:
    heads, grouped = published["n_heads"], published["n_kv_heads"]
    multi_query = published["multi_query_attention"]
    implied = {True: 1, False: heads, None: grouped or heads}[multi_query]
    if grouped not in (None, implied):
        raise UsageError(
            f"{path}: n_kv_heads {grouped} contradicts multi_query_attention {multi_query}"
        )
    return int(implied)


def _family(published: dict[str, Any], tokenizer: Any, folder: Path) -> Family:  # noqa: ANN401
    path = folder / "config.json"
    eos_id = stated_id(published, "eos_token_id", path)
    stated = stated_id(published, "mask_token_id", path)
    mask_id = mask_id_of(tokenizer, folder, MASK_TOKEN, stated=stated)
    return Family(
        name="llada",
        mask_id=mask_id,
        eos_id=eos_id,
        eot_id=token_id(tokenizer, END_OF_TURN_TOKEN),
        pad_id=padding_id(published, folder, mask_id=mask_id, eos_id=eos_id),
        context_length=published["max_sequence_length"],
        decoding={"sampler": "low_confidence"},
    )
