"""AUP against its formula by hand, and where the released code would stop."""

import itertools
import math

import numpy as np
import pytest

from dllm_eval.stats.aup import aup


def slow(rho: list[float], y: list[float], y_max: float) -> float:
    """Equation by equation: area under y W(y), a rectangle before the first point."""
    order = sorted(range(len(rho)), key=lambda i: rho[i])
    kept = [i for i in order if y[i] >= y[order[0]] - 5.0]
    area = rho[kept[0]] * y[kept[0]]
    for a, b in itertools.pairwise(kept):
        ends = [y[i] * min(math.exp(-3.0 * (1.0 - y[i] / y_max)), 1.0) for i in (a, b)]
        area += (rho[b] - rho[a]) * sum(ends) / 2.0
    return area


def test_two_points_by_hand() -> None:
    # d3LLM-LLaDA on GSM8K in AUP_leaderboard/data_llada.yaml; y_max is EAGLE-3's 76.57.
    found = aup([1.0, 9.11], [74.02, 73.09], y_max=76.57)
    assert found is not None
    first, second = math.exp(-3 * (1 - 74.02 / 76.57)), math.exp(-3 * (1 - 73.09 / 76.57))
    expected = 74.02 + 0.5 * 8.11 * (74.02 * first + 73.09 * second)
    assert found.value == pytest.approx(expected)
    assert (found.kept, found.dropped, found.y_max, found.alpha) == (2, 0, 76.57, 3.0)


@pytest.mark.parametrize("seed", range(20))
def test_agrees_with_the_formula(seed: int) -> None:
    generator = np.random.default_rng(seed)
    rho = generator.uniform(0.3, 9.0, 6).tolist()
    y = generator.normal(70.0, 4.0, 6).tolist()
    found = aup(rho, y, y_max=max(y) + 1.0)
    assert found is not None
    assert found.value == pytest.approx(slow(rho, y, max(y) + 1.0))


def test_what_falls_more_than_five_points_is_dropped_and_counted() -> None:
    found = aup([1.0, 2.0, 32.0], [90.0, 86.0, 0.0], y_max=90.0)
    short = aup([1.0, 2.0], [90.0, 86.0], y_max=90.0)
    assert found is not None
    assert short is not None
    assert found.value == short.value
    assert (found.kept, found.dropped) == (2, 1)


def test_a_better_model_beside_it_lowers_it() -> None:
    alone, beside = (aup([1.0, 4.0], [60.0, 58.0], y_max=y) for y in (60.0, 90.0))
    assert alone is not None
    assert beside is not None
    assert beside.value < alone.value


@pytest.mark.parametrize(
    ("rho", "y", "y_max"),
    [([], [], 50.0), ([0.0], [50.0], 50.0), ([math.nan], [50.0], 50.0), ([1.0], [0.0], 0.0)],
)
def test_nothing_known_is_no_number(rho: list[float], y: list[float], y_max: float) -> None:
    assert aup(rho, y, y_max=y_max) is None
