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

from dllm_eval.checkpoint import read_config
from dllm_eval.denoiser import ModelDenoiser
from dllm_eval.errors import UsageError
from dllm_eval.families import Family

from .bodies.qwen import DEFAULTS, QwenKind, load_qwen
from .tokenizers.byte_pairs import load_byte_pairs
from .tokens import token_id

MASK_TOKENS = ("<|MASK|>", "<MASK>")
"""The published tokenizers' names of one id: tokenizer_config.json's, and added_tokens.json's."""
END_OF_TURN_TOKEN = "<|im_end|>"

KINDS: dict[str, QwenKind] = {"sdar": "qwen3", "sdar_moe": "qwen3_moe"}
"""model_type -> shape."""

DEFAULT_BLOCK_LENGTH = 4
"""Of a config.json without `block_size`: the authors' default model (README, "block size = 4")."""

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
    published = DEFAULTS | read_config(folder)
    kind = KINDS.get(str(published.get("model_type")))
    if kind is None:
        raise UsageError(
            f"{folder / 'config.json'}: model_type is {published.get('model_type')!r}; "
            f"SDAR's are {' and '.join(KINDS)}"
        )
    tokenizer = load_byte_pairs(folder)
    family = _family(published, tokenizer, folder)
    module = load_qwen(published, folder, kind=kind, dtype=dtype, device=device)
    return ModelDenoiser(body=module.body, head=module.head, family=family, tokenizer=tokenizer)


def _family(published: dict[str, Any], tokenizer: Any, folder: Path) -> Family:  # noqa: ANN401
    path = folder / "config.json"
    block_length = published.get("block_size", DEFAULT_BLOCK_LENGTH)
    if type(block_length) is not int or block_length < 1:
        raise UsageError(f"{path}: block_size is {block_length!r}, not a positive number")
    eos_id = published.get("eos_token_id")
    if type(eos_id) is not int:
        raise UsageError(f"{path}: eos_token_id is {eos_id!r}, not a token id")
    mask_id = _mask_id(published.get("mask_token_id"), tokenizer, folder)
    if mask_id == eos_id:
        raise UsageError(f"{folder}: the mask token and eos_token_id are both {mask_id}")
    return Family(
        name="sdar",
        mask_id=mask_id,
        eos_id=eos_id,
        eot_id=token_id(tokenizer, END_OF_TURN_TOKEN),
        pad_id=eos_id,
        attention="block_causal",
        block_length=block_length,
        context_length=published["max_position_embeddings"],
        decoding=PUBLISHED_DECODING | {"block_length": block_length},
    )


def _mask_id(stated: object, tokenizer: Any, folder: Path) -> int:  # noqa: ANN401
    """The tokenizer's mask, which `mask_token_id` must agree with where config.json has one."""
    names = [tokenizer.mask_token] if tokenizer.mask_token else list(MASK_TOKENS)
    name, found = next(
        ((name, found) for name in names if (found := token_id(tokenizer, name)) is not None),
        (None, None),
    )
    if found is None:
        raise UsageError(f"the tokenizer in {folder} has no mask token {names[0]!r}")
    if stated not in (None, found):
        raise UsageError(
            f"{folder}: config.json has mask_token_id {stated}, "
            f"but the tokenizer gives {name!r} the id {found}"
        )
    return found
