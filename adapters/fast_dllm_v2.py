"""Fast-dLLM v2 (arXiv 2509.26328): 1.5B and 7B, block diffusion grown from Qwen2.5-Instruct.

Reads the published config.json and tensors into transformers' Qwen2 under block-causal attention,
logits shifted by one; no code of the checkpoint runs. Reached through the registry alone.

Decoding follows `generate` of the published modeling.py (kept in Satgoy152/DualDiffusion 9587d1e4)
and `batch_sample` of NVlabs/Fast-dLLM v2/generation_functions.py (d259b48a): blocks of 32 counted
from the prompt's first token; a block's first token is the most likely one behind the finished
blocks; then sub-blocks of 8 from left to right, where a step reveals every position whose
probability exceeds the threshold and the surest one always. Three things are not followed: both
functions lose a prompt of exactly one block, which is neither cached nor before the block that is
denoised; their sub-block cache (`use_block_cache`) is an approximation; and above temperature 0
they take a block's first token without drawing it, which here is drawn as any other is.
"""

from pathlib import Path
from typing import Any

import torch

from dllm_eval.denoiser import ModelDenoiser
from dllm_eval.families import Family

from .bodies.qwen import DEFAULTS, load_qwen
from .entries import check_counts, read_entries, stated_id
from .special_ids import mask_id_of, padding_id
from .tokenizers.byte_pairs import load_byte_pairs

MASK_TOKEN = "|<MASK>|"

SUB_BLOCK_LENGTH = 8

PUBLISHED_DEFAULTS = DEFAULTS | {"bd_size": 32}
"""What the published configuration class takes where config.json is silent."""

PUBLISHED_DECODING: dict[str, Any] = {
    "threshold": 1.0,
    "strict_threshold": True,
    "at_least": "quota",
    "first_token": "autoregressive",
    "stop": "eos",
}
"""The defaults of `generate`, and of the published GSM8K, MATH and IFEval scores (NVlabs/Fast-dLLM
d259b48a, v2/eval_script.sh): one token a step. v2/run_chatbot.py takes 0.9. That fewer `steps`
reveal more is ours."""


def load(folder: Path, *, dtype: torch.dtype, device: torch.device) -> ModelDenoiser:
    """Loads a Fast-dLLM v2 checkpoint folder.

    Raises:
        UsageError: Something in the folder is missing, damaged or not expressible natively.
    """
    published = PUBLISHED_DEFAULTS | read_entries(folder)
    tokenizer = load_byte_pairs(folder)
    family = _family(published, tokenizer, folder)
    module = load_qwen(published, folder, kind="qwen2", dtype=dtype, device=device)
    return ModelDenoiser(body=module.body, head=module.head, family=family, tokenizer=tokenizer)


def _family(published: dict[str, Any], tokenizer: Any, folder: Path) -> Family:  # noqa: ANN401
    path = folder / "config.json"
    check_counts(published, ["bd_size"], path)
    block_length = published["bd_size"]
    eos_id = stated_id(published, "eos_token_id", path)
    mask_id = mask_id_of(tokenizer, folder, MASK_TOKEN, stated=published.get("mask_token_id"))
    return Family(
        name="fast_dllm_v2",
        mask_id=mask_id,
        eos_id=eos_id,
        pad_id=padding_id(published, folder, mask_id=mask_id, eos_id=eos_id),
        logits_shift=1,
        attention="block_causal",
        block_length=block_length,
        context_length=published["max_position_embeddings"],
        decoding=PUBLISHED_DECODING
        | {
            "block_length": block_length,
            "sub_block_length": min(SUB_BLOCK_LENGTH, block_length),
        },
    )
