"""Asks the model for logits during decoding: guidance, noise level, exact cache, and the count.

Knows the canvas and the model; knows nothing of rules. `loop.py` calls it.
"""

import torch
from torch import Tensor

from dllm_eval.api import Denoiser
from dllm_eval.attention import KeyValues, stop_of
from dllm_eval.families import Family
from dllm_eval.samplers.canvas import Canvas, LastPass
from dllm_eval.samplers.config import SamplerConfig
from dllm_eval.samplers.latent import LatentDenoiser, read_latents
from dllm_eval.samplers.rules import Step


class Reader:
    """The model under one canvas.

    With a cache, the first pass of a block also reads the block before it, now finished, and keeps
    its keys; the passes after it process the block's own columns alone.
    """

    def __init__(self, denoiser: Denoiser, canvas: Canvas, config: SamplerConfig) -> None:
        self.denoiser = denoiser
        self.latent = denoiser if isinstance(denoiser, LatentDenoiser) else None
        self.canvas = canvas
        self.scale = config.cfg_scale
        self.cache: KeyValues | None = None
        if config.cache == "auto" and _is_exact(denoiser.family, config.cfg_scale):
            self.cache = KeyValues(canvas.tokens.shape[1])
        self.last_pass = LastPass()

    def read(self, rows: slice, step: Step, self_conditioning: Tensor | None) -> Tensor:
        """(batch, rows, vocab) logits, guided.

        Above guidance scale 0 they are pushed away from those of a copy in which every prompt
        position is masked: u + (scale + 1)(c - u) (LLaDA, arXiv 2502.09992 Eq. 16).
        """
        canvas, tokens, valid = self.canvas, self.canvas.tokens, self.canvas.valid
        if self.latent is not None:
            self.last_pass = LastPass(passes=1, stop=tokens.shape[1])
            return read_latents(self.latent, canvas, step)
        start = kept = 0
        if self.cache is not None:
            # What lies before the rows changes no more; a shifted row is read at its neighbour.
            start, kept = self.cache.length, max(rows.start - canvas.family.logits_shift, 0)
            self.cache.keep = kept
        if self.scale > 0:
            blank = torch.where(canvas.given, canvas.family.mask_id, tokens)
            tokens = torch.cat([tokens, blank])
            valid = None if valid is None else torch.cat([valid, valid])
        time = None
        if canvas.family.time_conditioned and step.time is not None:
            time = torch.full((len(tokens),), step.time, device=tokens.device)
        logits = self.denoiser.logits(
            tokens,
            valid=valid,
            rows=rows,
            time=time,
            cache=self.cache,
            self_conditioning=self_conditioning,
        )
        self.last_pass = LastPass(
            passes=2 if self.scale > 0 else 1,
            start=start,
            kept=kept,
            stop=stop_of(canvas.family, rows, tokens.shape[1]),
        )
        if self.scale > 0:
            conditional, unconditional = logits.chunk(2)
            logits = unconditional + (self.scale + 1) * (conditional - unconditional)
        return logits


def _is_exact(family: Family, scale: float) -> bool:
    """Whether finished columns have final keys: attention looks back, and at nothing that changes.

    Guidance masks the prompt; under reordered attention masked columns see what lies behind them.
    """
    return family.looks_back and not (family.attention == "reordered" and scale > 0)
