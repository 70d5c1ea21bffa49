"""Where a token's confidence becomes a decision: which proposals are revealed in this step."""

import torch
from torch import Tensor

from dllm_eval.samplers.config import SamplerConfig
from dllm_eval.samplers.noise import Noise
from dllm_eval.samplers.proposal import Proposal


def select(
    proposal: Proposal, eligible: Tensor, config: SamplerConfig, share: float, noise: Noise
) -> Tensor:
    """The positions that this step reveals.

    Args:
        proposal: What could be revealed.
        eligible: (batch, rows) bool: the masked positions that may be.
        config: The sampler's settings.
        share: The schedule's count for this step; for "bernoulli" its chance.
        noise: Each request's random numbers; only sampled rules draw from it.

    Returns:
        (batch, rows) bool.
    """
    if config.entropy_threshold is not None:
        return by_entropy(proposal, eligible, config.entropy_threshold, config.position_penalty)
    if config.threshold is not None:
        floor = 1 if config.at_least == "one" else int(share)
        strict = config.strict_threshold
        return by_threshold(proposal, eligible, config.threshold, at_least=floor, strict=strict)
    if config.schedule == "bernoulli":
        return eligible & (noise.uniform(proposal.score) < share)
    score = proposal.score
    if config.position_temperature > 0:
        # The largest of score / T + Gumbel noise are a draw by softmax(score / T) without
        # replacement (arXiv 1903.06059).
        score = score / config.position_temperature + noise.gumbel(score)
    return by_quota(score, eligible, int(share))


def by_quota(score: Tensor, eligible: Tensor, count: int) -> Tensor:
    """The `count` eligible positions with the highest score in every row, (batch, rows) bool."""
    ranked = torch.where(eligible, score, -torch.inf)
    best = ranked.topk(min(count, ranked.shape[1]), dim=1).indices
    return torch.zeros_like(eligible).scatter_(1, best, True) & eligible


def by_threshold(
    proposal: Proposal,
    eligible: Tensor,
    threshold: float,
    *,
    at_least: int = 1,
    strict: bool = False,
) -> Tensor:
    """Every eligible position at least `threshold` confident, and the first few in order anyway.

    Fast-dLLM's parallel rule (arXiv 2505.22618, Algorithm 1) with one position at least; SDAR's
    and LLaDA2's is `strict`, with the schedule's quota at least.

    Returns:
        (batch, rows) bool.
    """
    sure = proposal.confidence > threshold if strict else proposal.confidence >= threshold
    return by_quota(proposal.score, eligible, at_least) | (eligible & sure)


def by_entropy(
    proposal: Proposal, eligible: Tensor, threshold: float, position_penalty: float
) -> Tensor:
    """Every eligible position with little entropy, those further right counted as less sure.

    WeDLM's rule (`wedlm_decoder.py`): entropy + penalty * (places behind the first masked one) is
    below the threshold; the position with the least where none is.

    Returns:
        (batch, rows) bool.
    """
    places = torch.arange(eligible.shape[1], device=eligible.device)
    first = torch.where(eligible, places, eligible.shape[1]).amin(dim=1, keepdim=True)
    adjusted = proposal.entropy() + position_penalty * (places - first)
    return by_quota(-adjusted, eligible, 1) | (eligible & (adjusted < threshold))
