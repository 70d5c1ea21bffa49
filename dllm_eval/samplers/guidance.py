"""Logits of a canvas, with classifier-free guidance where it is asked for."""

import torch
from torch import Tensor

from dllm_eval.api import Denoiser
from dllm_eval.samplers.canvas import Canvas


def passes_per_step(scale: float) -> int:
    """Forward passes one step costs a request."""
    return 2 if scale > 0 else 1


def guided_logits(denoiser: Denoiser, canvas: Canvas, rows: slice, scale: float) -> Tensor:
    """(batch, rows, vocab) logits; above scale 0 pushed away from those without a prompt.

    The unconditional copy has every prompt position masked; logits = u + (scale + 1)(c - u)
    (LLaDA, arXiv 2502.09992 Eq. 16).
    """
    if scale == 0:
        return denoiser.logits(canvas.tokens, valid=canvas.valid, rows=rows)
    blank = torch.where(canvas.prompted, canvas.family.mask_id, canvas.tokens)
    both = torch.cat([canvas.tokens, blank])
    valid = None if canvas.valid is None else torch.cat([canvas.valid, canvas.valid])
    conditional, unconditional = denoiser.logits(both, valid=valid, rows=rows).chunk(2)
    return unconditional + (scale + 1) * (conditional - unconditional)
