"""How likely each choice of a question is to be the answer under another seed.

Knows questions and chains; knows no model. `score` calls it once all choices are sampled.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray
from scipy.special import ndtri
from scipy.stats.qmc import Sobol

from dllm_eval.likelihood.chain import Chain
from dllm_eval.likelihood.plan import Draws
from dllm_eval.likelihood.question import Question

_LOG2_POINTS = 13
_SEED = 0
_ROUNDING = 1e-6
"""Of the largest error: roots of a covariance are good to half of a number's digits."""

Numbers = NDArray[np.float64]


@dataclass(frozen=True, kw_only=True)
class Win:
    """Of one choice; None where there is nothing to compare it with, or its error is unknown."""

    by_value: float | None = None
    normalised: float | None = None


def win_probabilities(question: Question, chains: Sequence[Chain]) -> list[Win]:
    """The chance that each choice has the highest value, and the highest value per divisor.

    Another run with the same settings has errors of its own, so its values lie around those found
    here with twice the covariance of this run's: standard errors as stated, correlations from the
    paired draws. Values are taken to be normal, and nothing is supposed of the gaps between them,
    so the chance that another seed changes the answer is too low where all choices are about equal
    (the highest of equals lies ahead by luck), and too high where few are, with few draws: on the
    reference model 9 % where 0.2 % change, with 4 draws (`benchmarks/likelihood_flips.py`).
    Student's t in place of the normal law makes it 17 % there. What gaps a suite has one question
    cannot know; `stats/changes.py` corrects the chances by those of all its questions.
    A choice found impossible (-inf) is taken to be so under any seed, and of equal values the first
    counts as the highest, as it does in lm-eval.

    The chances are counts over a fixed set of 8192 quasi-random points, the same in every run, so
    that they add up to 1 and are good to about 0.001.

    Returns:
        One for each choice. None where a question has one choice, or where a standard error is not
        known (infinite: a single draw, or draws that are all equal).
    """
    nothing = [Win() for _ in chains]
    if len(chains) == 1:
        return nothing
    estimates = [chain.estimate() for chain in chains]
    values = np.array([estimate.value for estimate in estimates])
    possible = np.isfinite(values)
    errors = np.array([estimate.stderr for estimate in estimates])
    errors[~possible] = 0.0
    if not np.isfinite(errors).all():
        return nothing
    covariance = 2.0 * np.outer(errors, errors) * _correlations(chains, errors)
    return _wins(question, values, covariance)


def exact_wins(question: Question, values: Sequence[float]) -> list[Win]:
    """1 for the answer and 0 for the others, of values without Monte-Carlo error."""
    return _wins(question, np.array(values), np.zeros((len(values), len(values))))


def _wins(question: Question, values: Numbers, covariance: Numbers) -> list[Win]:
    """By the values, and where there is a normalised score by the values per divisor."""
    by_value = _highest(values, covariance)
    if question.divisors is None:
        return [Win(by_value=chance) for chance in by_value]
    divisors = np.array(question.divisors)
    normalised = _highest(values / divisors, covariance / np.outer(divisors, divisors))
    return [
        Win(by_value=one, normalised=other) for one, other in zip(by_value, normalised, strict=True)
    ]


def _correlations(chains: Sequence[Chain], errors: Numbers) -> Numbers:
    """(choices, choices): of the values; the draws of a question are paired."""
    found = np.eye(len(chains))
    drawn = [index for index in range(len(chains)) if errors[index] > 0]
    draws = {index: chains[index].draws() for index in drawn}
    for one in drawn:
        for other in drawn:
            if one < other:
                found[one, other] = found[other, one] = _correlation(draws[one], draws[other])
    return found


def _correlation(one: Draws, other: Draws) -> float:
    """Of two means: what one has drawn beyond the other is noise of its own."""
    fewer, more = sorted((len(one), len(other)))
    if fewer < 2:
        return 0.0
    first, second = one[:fewer] - one[:fewer].mean(), other[:fewer] - other[:fewer].mean()
    scale = float(np.sqrt((first @ first) * (second @ second)))
    return float(first @ second) / scale * (fewer / more) ** 0.5 if scale > 0 else 0.0


def _highest(values: Numbers, covariance: Numbers) -> list[float]:
    """The chance of each to be the highest; `covariance` need not be quite one."""
    if not covariance.any():
        return [float(index == values.argmax()) for index in range(len(values))]
    sizes, directions = np.linalg.eigh(covariance)
    root = directions * np.sqrt(np.maximum(sizes, 0.0))
    outcomes = values + _normal_points(len(values)) @ root.T
    # Rounding must not decide between equal choices.
    margin = _ROUNDING * (float(covariance.diagonal().max()) ** 0.5)
    answers = (outcomes >= outcomes.max(axis=1, keepdims=True) - margin).argmax(axis=1)
    counts = np.bincount(answers, minlength=len(values))
    return [float(count) / len(answers) for count in counts]


@lru_cache(maxsize=16)
def _normal_points(dimensions: int) -> Numbers:
    """(points, dimensions) standard normal numbers, spread evenly."""
    uniforms = Sobol(dimensions, scramble=True, seed=_SEED).random_base2(_LOG2_POINTS)
    points: Numbers = ndtri(uniforms)
    return points
