"""The frontier against brute force and against moocore."""

import moocore
import numpy as np
import pytest

from dllm_eval.stats.frontier import (
    attained_quality,
    frontier_probability,
    on_frontier,
    staircase,
)


def brute_force(points: list[tuple[float, float]]) -> list[bool]:
    def dominates(a: tuple[float, float], b: tuple[float, float]) -> bool:
        return a[0] <= b[0] and a[1] >= b[1] and a != b

    known = [p for p in points if p[0] == p[0] and p[1] == p[1]]
    return [p in known and not any(dominates(other, p) for other in known) for p in points]


@pytest.mark.parametrize("seed", range(30))
def test_agrees_with_brute_force_with_many_ties_and_gaps(seed: int) -> None:
    generator = np.random.default_rng(seed)
    latency = generator.integers(1, 6, size=25).astype(float)
    quality = generator.integers(0, 6, size=25).astype(float)
    latency[generator.random(25) < 0.1] = np.nan
    quality[generator.random(25) < 0.1] = np.nan
    expected = brute_force(list(zip(latency.tolist(), quality.tolist(), strict=True)))
    assert on_frontier(latency, quality).tolist() == expected


def test_equal_points_share_the_frontier() -> None:
    assert on_frontier(np.array([1.0, 1.0, 2.0]), np.array([0.5, 0.5, 0.5])).tolist() == [
        True,
        True,
        False,
    ]


def test_replicates_are_treated_one_by_one() -> None:
    generator = np.random.default_rng(5)
    latency, quality = generator.random((20, 8)), generator.random((20, 8))
    whole = on_frontier(latency, quality)
    for r in range(20):
        assert whole[r].tolist() == on_frontier(latency[r], quality[r]).tolist()


def test_probability_is_one_for_a_sure_winner_and_zero_for_a_sure_loser() -> None:
    noise = np.random.default_rng(0).normal(0, 0.01, size=(400, 3))
    latency = np.array([1.0, 2.0, 3.0]) + noise
    quality = np.array([0.9, 0.9, 0.5]) + noise[:, ::-1]
    probability = frontier_probability(latency, quality)
    assert probability[0] == 1.0
    assert 0.2 < probability[1] < 0.8  # the same quality, slower: a coin decides
    assert probability[2] == 0.0


def test_one_point_always_wins() -> None:
    generator = np.random.default_rng(1)
    probability = frontier_probability(generator.random((100, 5)), generator.random((100, 5)))
    assert 1.0 <= probability.sum() <= 5.0


def test_staircase_rises() -> None:
    x, y = staircase(np.array([3.0, 1.0, 2.0, 2.0, 9.0]), np.array([0.7, 0.1, 0.5, 0.5, 0.6]))
    assert x.tolist() == [1.0, 2.0, 3.0]
    assert y.tolist() == [0.1, 0.5, 0.7]


def test_attained_quality_is_the_best_within_the_budget() -> None:
    latency, quality = np.array([1.0, 2.0, np.nan]), np.array([0.4, 0.3, 0.9])
    out = attained_quality(latency, quality, np.array([0.5, 1.0, 5.0]))
    assert out.tolist() == [-np.inf, 0.4, 0.4]


def test_guesses_are_on_no_frontier() -> None:
    latency = np.tile([1.0, 2.0], (4, 1))
    quality = np.array([[0.25, 0.5], [0.24, 0.5], [0.26, 0.5], [0.3, 0.5]])
    assert frontier_probability(latency, quality).tolist() == [1.0, 1.0]
    assert frontier_probability(latency, quality, 0.25).tolist() == [0.5, 1.0]


@pytest.mark.parametrize("seed", range(10))
def test_agrees_with_moocore(seed: int) -> None:
    generator = np.random.default_rng(seed)
    points = generator.integers(1, 8, size=(30, 2)).astype(float)
    kept = moocore.is_nondominated(points, maximise=[False, True], keep_weakly=True)
    assert on_frontier(points[:, 0], points[:, 1]).tolist() == kept.tolist()


@pytest.mark.parametrize("seed", range(5))
def test_attained_quality_agrees_with_the_attainment_surface_of_moocore(seed: int) -> None:
    generator = np.random.default_rng(seed)
    latency, quality = generator.random((9, 6)), generator.random((9, 6))
    sets = np.repeat(np.arange(9.0), 6)
    points = np.column_stack([latency.ravel(), -quality.ravel()])
    surface = moocore.eaf(points, sets, percentiles=[50])  # five of nine
    grid = generator.random(40)
    attained = np.sort(attained_quality(latency, quality, grid), axis=0)[9 - 5]
    for budget, best in zip(grid, attained, strict=True):
        within = surface[surface[:, 0] <= budget]
        assert best == (-within[:, 1].min() if len(within) else -np.inf)
