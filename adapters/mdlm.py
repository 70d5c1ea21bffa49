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

from dllm_eval.checkpoint import read_config
from dllm_eval.denoiser import ModelDenoiser
from dllm_eval.errors import UsageError
from dllm_eval.families import Family

from .bodies.dit import DitConfig
from .bodies.dit_weights import load_dit
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

SIZES = ("vocab_size", "model_length", "hidden_dim", "cond_dim", "n_blocks", "n_heads")

DECODING = {"transition": "ancestral", "steps": 128, "temperature": 1.0}
"""configs/config.yaml of kuleshov-group/mdlm; its README samples with 1000 steps."""


def load(folder: Path, *, dtype: torch.dtype, device: torch.device) -> ModelDenoiser:
    """Loads an MDLM checkpoint folder.

    Raises:
        UsageError: Something in the folder is missing, damaged or not expressible natively.
    """
    path = folder / "config.json"
    published = PUBLISHED_DEFAULTS | read_config(folder)
    check_sizes(published, SIZES, path)
    if published["time_conditioning"] is not False:
        raise UsageError(
            f"{path}: time_conditioning is {published['time_conditioning']!r}; the native MDLM "
            "module knows False only"
        )
    config = dit_config(published)
    # Each training chunk is [end-of-text, text, end-of-text] (dataloader.py, _group_texts).
    tokenizer = load_gpt2_tokenizer(folder, num_tokens=config.mask_id, begin=True)
    body, head = load_dit(folder, config, prefix="backbone.", dtype=dtype, device=device)
    family = Family(
        name="mdlm",
        mask_id=config.mask_id,
        eos_id=tokenizer.eos_token_id,
        pad_id=tokenizer.eos_token_id,
        context_length=published["model_length"],
        decoding=DECODING,
    )
    return ModelDenoiser(body=body, head=head, family=family, tokenizer=tokenizer)


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


def check_sizes(published: dict[str, Any], names: tuple[str, ...], path: Path) -> None:
    """Every size is a whole number of at least 1."""
    for name in names:
        value = published.get(name)
        if not isinstance(value, int) or isinstance(value, bool) or value < 1:
            raise UsageError(f"{path}: {name} is {value!r}, not a whole number of at least 1")
