"""Where a token's confidence becomes a decision: which proposals are revealed in this step."""

import torch
from torch import Tensor

from dllm_eval.samplers.proposal import Proposal


def by_quota(proposal: Proposal, eligible: Tensor, count: int) -> Tensor:
    """The `count` eligible positions with the highest score in every row.

    Args:
        proposal: What could be revealed.
        eligible: (batch, rows) bool: masked positions of the current block.
        count: The schedule's share of this step.

    Returns:
        (batch, rows) bool.
    """
    score = torch.where(eligible, proposal.score, -torch.inf)
    best = score.topk(count, dim=1).indices
    return torch.zeros_like(eligible).scatter_(1, best, True) & eligible


def by_threshold(proposal: Proposal, eligible: Tensor, threshold: float) -> Tensor:
    """Every eligible position at least `threshold` confident, and always the first in order.

    Fast-dLLM's parallel rule (arXiv 2505.22618, Algorithm 1).

    Returns:
        (batch, rows) bool.
    """
    return by_quota(proposal, eligible, 1) | (eligible & (proposal.confidence >= threshold))
