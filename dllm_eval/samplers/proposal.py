"""From logits to a proposal: a token for every row, and how sure the model is of it.

The token rule (most likely, or Gumbel noise) and the position rules live here. Which proposals
become decisions is `selection.py`. float32 throughout, on the rows that can be revealed only.
"""

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

from dllm_eval.families import Family
from dllm_eval.samplers.config import PositionRule, SamplerConfig
from dllm_eval.samplers.noise import Noise


@dataclass(frozen=True, kw_only=True)
class Proposal:
    """What the model would write at each row, and in which order it would."""

    tokens: Tensor
    """(batch, rows) int64."""
    confidence: Tensor
    """(batch, rows): probability of the proposed token, free of noise."""
    score: Tensor
    """(batch, rows): the position rule's order, larger is revealed first."""
    broken: Tensor
    """(batch, rows) bool: the best logit is no number, so `tokens` means nothing there."""
    prediction: "Prediction | None" = None
    """What the score was computed from; None for rules that go by the score alone."""

    def entropy(self) -> Tensor:
        """(batch, rows) nats, of the distribution that the position rules look at."""
        if self.prediction is None:
            raise TypeError("this proposal has kept no distribution")
        return -self.prediction.negative_entropy()


@dataclass(frozen=True, kw_only=True)
class Prediction:
    """What a position rule may look at."""

    logits: Tensor
    """(batch, rows, vocab) float32, forbidden ids at -inf."""
    normaliser: Tensor
    """(batch, rows): logsumexp of the logits."""
    confidence: Tensor
    """(batch, rows): probability of the proposed token."""

    def log_p(self) -> Tensor:
        """(batch, rows, vocab) log-probabilities."""
        return self.logits - self.normaliser[..., None]

    def negative_entropy(self) -> Tensor:
        """(batch, rows): the sum of p log p, in nats."""
        log_p = self.log_p()
        lowest = torch.finfo(log_p.dtype).min  # keeps 0 * -inf out of the sum
        return (log_p.exp() * log_p.clamp(min=lowest)).sum(dim=-1)


def propose(logits: Tensor, config: SamplerConfig, family: Family, noise: Noise) -> Proposal:
    """Applies token rule, end-of-text policy and position rule.

    The mask token is never proposed.

    Args:
        logits: (batch, rows, vocab) of the rows that can be revealed; overwritten.
        config: The sampler's settings.
        family: Which ids are special.
        noise: Each request's random numbers; only sampled rules draw from it.
    """
    logits = logits.float()
    if family.mask_id >= 0:
        logits[..., family.mask_id].fill_(-torch.inf)
    if config.eos_policy == "forbid":
        logits[..., family.eos_id].fill_(-torch.inf)
    drawn_from = filtered(logits, config)
    if config.temperature > 0:
        tokens = (drawn_from + noise.gumbel(drawn_from)).argmax(dim=-1)
    else:
        tokens = drawn_from.argmax(dim=-1)
    if config.confidence == "filtered":
        logits = drawn_from
    best = logits.gather(-1, tokens[..., None])[..., 0]
    broken = ~best.isfinite()
    if config.eos_policy == "last":
        for end_id in family.end_ids:
            logits[..., end_id] = -torch.inf
            best = torch.where(tokens == end_id, -torch.inf, best)
    normaliser = logits.logsumexp(dim=-1)
    confidence = (best - normaliser).exp()
    if config.eos_policy == "last":
        # Where only end-of-text is possible, -inf minus -inf is left.
        confidence = torch.where(best == -torch.inf, 0.0, confidence)
    prediction = Prediction(logits=logits, normaliser=normaliser, confidence=confidence)
    score = POSITION_RULES[config.sampler](prediction, noise)
    if config.eos_policy == "last":
        score = torch.where(confidence == 0, torch.finfo(score.dtype).min, score)
    return Proposal(
        tokens=tokens, confidence=confidence, score=score, broken=broken, prediction=prediction
    )


def filtered(logits: Tensor, config: SamplerConfig) -> Tensor:
    """The logits that tokens are drawn from: temperature, then `top_k`, then `top_p`.

    Args:
        logits: (batch, rows, vocab) float32; left alone.
        config: The sampler's settings.

    Returns:
        (batch, rows, vocab), -inf at what is never drawn; `logits` itself where nothing is to do.
    """
    if config.temperature > 0:
        logits = logits / config.temperature
    if config.top_k is not None and config.top_k < logits.shape[-1]:
        least = logits.topk(config.top_k, dim=-1).values[..., -1:]
        logits = logits.masked_fill(logits < least, -torch.inf)
    if config.top_p is not None and config.top_p < 1:
        ordered, order = logits.sort(dim=-1, descending=True)
        shares = ordered.softmax(dim=-1)
        reached = shares.cumsum(dim=-1)
        before = reached - shares if config.top_p_cut == "reach" else reached
        beyond = before > config.top_p
        beyond[..., 0] = False
        logits = logits.masked_fill(torch.zeros_like(beyond).scatter(-1, order, beyond), -torch.inf)
    return logits


def _low_confidence(prediction: Prediction, noise: Noise) -> Tensor:
    """Most probable proposal first (LLaDA, arXiv 2502.09992)."""
    del noise
    return prediction.confidence


def _random(prediction: Prediction, noise: Noise) -> Tensor:
    """Uniformly random order (LLaDA; the order for which the ELBO is a bound)."""
    return noise.uniform(prediction.confidence)


def _margin(prediction: Prediction, noise: Noise) -> Tensor:
    """Largest gap between the two most probable tokens first (arXiv 2502.06768)."""
    del noise
    two = prediction.logits.topk(2, dim=-1).values - prediction.normaliser[..., None]
    first, second = two.exp().unbind(dim=-1)
    return first - second


def _entropy(prediction: Prediction, noise: Noise) -> Tensor:
    """Lowest entropy first (Dream, arXiv 2508.15487)."""
    del noise
    return prediction.negative_entropy()


def _left_to_right(prediction: Prediction, noise: Noise) -> Tensor:
    """In reading order, as an autoregressive model would."""
    del noise
    like = prediction.confidence
    order = torch.arange(like.shape[1], 0, -1, device=like.device, dtype=like.dtype)
    return order.expand_as(like)


POSITION_RULES: dict[PositionRule, Callable[[Prediction, Noise], Tensor]] = {
    "low_confidence": _low_confidence,
    "random": _random,
    "margin": _margin,
    "entropy": _entropy,
    "left_to_right": _left_to_right,
}
"""Position rule -> (batch, rows) score."""
