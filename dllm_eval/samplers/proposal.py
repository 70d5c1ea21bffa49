"""From logits to a proposal: a token for every row, and how sure the model is of it.

The token rule (most likely, or Gumbel noise) lives here, the orders in `parts/`. Which proposals
become decisions is `selection.py`. float32 throughout, on the rows that can be revealed only.
"""

from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from dllm_eval.families import Family
from dllm_eval.samplers.noise import Noise
from dllm_eval.samplers.row_statistics import RowStatistics, row_statistics

if TYPE_CHECKING:
    from dllm_eval.samplers.config import SamplerConfig
    from dllm_eval.samplers.parts.part import Statistic


@dataclass(frozen=True, kw_only=True)
class Prediction:
    """The distributions of one step."""

    logits: Tensor
    """(batch, rows, vocab) float32, forbidden ids at -inf."""
    row: RowStatistics | None = None
    """What the proposal's own pass over the logits has told already."""

    @cached_property
    def normaliser(self) -> Tensor:
        """(batch, rows): logsumexp of the logits."""
        return self.logits.logsumexp(dim=-1) if self.row is None else self.row.normaliser

    def log_p(self) -> Tensor:
        """(batch, rows, vocab) log-probabilities."""
        return self.logits - self.normaliser[..., None]

    def negative_entropy(self) -> Tensor:
        """(batch, rows): the sum of p log p, in nats."""
        return -self.entropy()

    def entropy(self) -> Tensor:
        """(batch, rows), in nats."""
        row = self.row
        if row is None or row.entropy is None:
            row = row_statistics(self.logits, entropy=True)
        if row.entropy is None:
            raise TypeError("row_statistics left out what it was asked for")
        return row.entropy

    def best_probability(self) -> Tensor:
        """(batch, rows): of the most probable token, whatever was drawn."""
        if self.row is not None:
            return self.row.probability
        return (self.logits.amax(dim=-1) - self.normaliser).exp()

    def two_best(self) -> Tensor:
        """(batch, rows, 2): the probabilities of the two most probable tokens."""
        row = self.row
        if row is None or row.runner_up is None:
            row = row_statistics(self.logits, runner_up=True)
        if row.runner_up is None:
            raise TypeError("row_statistics left out what it was asked for")
        return (torch.stack([row.best, row.runner_up], dim=-1) - self.normaliser[..., None]).exp()


@dataclass(frozen=True, kw_only=True)
class Proposal:
    """What the model would write at each row, and how sure it is."""

    tokens: Tensor
    """(batch, rows) int64."""
    confidence: Tensor
    """(batch, rows): probability of the proposed token, free of noise."""
    broken: Tensor
    """(batch, rows) bool: the best logit is no number, so `tokens` means nothing there."""
    prediction: Prediction
    """The distributions it comes from."""


def propose(logits: Tensor, config: "SamplerConfig", family: Family, noise: Noise) -> Proposal:
    """Applies token rule and end-of-text policy.

    The mask token is never proposed.

    Args:
        logits: (batch, rows, vocab) of the rows that can be revealed; overwritten.
        config: The sampler's settings.
        family: Which ids are special.
        noise: Each request's random numbers; only sampled rules draw from it.
    """
    logits = logits.float()
    forbid(logits, config, family)
    if is_greedy(config):
        row = statistics_of(logits, statistics_read(config))
        return Proposal(
            tokens=row.token,
            confidence=row.probability,
            broken=row.probability.isnan(),
            prediction=Prediction(logits=logits, row=row),
        )
    drawn_from = filtered(logits, config)
    if config.temperature > 0:
        tokens = (drawn_from + noise.gumbel(drawn_from)).argmax(dim=-1)
    else:
        tokens = drawn_from.argmax(dim=-1)
    if config.confidence == "filtered":
        logits = drawn_from
    best = logits.gather(-1, tokens[..., None])[..., 0]
    broken = unusable(best)
    if config.eos_policy == "last":
        for end_id in family.end_ids:
            logits[..., end_id] = -torch.inf
            best = torch.where(tokens == end_id, -torch.inf, best)
    prediction = Prediction(logits=logits)
    confidence = (best - prediction.normaliser).exp()
    if config.eos_policy == "last":
        # Where only end-of-text is possible, -inf minus -inf is left.
        confidence = torch.where(best == -torch.inf, 0.0, confidence)
    return Proposal(tokens=tokens, confidence=confidence, broken=broken, prediction=prediction)


def statistics_read(config: "SamplerConfig") -> "set[Statistic]":
    """What parts and settings look at, besides tokens and confidences."""
    names = {name for part in config.parts for name in part.reads or ()}
    return names | {"entropy"} if config.entropy_threshold is not None else names


def statistics_of(logits: Tensor, wanted: "set[Statistic]") -> RowStatistics:
    """One pass over (..., vocab) logits for all that is wanted."""
    return row_statistics(logits, entropy="entropy" in wanted, runner_up="second" in wanted)


def unusable(best: Tensor) -> Tensor:
    """Where a logit is NaN or infinite, in fewer operations than `isfinite` takes."""
    return (best - best) != 0


def is_greedy(config: "SamplerConfig") -> bool:
    """Whether the best token of the model's own distribution is all there is to know."""
    filters = config.top_k is not None or config.top_p is not None
    own = config.confidence == "model" or not filters
    return config.temperature == 0 and own and config.eos_policy != "last"


def forbid(logits: Tensor, config: "SamplerConfig", family: Family, *, first: int = 0) -> None:
    """Puts what is never proposed at -inf, in place.

    Args:
        logits: (..., columns) of the ids from `first` on.
        config: The sampler's settings.
        family: Which ids are special.
        first: The first column's id.
    """
    never = (family.mask_id, family.eos_id) if config.eos_policy == "forbid" else (family.mask_id,)
    for token in never:
        if first <= token < first + logits.shape[-1]:
            logits[..., token - first].fill_(-torch.inf)


def filtered(logits: Tensor, config: "SamplerConfig") -> Tensor:
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
