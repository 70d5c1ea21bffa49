"""The SDAR family (arXiv 2510.06303): 1.7B, 4B and 8B on Qwen3, 30B-A3B on Qwen3-MoE.

Reads the published config.json and tensors into transformers' Qwen3 under block-causal attention;
no code of the checkpoint runs. Reached through the registry alone.

Decoding follows the authors' evaluation (JetAstra/SDAR c2041a83, OpenCompass' huggingface_bd3.py,
`block_diffusion_generate`): blocks of `block_size` counted from the prompt's first token, so that
the prompt's tail lies in the first block that is denoised; a step reveals every position whose
probability exceeds the threshold, or the schedule's quota where fewer do. That probability is the
model's own. The script generate.py of the same commit takes it after `top_k`, which makes it 1 at
`top_k=1` and reveals whole blocks at once; it also writes over the prompt's tail where the quota is
larger than what is masked. Neither is followed.
"""

from pathlib import Path
from typing import Any

import torch

from dllm_eval.denoiser import ModelDenoiser
from dllm_eval.families import Family

from .bodies.qwen import DEFAULTS, QwenKind, load_qwen
from .entries import check_counts, check_values, read_entries, stated_id
from .special_ids import mask_id_of, padding_id
from .tokenizers.byte_pairs import load_byte_pairs
from .tokens import token_id

MASK_TOKENS = ("<|MASK|>", "<MASK>")
"""The published tokenizers' names of one id: tokenizer_config.json's, and added_tokens.json's."""
END_OF_TURN_TOKEN = "<|im_end|>"

KINDS: dict[str, QwenKind] = {"sdar": "qwen3", "sdar_moe": "qwen3_moe"}
"""model_type -> shape."""

PUBLISHED_DEFAULTS = DEFAULTS | {"block_size": 4}
"""Where config.json is silent; the authors' default model has blocks of 4 (README)."""

PUBLISHED_DECODING: dict[str, Any] = {"strict_threshold": True, "at_least": "quota", "stop": "eos"}
"""Greedy, one token a step, as the published scores (README, Evaluation Setup); a `threshold` makes
it dynamic: 0.95 in the evaluation, 0.85 in generate.py."""


def load(folder: Path, *, dtype: torch.dtype, device: torch.device) -> ModelDenoiser:
    """Loads an SDAR checkpoint folder, dense or mixture of experts.

    Not every published config.json has `block_size` and `mask_token_id`: the block size is then 4,
    so the -b8 to -b64 models need the entry, and the mask is the tokenizer's.

    Raises:
        UsageError: Something in the folder is missing, damaged or not expressible natively.
    """
    published = PUBLISHED_DEFAULTS | read_entries(folder)
    check_values(published, {"model_type": tuple(KINDS)}, folder / "config.json", "SDAR")
    kind = KINDS[published["model_type"]]
    tokenizer = load_byte_pairs(folder)
    family = _family(published, tokenizer, folder)
    module = load_qwen(published, folder, kind=kind, dtype=dtype, device=device)
    return ModelDenoiser(body=module.body, head=module.head, family=family, tokenizer=tokenizer)


def _family(published: dict[str, Any], tokenizer: Any, folder: Path) -> Family:  # noqa: ANN401
    path = folder / "config.json"
    check_counts(published, ["block_size"], path)
    block_length = published["block_size"]
    eos_id = stated_id(published, "eos_token_id", path)
    mask_id = mask_id_of(tokenizer, folder, *MASK_TOKENS, stated=published.get("mask_token_id"))
    return Family(
        name="sdar",
        mask_id=mask_id,
        eos_id=eos_id,
        eot_id=token_id(tokenizer, END_OF_TURN_TOKEN),
        pad_id=padding_id(published, folder, mask_id=mask_id, eos_id=eos_id),
        attention="block_causal",
        block_length=block_length,
        context_length=published["max_position_embeddings"],
        decoding=PUBLISHED_DECODING | {"block_length": block_length},
    )
