"""The test behind a search: exact where it can be checked exactly, and honest where it cannot."""

from functools import cache

import numpy as np
import pytest
from scipy.stats import binom

from dllm_eval.stats.distance import documents_needed, p_above


@pytest.mark.parametrize(("documents", "lost"), [(20, 0), (164, 0), (164, 1), (400, 3), (50, 12)])
def test_of_two_valued_scores_it_is_the_exact_binomial_test(documents: int, lost: int) -> None:
    scores = np.ones(documents)
    scores[:lost] = 0.0
    exact = float(binom.cdf(lost, documents, 0.05))
    error = 4 * np.sqrt(exact * (1 - exact) / 20_000) + 1e-4
    assert p_above(scores, 0.95, lowest=0.0) == pytest.approx(exact, abs=error)


def test_a_weighted_draw_over_every_document_gives_the_same_answer() -> None:
    """The same p-value from one weight per document, which equal values need not have."""
    gaps = np.array([0.5, 0.5, -1.0, 0.0, 0.0, 0.0, 0.25, 0.25, -0.5, 0.0, 1.0, 0.0])
    generator = np.random.default_rng(9)
    below, draws = 0, 20_000
    for _ in range(draws):
        weights = generator.exponential(size=len(gaps) + 1)
        below += float(np.dot(weights, [*gaps, -1.0]) / weights.sum()) <= -0.1
    assert p_above(gaps, -0.1, lowest=-1.0) == pytest.approx(below / draws, abs=0.015)


def test_the_same_values_have_the_same_p_value_in_any_order() -> None:
    gaps = np.array([0.0, 1.0, -1.0, 0.0, 0.5])
    assert p_above(gaps, -0.2, lowest=-1.0) == p_above(gaps[::-1], -0.2, lowest=-1.0)
    assert p_above(np.array([]), 0.0, lowest=0.0) == 1.0


@cache
def _paired(lost: int, gained: int, equal: int, within: float) -> float:
    gaps = np.repeat([-1.0, 1.0, 0.0], [lost, gained, equal])
    return p_above(gaps, -within, lowest=-1.0)


@pytest.mark.parametrize("documents", [40, 164])
@pytest.mark.parametrize(
    ("within", "gained"), [(0.01, 0.0), (0.01, 0.05), (0.05, 0.0), (0.05, 0.1)]
)
def test_the_level_holds_for_paired_scores_at_the_edge_of_the_distance(
    documents: int, within: float, gained: float
) -> None:
    generator = np.random.default_rng([documents, int(1000 * within), int(1000 * gained)])
    lost = gained + within
    drawn = generator.multinomial(documents, [lost, gained, 1 - lost - gained], size=400)
    wrong = np.mean([_paired(*map(int, counts), within) <= 0.05 for counts in drawn])
    assert wrong <= 0.05 + 3 * np.sqrt(0.05 * 0.95 / 400)


def test_the_level_holds_for_fractional_scores() -> None:
    generator = np.random.default_rng(4)
    wrong = 0
    for _ in range(200):
        gaps = generator.choice([-1.0, -0.5, 0.0, 0.25], size=60, p=[0.05, 0.1, 0.75, 0.1])
        wrong += p_above(gaps, -0.075, lowest=-1.0) <= 0.05
    assert wrong / 200 <= 0.05 + 3 * np.sqrt(0.05 * 0.95 / 200)


def test_it_has_power_where_documents_are_many() -> None:
    gaps = np.repeat([-1.0, 1.0, 0.0], [15, 15, 970])
    assert p_above(gaps, -0.02, lowest=-1.0) < 0.001


@pytest.mark.parametrize(("within", "level"), [(0.01, 0.05), (0.05, 0.025), (0.2, 0.05)])
def test_how_many_documents_a_distance_takes(within: float, level: float) -> None:
    needed = 1
    while (1 - within) ** needed > level:
        needed += 1
    assert documents_needed(within, level) == needed
