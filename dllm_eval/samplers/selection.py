"""Where a token's confidence becomes a decision: which proposals are revealed in this step.

The plain rules are here: a quota, chance, a threshold of confidence or of entropy. Rules with
settings of their own are parts (`parts/`), made of the same functions. `reveal.py` calls `select`.
"""

import torch
from torch import Tensor

from dllm_eval.samplers.parts.part import Decision, Look


def select(look: Look) -> Decision:
    """The positions that this step reveals, by the flat settings of the sampler's configuration."""
    config, score, eligible = look.config, look.score, look.eligible
    quota = look.quota if isinstance(look.quota, Tensor) else int(look.quota)
    if config.entropy_threshold is not None:
        return Decision(reveal=by_entropy(look, config.entropy_threshold, config.position_penalty))
    if config.threshold is not None:
        floor = 1 if config.at_least == "one" else quota
        sure = look.confidence >= config.threshold
        if config.strict_threshold:
            sure = look.confidence > config.threshold
        return Decision(reveal=by_quota(score, eligible, floor) | (eligible & sure))
    if config.schedule == "bernoulli":
        return Decision(reveal=eligible & (look.noise.uniform(score) < look.quota))
    if config.position_temperature > 0:
        # The largest of score / T + Gumbel noise are a draw by softmax(score / T) without
        # replacement (arXiv 1903.06059). What comes last must stay above what is not eligible.
        score = (score / config.position_temperature).clamp(min=torch.finfo(score.dtype).min)
        score = score + look.noise.gumbel(score)
    if config.mode == "reference" and isinstance(quota, int):
        return Decision(reveal=as_published(score, eligible, quota))
    return Decision(reveal=by_quota(score, eligible, quota, places=look.places))


def as_published(score: Tensor, eligible: Tensor, count: int) -> Tensor:
    """As `by_quota`, with equals in the order of `topk`, which LLaDA's `generate.py` takes."""
    ranked = torch.where(eligible, score, -torch.inf)
    best = ranked.topk(min(count, ranked.shape[1]), dim=1).indices
    return torch.zeros_like(eligible).scatter_(1, best, True) & eligible


def by_quota(
    score: Tensor, eligible: Tensor, count: int | Tensor, *, places: Tensor | None = None
) -> Tensor:
    """The `count` eligible positions with the highest score in every row; of equals the leftmost.

    Confidences that round to 1 are equals, and which of them are taken must not hang on whether
    the rows of a batch have one count or several, as `topk` would have it.

    Args:
        score: (batch, rows).
        eligible: (batch, rows) bool.
        count: The same for all rows, or (batch, 1) int64.
        places: (rows,) int64: 0, 1, 2, ..., where they are at hand.

    Returns:
        (batch, rows) bool.
    """
    ranked = torch.where(eligible, score, -torch.inf)
    if isinstance(count, int):
        if count == 1:
            best = ranked.max(dim=1, keepdim=True).indices
            if places is not None:
                # The commonest case, in as few operations as it takes.
                return (places == best) & eligible
        else:
            best = ranked.argsort(dim=1, descending=True, stable=True)[:, :count]
        return torch.zeros_like(eligible).scatter_(1, best, True) & eligible
    order = ranked.argsort(dim=1, descending=True, stable=True)
    places = torch.arange(ranked.shape[1], device=ranked.device)
    return torch.zeros_like(eligible).scatter_(1, order, places < count) & eligible


def by_threshold(look: Look, threshold: float) -> Tensor:
    """Every eligible position at least `threshold` confident; the first in order where none is.

    Fast-dLLM's parallel rule (arXiv 2505.22618, Algorithm 1).

    Returns:
        (batch, rows) bool.
    """
    first = by_quota(look.score, look.eligible, 1)
    return first | (look.eligible & (look.confidence >= threshold))


def by_entropy(look: Look, threshold: float, position_penalty: float) -> Tensor:
    """Every eligible position with little entropy, those further right counted as less sure.

    WeDLM's rule (`wedlm_decoder.py`): entropy + penalty * (places behind the first masked one) is
    below the threshold; the position with the least where none is.

    Returns:
        (batch, rows) bool.
    """
    eligible, places = look.eligible, look.places
    first = torch.where(eligible, places, eligible.shape[1]).amin(dim=1, keepdim=True)
    adjusted = look.prediction.entropy() + position_penalty * (places - first)
    return by_quota(-adjusted, eligible, 1) | (eligible & (adjusted < threshold))
