"""The Dream family (arXiv 2508.15487): Dream 7B, Dream-Coder, DiffuCoder, and DreamOn (2602.01326).

Reads the published config.json and tensors into transformers' Qwen2 with full attention; no code
of the checkpoint runs. DreamOn has the same model_type: its tokenizer's expand token tells them
apart. Reached through the registry alone.
"""

from pathlib import Path
from typing import Any

import torch

from dllm_eval.denoiser import ModelDenoiser
from dllm_eval.errors import UsageError
from dllm_eval.families import Family

from .bodies.qwen import load_qwen
from .entries import check_values, read_entries, stated_id
from .special_ids import check_agreement, end_id_of, mask_id_of, padding_id
from .tokenizers.byte_pairs import load_byte_pairs
from .tokens import token_id

MASK_TOKEN = "<|mask|>"
END_OF_TURN_TOKEN = "<|im_end|>"
EXPAND_TOKEN = "<|expand|>"

CONTEXT_LENGTH = 2048
"""Input and output together, as the READMEs of DreamLM/Dream and DreamLM/DreamOn state;
config.json repeats the much larger limit of the Qwen model they began as."""

PUBLISHED_DEFAULTS: dict[str, Any] = {
    "architectures": ["DreamModel"],
    "mask_token_id": 151666,
    "pad_token_id": 151643,
}
"""What the published configuration class takes where config.json is silent."""

EXPRESSIBLE: dict[str, tuple[Any, ...]] = {"architectures": (["DreamModel"],)}
"""Later checkpoints with the same model_type are another model (a block-causal one, unshifted)."""

DREAM_DECODING: dict[str, Any] = {
    "sampler": "entropy",
    "schedule": "time",
    "confidence": "filtered",
    "temperature": 0.0,
    "top_p": 0.95,
}
"""DreamLM/Dream fac0a7f2, eval/eval_dream_gen.sh (gsm8k_cot, minerva_math, bbh); the code tasks
there take temperature 0.2. Steps are as many as canvas positions throughout."""

DREAMON_DECODING: dict[str, Any] = {
    "sampler": "entropy",
    "confidence": "filtered",
    "temperature": 0.2,
    "top_p": 0.9,
    "gen_length": 64,
    "initial_length": 4,
}
"""DreamLM/DreamOn 8a0a5491, eval/eval_humaneval_infilling.sh; initial lengths 4, 8, 16, 32 and 64
are evaluated there. One token a step."""


def load(folder: Path, *, dtype: torch.dtype, device: torch.device) -> ModelDenoiser:
    """Loads a Dream-format checkpoint folder.

    Raises:
        UsageError: Something in the folder is missing, damaged or not expressible natively.
    """
    published = PUBLISHED_DEFAULTS | read_entries(folder)
    check_values(published, EXPRESSIBLE, folder / "config.json", "Dream")
    tokenizer = load_byte_pairs(folder)
    family = _family(published, tokenizer, folder)
    module = load_qwen(published, folder, kind="qwen2", dtype=dtype, device=device)
    return ModelDenoiser(body=module.body, head=module.head, family=family, tokenizer=tokenizer)


def load_dreamon(folder: Path, *, dtype: torch.dtype, device: torch.device) -> ModelDenoiser:
    """Loads a DreamOn checkpoint folder, and nothing else.

    Raises:
        UsageError: As `load`, or the tokenizer has no expand token.
    """
    if token_id(load_byte_pairs(folder), EXPAND_TOKEN) is None:
        raise UsageError(
            f"the tokenizer in {folder} has no expand token {EXPAND_TOKEN!r}; pass family=dream"
        )
    return load(folder, dtype=dtype, device=device)


def _family(published: dict[str, Any], tokenizer: Any, folder: Path) -> Family:  # noqa: ANN401
    stated = stated_id(published, "mask_token_id", folder / "config.json")
    mask_id = mask_id_of(tokenizer, folder, MASK_TOKEN, stated=stated)
    eos_id = end_id_of(published, tokenizer, folder)
    check_agreement("eos_token_id", eos_id, tokenizer, tokenizer.eos_token, folder)
    expand_id = token_id(tokenizer, EXPAND_TOKEN)
    grows = expand_id is not None
    return Family(
        name="dreamon" if grows else "dream",
        mask_id=mask_id,
        eos_id=eos_id,
        eot_id=token_id(tokenizer, END_OF_TURN_TOKEN),
        pad_id=padding_id(published, folder, mask_id=mask_id, eos_id=eos_id),
        logits_shift=1,
        context_length=min(CONTEXT_LENGTH, published.get("max_position_embeddings", 32768)),
        expand_id=expand_id,
        # The published sampler's delete token is the end of text (`DreamGenerationConfig`).
        delete_id=eos_id if grows else None,
        decoding=DREAMON_DECODING if grows else DREAM_DECODING,
    )
