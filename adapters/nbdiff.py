"""The NBDiff family ("From Next-Token to Next-Block", arXiv 2512.06776): NBDiff-7B Base, Instruct.

Reads the published config.json and tensors into transformers' Llama, whose shape
openPangu-Embedded-7B has, with biases in attention; no code of the checkpoint runs. Reached through
the registry alone.

Decoding follows `diffusion_generate` (YuchuanTian/NBDiff e0c10f3, generation_utils.py): the prompt
and finished blocks are read causally, blocks count from the prompt's end, and the block that is
denoised sees itself and everything before it. Its first token comes from the causal pass; of the
rest one at a time is revealed, sub-block by sub-block. The published `topk_margin` order looks
along the wrong axis and raises; here `sampler: margin` does what it is named after. Any other
unknown order there means most probable first, here an error.
"""

from pathlib import Path
from typing import Any

import torch
from torch import nn
from transformers import LlamaConfig, LlamaModel

from dllm_eval.checkpoint import Source
from dllm_eval.denoiser import ModelDenoiser
from dllm_eval.families import Family

from .bodies.body_and_head import empty_head, load_body_and_head
from .bodies.rotary import Rotary
from .bodies.transformers_body import transformers_body
from .entries import TRANSFORMER_SIZES, check_counts, check_multiples, check_values, read_entries
from .special_ids import check_agreement, end_id_of, mask_id_of, padding_id
from .tokenizers.sentence_pieces import load_sentence_pieces

MASK_TOKEN = "[unused0]"
"""The id 45830 that the published demo passes by hand, in openPangu's vocabulary."""

INVERSE_FREQUENCIES = "model.layers.{}.self_attn.rotary_emb.inv_freq"
"""openPangu-Embedded-7B stores these; its own code computes them from `rope_theta` instead."""

BLOCK_LENGTH = 32
"""Of the published demo; config.json does not have it."""

DECODING: dict[str, Any] = {
    "block_length": BLOCK_LENGTH,
    "sub_block_length": 4,
    "first_token": "autoregressive",
    "sampler": "entropy",
    "confidence": "filtered",
    "temperature": 1.0,
    "top_p": 0.8,
    "stop": "eos",
}
"""The published demo.py, whose 8 small blocks are 4 tokens each."""

PUBLISHED_DEFAULTS: dict[str, Any] = {
    "model_type": "PanguEmbedded",
    "vocab_size": 153376,
    "hidden_size": 4096,
    "intermediate_size": 12800,
    "num_hidden_layers": 34,
    "num_attention_heads": 32,
    "num_key_value_heads": 8,
    "hidden_act": "silu",
    "max_position_embeddings": 32768,
    "rms_norm_eps": 1e-5,
    "pad_token_id": 0,
    "eos_token_id": 45892,
    "tie_word_embeddings": False,
    "rope_theta": 16000000.0,
    "bias": True,
}
"""What the published `PanguEmbeddedConfig` takes where config.json is silent."""

EXPRESSIBLE: dict[str, tuple[Any, ...]] = {
    "model_type": ("PanguEmbedded",),
    "hidden_act": ("silu",),
    "rope_scaling": (None,),
    "tie_word_embeddings": (False,),
}
"""The values that the native module can express; anything else is refused by name."""

MULTIPLES = (
    ("hidden_size", "num_attention_heads"),
    ("num_attention_heads", "num_key_value_heads"),
)


def load(folder: Path, *, dtype: torch.dtype, device: torch.device) -> ModelDenoiser:
    """Loads an NBDiff checkpoint folder.

    Raises:
        UsageError: Something in the folder is missing, damaged or not expressible natively.
    """
    published = PUBLISHED_DEFAULTS | read_entries(folder)
    path = folder / "config.json"
    check_counts(published, TRANSFORMER_SIZES, path)
    check_values(published, EXPRESSIBLE, path, "NBDiff")
    check_multiples(published, MULTIPLES, path)
    tokenizer = load_sentence_pieces(folder)
    family = _family(published, tokenizer, folder)
    config = llama_config(published)
    rotary = Rotary(
        width=config.head_dim or 0,
        theta=float(published["rope_theta"]),
        full_precision=False,
        device=device,
    )
    body = transformers_body(LlamaModel, config, rotary)
    module = load_body_and_head(
        body,
        empty_head(config.hidden_size, config.vocab_size),
        folder,
        tensor_names(body),
        dtype=dtype,
        device=device,
        unused=tuple(INVERSE_FREQUENCIES.format(n) for n in range(config.num_hidden_layers)),
    )
    return ModelDenoiser(body=module.body, head=module.head, family=family, tokenizer=tokenizer)


def tensor_names(body: nn.Module) -> dict[str, Source]:
    """Native parameter name -> published tensor name: transformers' own, under another roof."""
    names: dict[str, Source] = {f"body.{name}": name for name, _ in body.named_parameters()}
    return names | {"head.weight": "lm_head.weight"}


def llama_config(published: dict[str, Any]) -> LlamaConfig:
    """The published configuration in transformers' words."""
    return LlamaConfig(
        vocab_size=published["vocab_size"],
        hidden_size=published["hidden_size"],
        intermediate_size=published["intermediate_size"],
        num_hidden_layers=published["num_hidden_layers"],
        num_attention_heads=published["num_attention_heads"],
        num_key_value_heads=published["num_key_value_heads"],
        head_dim=published.get("head_dim"),
        attention_bias=bool(published["bias"]),
        max_position_embeddings=published["max_position_embeddings"],
        rms_norm_eps=published["rms_norm_eps"],
        rope_parameters={"rope_type": "default", "rope_theta": float(published["rope_theta"])},
        tie_word_embeddings=False,
        bos_token_id=None,
        eos_token_id=None,
        pad_token_id=None,
        use_cache=False,
    )


def _family(published: dict[str, Any], tokenizer: Any, folder: Path) -> Family:  # noqa: ANN401
    mask_id = mask_id_of(tokenizer, folder, MASK_TOKEN, stated=published.get("mask_token_id"))
    eos_id = end_id_of(published, tokenizer, folder)
    if tokenizer.eos_token is not None:
        check_agreement("eos_token_id", eos_id, tokenizer, tokenizer.eos_token, folder)
    return Family(
        name="nbdiff",
        mask_id=mask_id,
        eos_id=eos_id,
        pad_id=padding_id(published, folder, mask_id=mask_id, eos_id=eos_id),
        logits_shift=1,
        attention="causal_context",
        block_length=BLOCK_LENGTH,
        context_length=published["max_position_embeddings"],
        decoding=DECODING,
    )
