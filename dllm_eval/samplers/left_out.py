"""Leave-one-out distributions: what each position would be if it alone were masked.

A part that verifies revealed tokens asks for them (`leave_one_out = True`). Knows what a model has
to offer for that and in which layout it comes; knows no rule. `reader.py` asks, `reveal.py` takes
apart.
"""

from typing import Protocol, runtime_checkable

import torch
from torch import Tensor

from dllm_eval.api import Denoiser
from dllm_eval.errors import UsageError
from dllm_eval.families import Family
from dllm_eval.samplers.config import SamplerConfig
from dllm_eval.samplers.proposal import Prediction


@runtime_checkable
class LeavesOneOut(Protocol):
    """A denoiser that can tell, in one pass, every position from all others."""

    def logits_and_leave_one_out(
        self, token_ids: Tensor, *, valid: Tensor | None = None, rows: slice | None = None
    ) -> Tensor:
        """One forward pass over the canvas and a shadow of `rows`.

        The shadow is one mask more for each row, at the row's position. It sees every token but
        the row's own, and the other shadow masks; the canvas does not see it (WINO, arXiv
        2507.18578; Feng-Hong/WINO-DLLM 9549a1d0, decoding_wino). What other tokens have read of
        the row's own in earlier layers stays with them, so a network of several layers leaves a
        token out in part; an exact denoiser leaves it out wholly.

        Args:
            token_ids: (batch, length) int64 canvas, masks included.
            valid: (batch, length) bool, False at padding; None means that nothing is padded.
            rows: The positions whose logits are wanted; None means all of them.

        Returns:
            (batch, 2 * number of rows, vocab_size): the logits of the rows, as `logits` gives
            them, and behind them those of their shadows.
        """
        ...


def left_out_by(denoiser: Denoiser, config: SamplerConfig) -> LeavesOneOut | None:
    """The denoiser, where the sampler asks for leave-one-out distributions; None where not.

    Raises:
        UsageError: The model cannot give them.
    """
    if not any(part.leave_one_out for part in config.parts):
        return None
    name, family = f"sampler {config.sampler!r}", denoiser.family
    if family.logits_shift:
        raise UsageError(
            f"{name} hides a token from its own position, and family {family.name!r} predicts a "
            "position at its left neighbour, which has seen the token; accepted: families that "
            "predict a position at itself (logits_shift 0)"
        )
    if family.attention != "full" or not isinstance(denoiser, LeavesOneOut):
        raise UsageError(
            f"{name} asks what each token would be given all others, which family "
            f"{family.name!r} cannot tell; accepted: masked families with full attention"
        )
    return denoiser


def num_columns(valid: Tensor | None, token_ids: Tensor, rows: slice) -> Tensor:
    """(batch, 1) int64: what such a pass processes, padding excluded."""
    own = torch.ones_like(token_ids, dtype=torch.bool) if valid is None else valid
    width: int = rows.stop - rows.start
    return own.sum(dim=1, keepdim=True) + width


def told(logits: Tensor, family: Family) -> Prediction:
    """What the shadow's logits say, (batch, rows, vocab); the mask token is never meant."""
    logits = logits.float()
    logits[..., family.mask_id].fill_(-torch.inf)
    return Prediction(logits=logits)
