"""Whether greedy decoding, one token per step, would write the target.

Knows the scoring core's batches and no estimator. `score` calls it where it is asked for.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from dllm_eval.api import Denoiser
from dllm_eval.likelihood.batch import Request
from dllm_eval.likelihood.budget import Budget
from dllm_eval.likelihood.core import read_masked
from dllm_eval.likelihood.pair import Pair
from dllm_eval.likelihood.plan import Masks


@dataclass(kw_only=True)
class Greedy:
    """What greedy decoding made of one pair so far."""

    masks: list[Masks]
    """What is left masked of each part, (1, the part's target length)."""
    matches: bool = True
    nfe: int = 0
    positions: int = 0

    @property
    def open(self) -> bool:
        """Whether the answer is not settled."""
        return self.matches and any(mask.any() for mask in self.masks)


def greedy_matches(
    denoiser: Denoiser,
    split: Sequence[Sequence[Pair]],
    tokens_per_forward: int | Budget,
    *,
    questions: Sequence[int],
    leftmost: bool = False,
) -> list[Greedy]:
    """Decoding at temperature 0, one token a step, on a canvas of the target's length.

    From a fully masked target, each step reveals the position whose best token has the highest
    probability (LLaDA, arXiv 2502.09992, Section 2.4), the leftmost among equals; the mask token
    is never a candidate. Revealed tokens stay, so the first one that differs from the target
    settles the answer, and until then the canvas is the target with a set masked. A pair that is a
    chain of parts is decoded part by part: each is looked at behind the target's own earlier ones,
    since it does not matter what comes behind a part that differs.

    Args:
        denoiser: The model.
        split: The parts of every pair.
        tokens_per_forward: Positions per forward pass, see `core.log_prob_tables`.
        questions: Per pair, the number of its question; equal numbers side by side.
        leftmost: Reveals from left to right instead.

    Returns:
        Per pair: whether the target came out, and what that cost.
    """
    found = [
        Greedy(masks=[np.ones((1, part.target_length), dtype=np.bool_) for part in parts])
        for parts in split
    ]

    def best(logits: Tensor, targets: Tensor) -> Tensor:
        logits[:, denoiser.family.mask_id] = -torch.inf
        confidence, token = logits.softmax(dim=1).max(dim=1)
        return torch.stack([confidence, (token == targets).to(confidence.dtype)], dim=1)

    while any(greedy.open for greedy in found):
        asked = [
            (greedy, Request(pair=part, masks=mask, group=group, question=question))
            for group, (greedy, parts, question) in enumerate(
                zip(found, split, questions, strict=True)
            )
            for part, mask in zip(parts, greedy.masks, strict=True)
            if greedy.open and mask.any()
        ]
        requests = [request for _, request in asked]
        answers = list(read_masked(denoiser, requests, tokens_per_forward, best))
        for (greedy, request), answer in zip(asked, answers, strict=True):
            chosen = 0 if leftmost else int(answer.values[:, 0].argmax())
            greedy.matches &= bool(answer.values[chosen, 1])
            greedy.nfe += answer.nfe
            greedy.positions += answer.positions
            request.masks[0, np.flatnonzero(request.masks[0])[chosen]] = False
    return found
