"""The answers that another seed would change, against runs whose law is known."""

from math import erf, exp

import numpy as np
import pytest
from numpy.typing import NDArray
from scipy.special import ndtr

from dllm_eval.stats.changes import expected_changes

Floats = NDArray[np.float64]


def slow(flips: list[float]) -> list[float]:
    """The rule of the docstring in plain loops."""
    grid = [-8.0 + 0.2 * k for k in range(81)]
    margins = [min(_margin(flip), 8.0) for flip in flips]
    weights = [1 / 81] * 81
    for _ in range(20):
        found = [1 / 81] * 81
        for x in margins:
            told = [exp(-((x - d) ** 2) / 2) * w for d, w in zip(grid, weights, strict=True)]
            found = [a + b / sum(told) for a, b in zip(found, told, strict=True)]
        weights = [(a + b) / (2 * sum(found)) for a, b in zip(found, found[::-1], strict=True)]
    out = []
    for x in margins:
        told = [exp(-((x - d) ** 2) / 2) * w for d, w in zip(grid, weights, strict=True)]
        below = [(1 + erf(-d / 2**0.5)) / 2 for d in grid]
        out.append(sum(a * b for a, b in zip(told, below, strict=True)) / sum(told))
    return out


def _margin(flip: float) -> float:
    """By halving: the x at which a normal number is below -x / sqrt(2) with this chance."""
    low, high = 0.0, 40.0
    for _ in range(200):
        middle = (low + high) / 2
        low, high = (middle, high) if (1 + erf(-middle / 2)) / 2 > flip else (low, middle)
    return low


def test_the_rule_in_plain_loops() -> None:
    flips = [0.5, 0.31, 0.2, 0.05, 0.011, 1e-4]
    assert expected_changes(np.array(flips)).tolist() == pytest.approx(slow(flips), abs=1e-6)


@pytest.mark.parametrize("spread", [0.0, 1.0, 3.0, 10.0])
def test_as_many_change_as_are_expected(spread: float) -> None:
    """Two choices: margins with a standard normal error, and any true ones."""
    generator = np.random.default_rng(int(spread))
    true = spread * generator.normal(size=3000)
    margin, other = true + generator.normal(size=(2, 3000))
    found = expected_changes(ndtr(-np.abs(margin) / np.sqrt(2.0)))
    changed = ((margin > 0) != (other > 0)).mean()
    assert found.mean() == pytest.approx(changed, rel=0.15)


def test_wide_gaps_change_fewer_answers_than_their_own_errors_say() -> None:
    generator = np.random.default_rng(4)
    margin, other = 3.0 + generator.normal(size=(2, 2000))
    said: Floats = ndtr(-np.abs(margin) / np.sqrt(2.0))
    found = expected_changes(said)
    changed = ((margin > 0) != (other > 0)).mean()
    assert said.mean() > 8 * changed
    assert found.mean() < said.mean() / 3


def test_what_is_unknown_or_above_a_half_stays() -> None:
    flips = np.array([0.7, np.nan, 0.1])
    found = expected_changes(flips)
    assert found[0] == 0.7
    assert np.isnan(found[1])
    assert found[2] == expected_changes(flips[2:])[0]
    assert np.isnan(expected_changes(np.array([np.nan]))).all()
