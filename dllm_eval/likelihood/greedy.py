"""Whether greedy decoding, one token per step, would write the target.

Knows the scoring core's batches and no estimator. `score` calls it where it is asked for.
"""

from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor

from dllm_eval.api import Denoiser
from dllm_eval.likelihood.batch import Request
from dllm_eval.likelihood.core import read_masked
from dllm_eval.likelihood.pair import Pair


def greedy_matches(
    denoiser: Denoiser, pairs: Sequence[Pair], rows_per_forward: int
) -> list[tuple[bool, int]]:
    """Low-confidence decoding at temperature 0 with as many steps as target tokens.

    From a fully masked target, each step reveals the position whose best token has the highest
    probability (LLaDA, arXiv 2502.09992, Section 2.4), the leftmost among equals; the mask token
    is never a candidate. Revealed tokens stay, so the first one that differs from the target
    settles the answer, and until then the canvas is the target with a set masked.

    Returns:
        Per pair: whether the target came out, and the forward passes that took.
    """
    masks = [np.ones((1, pair.target_length), dtype=np.bool_) for pair in pairs]
    steps = [0] * len(pairs)
    matches = [True] * len(pairs)

    def best(logits: Tensor, targets: Tensor) -> Tensor:
        logits[:, denoiser.family.mask_id] = -torch.inf
        confidence, token = logits.softmax(dim=1).max(dim=1)
        return torch.stack([confidence, (token == targets).to(confidence.dtype)], dim=1)

    active = list(range(len(pairs)))
    while active:
        requests = [Request(pair=pairs[index], masks=masks[index]) for index in active]
        answers = read_masked(denoiser, requests, rows_per_forward, best)
        for index, answer in zip(active, answers, strict=True):
            chosen = int(answer[:, 0].argmax())
            steps[index] += 1
            matches[index] = bool(answer[chosen, 1])
            masks[index][0, np.flatnonzero(masks[index][0])[chosen]] = False
        active = [index for index in active if matches[index] and masks[index].any()]
    return list(zip(matches, steps, strict=True))
