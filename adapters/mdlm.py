"""The MDLM family (arXiv 2406.07524): kuleshov-group/mdlm-owt and look-alikes.

Reads the published config.json and tensor names into `dit.py`; no code of the checkpoint runs.
Reached through the registry alone.

The published sampler is `ddpm_cache` of diffusion.py in kuleshov-group/mdlm (commit c112c526). It
starts from masks alone; keeping the prompt in place is ours, and is what masked diffusion gives:
what is revealed stays.
"""

from pathlib import Path
from typing import Any

import torch

from dllm_eval.denoiser import ModelDenoiser
from dllm_eval.families import Family

from .bodies.dit import DitConfig
from .bodies.dit_weights import load_dit
from .entries import check_counts, check_flags, check_values, read_entries
from .tokenizers.gpt2 import load_gpt2_tokenizer

PUBLISHED_DEFAULTS: dict[str, Any] = {
    "vocab_size": 50258,
    "model_length": 1024,
    "hidden_dim": 768,
    "cond_dim": 129,
    "n_blocks": 12,
    "n_heads": 12,
    "time_conditioning": False,
}
"""What the published configuration class takes where config.json is silent."""

EXPRESSIBLE: dict[str, tuple[Any, ...]] = {"time_conditioning": (False,)}
"""The values that the native module can express; anything else is refused by name."""

SIZES = ("vocab_size", "model_length", "hidden_dim", "cond_dim", "n_blocks", "n_heads")

DECODING = {"transition": "ancestral", "steps": 128, "temperature": 1.0}
"""configs/config.yaml of kuleshov-group/mdlm; its README samples with 1000 steps."""


def load(folder: Path, *, dtype: torch.dtype, device: torch.device) -> ModelDenoiser:
    """Loads an MDLM checkpoint folder.

    Raises:
        UsageError: Something in the folder is missing, damaged or not expressible natively.
    """
    path = folder / "config.json"
    published = PUBLISHED_DEFAULTS | read_entries(folder)
    check_counts(published, SIZES, path)
    check_flags(published, EXPRESSIBLE, path)
    check_values(published, EXPRESSIBLE, path, "MDLM")
    config = dit_config(published)
    # Each training chunk is [end-of-text, text, end-of-text] (dataloader.py, _group_texts).
    tokenizer = load_gpt2_tokenizer(folder, num_tokens=config.mask_id, begin=True)
    module = load_dit(folder, config, prefix="backbone.", dtype=dtype, device=device)
    family = Family(
        name="mdlm",
        mask_id=config.mask_id,
        eos_id=tokenizer.eos_token_id,
        pad_id=tokenizer.eos_token_id,
        context_length=published["model_length"],
        decoding=DECODING,
    )
    return ModelDenoiser(body=module.body, head=module.head, family=family, tokenizer=tokenizer)


def dit_config(published: dict[str, Any]) -> DitConfig:
    """The published configuration in `dit.py`'s words; the mask is the last token."""
    return DitConfig(
        vocab_size=published["vocab_size"],
        mask_id=published["vocab_size"] - 1,
        width=published["hidden_dim"],
        level_width=published["cond_dim"],
        num_layers=published["n_blocks"],
        num_heads=published["n_heads"],
    )
