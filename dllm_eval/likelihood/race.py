"""Which choices of a question are sampled further: those that may still be its answer.

The answer in question is the one that the full number of draws would give. A race makes the same
draws in the same order and leaves some out, so all that is unknown is the mean of those.

A choice is beaten where another is ahead of it by more than chance. With n of N draws done and s^2
the sample variance of the n paired differences, the difference after all N lies around that of now
with variance s^2 (1/n - 1/N). Were the two equal after all N, the lead over the root of this would
follow Student's t with n - 1 degrees of freedom, whatever the model; and where the beaten one were
ahead after all N, such a lead would be rarer still. So the chance that the right choice is ever
beaten is at most the sum, over rivals and looks, of the tails allowed. At n draws that is the error
rate, over the number of rivals, times the share of the N draws made since the look before: the rate
is spent as the draws are (Lan and DeMets, Biometrika 70, 1983, linear spending). Few draws, whose s
may be small by luck, thereby decide little. The rate so bounds every question whatever its gaps,
and where gaps are wide far fewer answers change.

It supposes that means of the differences are about normal, and no rule can do without: draws have
no lower bound, and one draw of N so far below that it decides the answer is missed by the first n
with chance 1 - n/N, whatever those show. The common case of it is noise that is skewed to the
losing side, of which few draws show little. So each test counts one draw more than was made, FAR
times as far below the mean of the differences as the lowest of them, in lead and variance both. In
`benchmarks/likelihood_racing.py`, with nearly equal values and noise that differs e-fold between
choices, 1000 questions, rates of 0.005 and 0.05 were 0.002 and 0.005 at a skewness of -6.2. Draws
on the reference model have skewness -3.9 to 1.4. Where noise is more skewed still, the rate can be
exceeded. Knows questions and chains; knows no model. `score` asks it after every round.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from math import ceil, isfinite

import numpy as np
from scipy.special import stdtr

from dllm_eval.likelihood.chain import Chain
from dllm_eval.likelihood.config import LikelihoodConfig
from dllm_eval.likelihood.plan import Draws, Estimate
from dllm_eval.likelihood.question import Question

FEWEST_DRAWS = 4
FIRST_DRAWS = 8
GROWTH = 1.25
"""Each round ends with so many times the draws of the one before."""
FAR = 2.0
"""How many times as far below the mean as the lowest draw the supposed one lies; by simulation."""

NO_MEANS = ("importance_bound", "upper_bound")
"""Not the means of their draws: that of a few draws is another bound than that of many."""


def first_round(chain: Chain, config: LikelihoodConfig) -> int:
    """How many draws a choice gets before anything is decided; all of them without a race.

    A target with few mask sets is read whole: that costs no more, and the first of its draws may
    well be one set again and again.
    """
    few_rows = sum(len(plan.masks) for plan in chain.plans) <= FIRST_DRAWS
    if config.race == 0 or few_rows:
        return chain.most_draws
    return min(chain.most_draws, max(FEWEST_DRAWS, min(FIRST_DRAWS, chain.most_draws // 4)))


def next_round(chain: Chain) -> int:
    """How many draws a choice has after its next round."""
    return min(chain.most_draws, ceil(GROWTH * chain.num_draws))


def going_on(question: Question, chains: Sequence[Chain], config: LikelihoodConfig) -> list[bool]:
    """Whether each choice is sampled further; all False where the question is decided.

    A choice that is not sampled further may be so again later: it is beaten only while the values
    found so far agree, so that the highest value in the record is the race's answer.
    """
    unfinished = [chain.num_draws < chain.most_draws for chain in chains]
    if config.race == 0 or len(chains) == 1 or not any(unfinished):
        return unfinished
    estimates = [chain.estimate() for chain in chains]
    if any(estimate.quantity in NO_MEANS for estimate in estimates):
        return unfinished
    level = config.race / (len(chains) - 1)
    going = [False] * len(chains)
    found = [_runner(*each) for each in zip(chains, estimates, strict=True)]
    for divisors in _divisors(question, config):
        runners = [one.over(divisor) for one, divisor in zip(found, divisors, strict=True)]
        rivals = sorted(runners, key=lambda runner: -runner.value)
        beaten = [any(_beats(rival, one, level) for rival in rivals) for one in runners]
        if beaten.count(False) > 1:
            for index, runner in enumerate(runners):
                going[index] |= not beaten[index] and not runner.finished
    return going


def _divisors(question: Question, config: LikelihoodConfig) -> list[tuple[float, ...]]:
    """What values are divided by, once for each answer that must be safe.

    Where a task has no normalised score, its answer goes by the sum.
    """
    ones = (1.0,) * len(question.pairs)
    if question.divisors is None or config.race_by == "sum":
        return [ones]
    if config.race_by == "normalised":
        return [question.divisors]
    return list(dict.fromkeys([ones, question.divisors]))


@dataclass(frozen=True, kw_only=True, eq=False)
class _Runner:
    """A choice by one kind of score."""

    value: float
    draws: Draws
    most_draws: int

    @property
    def finished(self) -> bool:
        """Whether the value is what it will be: no draw is left, or one has made it -inf."""
        return len(self.draws) >= self.most_draws or not isfinite(self.value)

    def over(self, divisor: float) -> "_Runner":
        """The same, normalised: draws and values scale alike."""
        if divisor == 1:
            return self
        return replace(self, value=self.value / divisor, draws=self.draws / divisor)


def _runner(chain: Chain, estimate: Estimate) -> _Runner:
    drawn = chain.draws() if chain.most_draws else np.zeros(0)
    return _Runner(value=estimate.value, draws=drawn, most_draws=chain.most_draws)


def _beats(one: _Runner, other: _Runner, level: float) -> bool:
    """Whether `other` cannot end above `one`, except by a chance of at most the level."""
    if not one.value > other.value:
        return False
    if one.finished and other.finished:
        return True
    if not (one.finished or other.finished):
        return _ahead_in_pairs(one, other, level)
    left, known = (other, one) if one.finished else (one, other)
    if not isfinite(other.value):
        return True
    if known.most_draws == 0:
        return _ahead_of_known(one, other, left, level)
    # Two looks at the same draws, either of which may be the sharper.
    return _ahead_in_pairs(one, other, level / 2) or _ahead_of_known(one, other, left, level / 2)


def _ahead_in_pairs(one: _Runner, other: _Runner, level: float) -> bool:
    """By the draws that both have made; behind the shorter's last, the longer one draws alone."""
    shorter, longer = sorted((one, other), key=lambda runner: runner.most_draws)
    num_draws = min(len(one.draws), len(other.draws))
    if num_draws == shorter.most_draws:
        return False
    differences = one.draws[:num_draws] - other.draws[:num_draws]
    wary = _one_more(differences)
    variance = wary.variance * _left_out(num_draws, shorter.most_draws)
    lead = float(differences.mean()) - wary.penalty
    if longer.most_draws > shorter.most_draws:
        towards = longer.draws[:num_draws] * (1.0 if longer is one else -1.0)
        alone = 1.0 / shorter.most_draws - 1.0 / longer.most_draws
        variance += _one_more(towards).variance * alone
    share = num_draws / longer.most_draws
    return _by_more_than_chance(lead, variance, num_draws, level * share)


def _ahead_of_known(one: _Runner, other: _Runner, left: _Runner, level: float) -> bool:
    """Where only `left` has draws left."""
    num_draws = len(left.draws)
    wary = _one_more(left.draws * (1.0 if left is one else -1.0))
    variance = wary.variance * _left_out(num_draws, left.most_draws)
    lead = one.value - other.value - wary.penalty
    return _by_more_than_chance(lead, variance, num_draws, level * num_draws / left.most_draws)


@dataclass(frozen=True, kw_only=True)
class _Wary:
    """What the supposed draw makes of a lead."""

    penalty: float
    """By which it lowers the mean."""
    variance: float
    """Of a draw, the supposed one among them; infinite where there is one draw or none."""


def _one_more(differences: Draws) -> _Wary:
    """Of (draws,) leads, to which a draw far on the losing side is added."""
    if len(differences) < 2:
        return _Wary(penalty=0.0, variance=float("inf"))
    mean = float(differences.mean())
    far = mean - FAR * (mean - float(differences.min()))
    seen = np.append(differences, far)
    return _Wary(penalty=mean - float(seen.mean()), variance=float(seen.var(ddof=1)))


def _left_out(num_draws: int, most_draws: int) -> float:
    """What draws not made yet add to the variance of a mean, the supposed one counted as made."""
    return 1.0 / (num_draws + 1) - 1.0 / (most_draws + 1)


def _by_more_than_chance(lead: float, variance: float, num_draws: int, level: float) -> bool:
    """Whether Student's tail behind the lead is within the look's part of the level.

    Looks lie a factor apart, so this part of each, (n - n / GROWTH) / N, adds up to at most 1.
    """
    if not (lead > 0 and 0 < variance < float("inf")):
        return False  # equal draws may be one mask set again and again
    tail = float(stdtr(num_draws - 1, -lead / np.sqrt(variance)))
    return tail <= level * (1 - 1 / GROWTH)
