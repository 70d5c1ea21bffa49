"""The BD3-LM family (arXiv 2503.09573): kuleshov-group/bd3lm-owt-block_size4, 8 and 16.

Reads the published config.json and tensor names into `dit.py`; no code of the checkpoint runs.
Reached through the registry alone.

The published sampler is `_semi_ar_sampler` of diffusion.py in kuleshov-group/bd3lms (commit
1c3e8f43) with first hitting: each step reveals exactly one uniformly random masked position of the
block, and its token is drawn from the most likely ones whose probability stays within .9. Three
things of it are left out on purpose: it throws away and draws again samples whose last 256 tokens
have low entropy (`_check_stop_conds`), it moves its window on behind 1024 tokens, and its first
block must begin with end-of-text, which here is the prompt's first token.
"""

from pathlib import Path
from typing import Any

import torch

from dllm_eval.denoiser import ModelDenoiser
from dllm_eval.families import Family

from .bodies.dit_weights import load_dit
from .entries import check_counts, check_flags, check_multiples, check_values, read_entries
from .mdlm import SIZES, dit_config
from .tokenizers.gpt2 import load_gpt2_tokenizer

PUBLISHED_DEFAULTS: dict[str, Any] = {
    "block_size": 1,
    "vocab_size": 50258,
    "model_length": 1024,
    "cross_attn": True,
    "adaln": True,
    "causal": False,
    "hidden_dim": 768,
    "cond_dim": 129,
    "n_blocks": 12,
    "n_heads": 12,
    "time_conditioning": False,
}
"""What the published configuration class takes where config.json is silent."""

EXPRESSIBLE: dict[str, tuple[Any, ...]] = {
    "adaln": (True,),
    "causal": (False,),
    "time_conditioning": (False,),
    "cross_attn": (True, False),
}
"""The values that the native module can express; anything else is refused by name."""

DECODING = {"sampler": "random", "temperature": 1.0, "top_p": 0.9, "top_p_cut": "within"}
"""scripts/gen_ppl/genppl_bd3lm.sh of kuleshov-group/bd3lms, with sampling.first_hitting."""


def load(folder: Path, *, dtype: torch.dtype, device: torch.device) -> ModelDenoiser:
    """Loads a BD3-LM checkpoint folder.

    Raises:
        UsageError: Something in the folder is missing, damaged or not expressible natively.
    """
    path = folder / "config.json"
    published = PUBLISHED_DEFAULTS | read_entries(folder)
    check_counts(published, (*SIZES, "block_size"), path)
    check_flags(published, EXPRESSIBLE, path)
    check_values(published, EXPRESSIBLE, path, "BD3-LM")
    check_multiples(published, [("model_length", "block_size")], path)
    config = dit_config(published)
    tokenizer = load_gpt2_tokenizer(folder, num_tokens=config.mask_id, begin=True)
    module = load_dit(
        folder,
        config,
        prefix="backbone.",
        unused=("sampling_eps_",),
        dtype=dtype,
        device=device,
    )
    family = _family(published, config.mask_id, tokenizer.eos_token_id)
    return ModelDenoiser(body=module.body, head=module.head, family=family, tokenizer=tokenizer)


def _family(published: dict[str, Any], mask_id: int, eos_id: int) -> Family:
    block = published["block_size"]
    blockwise = published["cross_attn"] and block < published["model_length"]
    return Family(
        name="bd3lm",
        mask_id=mask_id,
        eos_id=eos_id,
        pad_id=eos_id,
        attention="block_causal" if blockwise else "full",
        block_length=block if blockwise else None,
        context_length=published["model_length"],
        decoding={**DECODING, "block_length": block} if blockwise else DECODING,
    )
