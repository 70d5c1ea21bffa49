"""The WeDLM family (arXiv 2512.22737): 7B on Qwen2.5's shape, 8B on Qwen3's.

Reads the published config.json and tensors into transformers' Qwen2 or Qwen3; no code of the
checkpoint runs. Attention is causal over the tokens in another order, the known ones first and the
masks behind them, each at its own rotary position; `dllm_eval/attention.py` states that order as a
mask. Reached through the registry alone.
"""

from pathlib import Path
from typing import Any

import torch

from dllm_eval.denoiser import ModelDenoiser
from dllm_eval.errors import UsageError
from dllm_eval.families import Family

from .bodies.qwen import QwenKind, load_qwen
from .entries import check_counts, read_entries, stated_id
from .special_ids import check_agreement, end_id_of, padding_id
from .tokenizers.byte_pairs import load_byte_pairs
from .tokens import token_id

END_OF_TURN_TOKEN = "<|im_end|>"

MASK_ID = 151665
"""Where config.json has none, as the published ones do not: Tencent/WeDLM 0216110f,
wedlm/engine/model_runner.py `_init_mask_token`, and finetune/src/trainer.py. No tokenizer names
it: 7B's leaves the id free, 8B's gives it to <tool_response>."""

PUBLISHED_DEFAULTS: dict[str, Any] = {
    "attention_bias": True,
    "qk_norm": False,
    "max_position_embeddings": 32768,
}
"""What the published configuration class takes where config.json is silent."""

KINDS: dict[tuple[bool, bool], QwenKind] = {(True, False): "qwen2", (False, True): "qwen3"}
"""(attention_bias, qk_norm) -> the shape of the weights."""

DECODING: dict[str, Any] = {
    "sampler": "entropy",
    "window": 16,
    "entropy_threshold": 0.4,
    "position_penalty": 0.02,
    "temperature": 0.0,
}
"""Tencent/WeDLM 0216110f, evaluation/evaluation_base.sh and wedlm_eval.py. Multiple-choice tasks
there take no threshold, a window of 4 and a penalty of 1 (evaluation/demo.sh)."""


def load(folder: Path, *, dtype: torch.dtype, device: torch.device) -> ModelDenoiser:
    """Loads a WeDLM-format checkpoint folder.

    Raises:
        UsageError: Something in the folder is missing, damaged or not expressible natively.
    """
    published = PUBLISHED_DEFAULTS | read_entries(folder)
    kind = _kind(published, folder / "config.json")
    tokenizer = load_byte_pairs(folder)
    family = _family(published, tokenizer, folder)
    # Whether there is a bias is in `kind`; the bodies know no other use of the entry.
    entries = {name: value for name, value in published.items() if name != "attention_bias"}
    module = load_qwen(entries, folder, kind=kind, dtype=dtype, device=device)
    return ModelDenoiser(body=module.body, head=module.head, family=family, tokenizer=tokenizer)


def _kind(published: dict[str, Any], path: Path) -> QwenKind:
    bias, norm = published["attention_bias"], published["qk_norm"]
    if (bias, norm) not in KINDS:
        raise UsageError(
            f"{path}: attention_bias {bias!r} with qk_norm {norm!r}; the native module knows "
            "true with false (Qwen2.5) and false with true (Qwen3)"
        )
    return KINDS[bias, norm]


def _family(published: dict[str, Any], tokenizer: Any, folder: Path) -> Family:  # noqa: ANN401
    path = folder / "config.json"
    check_counts(published, ["vocab_size"], path)
    stated = published.get("mask_token_id")
    entries = published | {"mask_token_id": MASK_ID if stated is None else stated}
    mask_id = stated_id(entries, "mask_token_id", path, vocab_size=published["vocab_size"])
    if tokenizer.mask_token is not None:
        check_agreement("mask_token_id", mask_id, tokenizer, tokenizer.mask_token, folder)
    eos_id = end_id_of(published, tokenizer, folder)
    eot_id = token_id(tokenizer, END_OF_TURN_TOKEN)
    return Family(
        name="wedlm",
        mask_id=mask_id,
        eos_id=eos_id,
        eot_id=None if eot_id == eos_id else eot_id,
        pad_id=padding_id(published, folder, mask_id=mask_id, eos_id=eos_id),
        attention="reordered",
        context_length=published["max_position_embeddings"],
        likelihood="left_to_right",
        decoding=DECODING,
    )
