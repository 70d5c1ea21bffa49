"""Paired tests against hand computation, scipy, and the meaning of pairing."""

import numpy as np
import pytest
from scipy import stats
from scipy.stats import binom, binomtest

from dllm_eval.stats.paired import (
    holm,
    mcnemar,
    part_p_values,
    sign_test,
    t_test,
    verdicts,
)
from dllm_eval.stats.resample import document_weights, mean_replicates


def test_holm_by_hand() -> None:
    # Sorted .01 .02 .03 .04 times 4 3 2 1 = .04 .06 .06 .04, made monotone: .04 .06 .06 .06
    assert holm(np.array([0.04, 0.01, 0.03, 0.02])).tolist() == pytest.approx(
        [0.06, 0.04, 0.06, 0.06]
    )


def test_holm_ignores_unknown_and_stops_at_one() -> None:
    out = holm(np.array([0.9, np.nan, 0.6]))
    assert out[0] == 1.0
    assert np.isnan(out[1])
    assert out[2] == 1.0


def test_mcnemar_is_the_sign_test_on_disagreements() -> None:
    first = np.array([1.0] * 9 + [0.0] * 2 + [1.0] * 20)
    second = np.array([0.0] * 9 + [1.0] * 2 + [1.0] * 20)
    assert mcnemar(first, second) == pytest.approx(float(binomtest(9, 11, 0.5).pvalue))
    assert mcnemar(first, second) == pytest.approx(2 * (55 + 11 + 1) / 2**11)


def test_mcnemar_needs_zero_one_scores_and_ignores_gaps() -> None:
    assert np.isnan(mcnemar(np.array([0.5, 1.0]), np.array([0.0, 1.0])))
    assert mcnemar(np.array([1.0, np.nan]), np.array([1.0, 0.0])) == 1.0


def differences_of(first: np.ndarray, second: np.ndarray, weights: np.ndarray) -> np.ndarray:
    """Replicates of the mean difference, as `compare.py` makes them."""
    return mean_replicates((first - second)[None], weights)[:, 0]


def test_pairing_removes_the_noise_of_documents() -> None:
    generator = np.random.default_rng(0)
    hard = generator.random(80)
    weights = document_weights(80, replicates=500, generator=generator)
    assert np.ptp(differences_of(hard, hard, weights)) == 0.0
    assert np.ptp(differences_of(hard, hard - 0.25, weights)) == pytest.approx(0.0, abs=1e-12)
    assert np.ptp(differences_of(hard, generator.random(80), weights)) > 0.05


def test_difference_uses_common_documents_only() -> None:
    first, second = np.array([1.0, 1.0, np.nan]), np.array([0.0, np.nan, 1.0])
    weights = np.array([[1.0, 1.0, 1.0], [0.0, 3.0, 0.0]])
    out = differences_of(first, second, weights)
    assert out[0] == 1.0
    assert np.isnan(out[1])


def claims(differences: list[float], log_speedup: float = 0.5) -> np.ndarray:
    """p-values from a real bootstrap of these documents, the seconds being clear."""
    generator = np.random.default_rng(4)
    raw = np.array(differences)
    weights = document_weights(len(raw), replicates=4000, generator=generator)
    speed = log_speedup + generator.normal(0, 0.02, 4000)
    return part_p_values(differences_of(raw, np.zeros(len(raw)), weights), speed, raw)


@pytest.mark.parametrize(
    ("differences", "speed", "expected"),
    [
        ([1.0] * 20 + [-1.0] * 2 + [0.0] * 78, 0.5, "dominates AR"),
        ([0.0] * 1000, 0.5, "dominates AR"),
        ([0.0] * 1000, -0.5, "dominated by AR"),
        ([-1.0] * 30 + [1.0] * 5 + [0.0] * 65, -0.5, "dominated by AR"),
        ([-1.0] * 30 + [1.0] * 5 + [0.0] * 65, 0.5, "faster, worse"),
        ([1.0] * 30 + [-1.0] * 5 + [0.0] * 65, -0.5, "slower, better"),
        ([0.0] * 1000, 0.0, "not separable"),
    ],
)
def test_clear_cases_get_their_verdict(
    differences: list[float], speed: float, expected: str
) -> None:
    assert verdicts(claims(differences, speed)[None]) == [expected]


@pytest.mark.parametrize("documents", [3, 5, 10])
@pytest.mark.parametrize("wins", [0, 1, 2])
def test_few_documents_with_a_lucky_win_prove_nothing(documents: int, wins: int) -> None:
    differences = [1.0] * wins + [0.0] * (documents - wins)
    p = claims(differences)
    # Nothing lost: about the chance of that at a loss in a hundred, or of so many wins in a row.
    assert p[0] >= 0.85 * min(0.99**documents, 0.5**wins)
    assert verdicts(p[None]) == ["faster, quality open"]
    reverse = claims([-x for x in differences], -0.5)
    assert verdicts(reverse[None]) == ["slower, quality open"]


@pytest.mark.parametrize("documents", [3, 5, 10])
def test_small_losses_on_few_documents_are_no_certainty_either(documents: int) -> None:
    # No resample's mean falls below the tolerance, however few the documents: the mean of so many
    # is 0.009 above it, and a document may have been missed that loses 0.999 more.
    p = claims([-0.001] * documents)
    assert p[0] == pytest.approx((1 - 0.009 / 0.999) ** documents, abs=0.01)


@pytest.mark.parametrize(("documents", "lost"), [(300, 1), (300, 2), (500, 1), (1000, 4)])
def test_few_losses_are_as_likely_as_the_binomial_distribution_says(
    documents: int, lost: int
) -> None:
    p = claims([-1.0] * lost + [0.0] * (documents - lost))
    assert p[0] == pytest.approx(binom.cdf(lost, documents, 0.01), abs=0.03)


def test_the_level_holds_where_a_hundredth_is_lost() -> None:
    generator = np.random.default_rng(3)
    lost = generator.binomial(300, 0.01, size=400)
    known = {int(k): claims([-1.0] * k + [0.0] * (300 - k))[0] for k in np.unique(lost)}
    wrong = sum(known[int(k)] <= 0.05 for k in lost)
    assert wrong <= binom.ppf(0.999, 400, 0.05)


def test_scores_without_a_worst_value_go_by_students_t() -> None:
    generator = np.random.default_rng(8)
    gaps = generator.normal(-0.004, 0.02, size=30)
    mean, error = gaps.mean(), gaps.std(ddof=1) / 30**0.5
    expected = stats.t.sf((mean + 0.01) / error, 29)
    found = part_p_values(np.full(4000, 1.0), np.full(1, np.nan), gaps, shares=False)
    assert found[0] == pytest.approx(max(expected, 1 / 4001))
    assert found[3] == pytest.approx(stats.t.sf(mean / error, 29))
    assert t_test(np.zeros(3), -0.01) == 0.125
    assert t_test(np.zeros(3), 0.0) == 1.0
    assert t_test(np.ones(1), 0.0) == 1.0


def test_what_cannot_be_said_is_not_tested() -> None:
    said = frozenset({"no worse", "better"})
    found = part_p_values(np.full(100, 0.1), np.full(100, 0.2), np.full(50, 0.1), said=said)
    assert np.isnan(found).tolist() == [False, True, True, False, False, False]


@pytest.mark.parametrize("documents", [3, 4])
def test_worse_and_better_are_held_back_by_the_sign_test(documents: int) -> None:
    worse, better = claims([-1.0] * documents), claims([1.0] * documents, -0.5)
    assert worse[2] == pytest.approx(0.5**documents)
    assert better[3] == pytest.approx(0.5**documents)
    assert verdicts(worse[None]) == ["faster, quality open"]
    assert verdicts(better[None]) == ["slower, quality open"]


def test_ten_wins_of_ten_are_enough() -> None:
    assert verdicts(claims([1.0] * 10)[None]) == ["dominates AR"]


def test_sign_test_leaves_out_ties() -> None:
    assert sign_test(np.array([1.0, 1.0, 0.2, -1.0, 0.0, 0.0])) == pytest.approx(5 / 16)
    assert sign_test(np.zeros(4)) == 1.0


def test_without_seconds_only_quality_is_claimed() -> None:
    unknown = np.full(100, np.nan)
    better = part_p_values(np.full(1000, 0.5), unknown, np.full(100, 0.5))
    worse = part_p_values(np.full(1000, -0.5), unknown, np.full(100, -0.5))
    assert np.isnan(better[4:]).all()
    assert verdicts(better[None]) == ["better, speed open"]
    assert verdicts(worse[None]) == ["worse, speed open"]


def test_a_large_loss_at_about_equal_speed_is_named() -> None:
    p = claims([-1.0] * 80 + [0.0] * 20, 0.0)
    assert verdicts(p[None]) == ["worse, speed open"]


def test_without_documents_only_speed_is_claimed() -> None:
    unknown = np.full(1000, np.nan)
    p = part_p_values(unknown, np.full(1000, 0.5), np.zeros(0))
    assert np.isnan(p[:4]).all()
    assert verdicts(p[None]) == ["faster, quality open"]


def test_a_borderline_claim_does_not_survive_many_comparisons() -> None:
    alone = np.array([[1.0, 1.0, 1.0, 0.03, 1.0, 1.0]])
    assert verdicts(np.vstack([alone, np.ones((9, 6))])) == ["not separable"] * 10
    assert verdicts(np.array([[1.0, 1.0, 1.0, 0.008, 1.0, 1.0]])) == ["better, speed open"]


def test_a_verdict_needs_all_its_parts() -> None:
    both = np.array([[0.001, 1.0, 1.0, 1.0, 0.001, 1.0]])
    quality_alone = np.array([[0.001, 1.0, 1.0, 1.0, 1.0, 1.0]])
    assert verdicts(both) == ["dominates AR"]
    assert verdicts(quality_alone) == ["not separable"]


def test_any_false_part_is_as_rare_as_the_level() -> None:
    # Six settings equal to AR in both: every part but "no worse" and "no better" is false of them.
    generator = np.random.default_rng(11)
    wrong = 0
    for _ in range(200):
        raw = generator.choice([-1.0, 0.0, 1.0], p=[0.2, 0.6, 0.2], size=(6, 60))
        weights = document_weights(60, replicates=1440, generator=generator)
        drawn = mean_replicates(raw, weights)
        speed = 0.1 * (generator.normal(size=6) + generator.normal(size=(1440, 6)))
        p = [part_p_values(drawn[:, i], speed[:, i], raw[i]) for i in range(6)]
        wrong += set(verdicts(np.stack(p))) != {"not separable"}
    assert wrong <= binom.ppf(0.999, 200, 0.05)
