"""Asks the model for logits during decoding: guidance, noise level, exact cache, and the count.

Knows the canvas and the model; knows nothing of rules. `loop.py` calls it.
"""

import torch
from torch import Tensor

from dllm_eval.api import Denoiser
from dllm_eval.attention import KeyValues
from dllm_eval.samplers.canvas import Canvas
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
        looks_back = denoiser.family.attention != "full"
        self.cache: KeyValues | None = None
        if looks_back and config.cache == "auto":
            self.cache = KeyValues(canvas.tokens.shape[1])
        self.last_pass = (0, slice(0, 0))
        """Forward passes of the last read, and the columns they processed."""

    def read(self, rows: slice, step: Step, self_conditioning: Tensor | None) -> Tensor:
        """(batch, rows, vocab) logits, guided.

        Above guidance scale 0 they are pushed away from those of a copy in which every prompt
        position is masked: u + (scale + 1)(c - u) (LLaDA, arXiv 2502.09992 Eq. 16).
        """
        canvas, tokens, valid = self.canvas, self.canvas.tokens, self.canvas.valid
        if self.latent is not None:
            self.last_pass = (1, slice(0, tokens.shape[1]))
            return read_latents(self.latent, canvas, step)
        if self.cache is not None:
            self.cache.keep = rows.start  # what lies before them changes no more
        first = 0 if self.cache is None else self.cache.length
        last = rows.stop if canvas.family.attention != "full" else tokens.shape[1]
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
        self.last_pass = (2 if self.scale > 0 else 1, slice(first, last))
        if self.scale > 0:
            conditional, unconditional = logits.chunk(2)
            logits = unconditional + (self.scale + 1) * (conditional - unconditional)
        return logits
