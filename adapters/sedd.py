"""The SEDD family (arXiv 2310.16834): louaaron/sedd-small and sedd-medium.

Reads the published config.json and tensor names into `dit.py`; no code of the checkpoint runs.
Reached through the registry alone. config.json has no model_type: pass family=sedd. The hub's main
branch holds the weights as a pickle, which is never opened; pull request 1 of either repository
converts it to safetensors: pass revision=refs/pr/1.

The network's output at a masked position is the log of a ratio of probabilities, the score
s_j = p_t(x with j there) / p_t(x) = p(x_0 = j | x) / (exp(sigma) - 1). The released code divides by
(exp(sigma) - 1)(vocab - 1) behind the head (`scale_by_sigma`); here the head divides by vocab - 1
and leaves sigma out, so that exp(logits) is p(x_0 = j | x) up to the network's error: it need not
sum to one. `transition.py` and the score-entropy bound read it so.
"""

import math
from pathlib import Path
from typing import Any

import torch

from dllm_eval.denoiser import ModelDenoiser
from dllm_eval.errors import UsageError
from dllm_eval.families import Family

from .bodies.dit import DitConfig
from .bodies.dit_weights import load_dit
from .entries import check_counts, check_values, read_entries
from .tokenizers.gpt2 import load_gpt2_tokenizer

SECTIONS = ("graph", "noise", "model")
SIZES = ("hidden_size", "cond_dim", "length", "n_blocks", "n_heads")
EXPRESSIBLE: dict[str, tuple[Any, ...]] = {
    "graph.type": ("absorb",),
    "noise.type": ("loglinear",),
    "model.scale_by_sigma": (True,),
}
"""The values that the native module can express; anything else is refused by name."""

DECODING = {"transition": "analytic", "steps": 128, "temperature": 1.0}
"""run_sample.py of louaaron/Score-Entropy-Discrete-Diffusion (commit 0605786d) is analytic with
1024 steps for 1024 tokens; configs/config.yaml has 128 steps."""


def load(folder: Path, *, dtype: torch.dtype, device: torch.device) -> ModelDenoiser:
    """Loads a SEDD checkpoint folder.

    Raises:
        UsageError: Something in the folder is missing, damaged or not expressible natively.
    """
    published = read_entries(folder)
    config = dit_config(published, folder / "config.json")
    # Training chunks are cut out of the corpus anywhere, so nothing is put in front (data.py).
    tokenizer = load_gpt2_tokenizer(folder, num_tokens=config.mask_id, begin=False)
    module = load_dit(folder, config, dtype=dtype, device=device)
    family = Family(
        name="sedd",
        mask_id=config.mask_id,
        eos_id=tokenizer.eos_token_id,
        pad_id=tokenizer.eos_token_id,
        context_length=published["model"]["length"],
        time_conditioned=True,
        likelihood="score_entropy",
        decoding=DECODING,
    )
    return ModelDenoiser(body=module.body, head=module.head, family=family, tokenizer=tokenizer)


def dit_config(published: dict[str, Any], path: Path) -> DitConfig:
    """The published configuration in `dit.py`'s words; the mask stands behind the last token."""
    for section in SECTIONS:
        if not isinstance(published.get(section), dict):
            raise UsageError(f"{path} has no section {section!r}, as SEDD's have")
    entries = {"tokens": published.get("tokens")}
    for section in SECTIONS:
        entries |= {f"{section}.{name}": value for name, value in published[section].items()}
    check_values(entries, EXPRESSIBLE, path, "SEDD")
    check_counts(entries, ("tokens", *(f"model.{name}" for name in SIZES)), path)
    num_tokens, model = published["tokens"], published["model"]
    return DitConfig(
        vocab_size=num_tokens + 1,
        mask_id=num_tokens,
        width=model["hidden_size"],
        level_width=model["cond_dim"],
        num_layers=model["n_blocks"],
        num_heads=model["n_heads"],
        time_conditioned=True,
        log_weight_offset=math.log(num_tokens),
    )
