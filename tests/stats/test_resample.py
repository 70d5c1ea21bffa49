"""Bootstrap draws against resampling done the slow way, and intervals against simulation."""

import numpy as np
import pytest
from scipy.stats import ks_2samp

from dllm_eval.stats.resample import (
    document_weights,
    mean_replicates,
    median_replicates,
    percentile_interval,
    quality_interval,
    wilson_interval,
)


def test_weights_count_every_document_drawn() -> None:
    weights = document_weights(17, replicates=300, generator=np.random.default_rng(0))
    assert weights.shape == (300, 17)
    assert (weights.sum(axis=1) == 17).all()
    assert weights.mean(axis=0) == pytest.approx(np.ones(17), abs=0.3)


def test_means_equal_the_mean_of_the_drawn_documents() -> None:
    generator = np.random.default_rng(1)
    scores = generator.random((3, 6))
    scores[1, 2] = np.nan
    weights = document_weights(6, replicates=40, generator=generator)
    got = mean_replicates(scores, weights)
    for r in range(40):
        drawn = [doc for doc in range(6) for _ in range(int(weights[r, doc]))]
        for c in range(3):
            values = [scores[c, doc] for doc in drawn if not np.isnan(scores[c, doc])]
            assert got[r, c] == pytest.approx(sum(values) / len(values))


@pytest.mark.parametrize("n", [2, 3, 10, 11])
def test_medians_follow_the_distribution_of_real_resamples(n: int) -> None:
    generator = np.random.default_rng(2)
    samples = generator.lognormal(size=n)
    quick = median_replicates(samples, replicates=6000, generator=generator)
    slow = np.array([np.median(generator.choice(samples, size=n)) for _ in range(6000)])
    assert ks_2samp(np.round(quick, 9), np.round(slow, 9)).pvalue > 0.001


@pytest.mark.parametrize("n", [0, 1])
def test_fewer_than_two_samples_give_no_spread(n: int) -> None:
    out = median_replicates(np.ones(n), replicates=5, generator=np.random.default_rng(0))
    assert np.isnan(out).all()


def test_interval_covers_a_proportion_nearly_as_often_as_it_says() -> None:
    covered, truth, experiments = 0, 0.6, 300
    for seed in range(experiments):
        generator = np.random.default_rng(seed)
        scores = (generator.random((1, 120)) < truth).astype(float)
        weights = document_weights(120, replicates=500, generator=generator)
        interval = quality_interval(scores[0], mean_replicates(scores, weights)[:, 0])
        covered += interval.low <= truth <= interval.high
    assert 0.91 < covered / experiments < 0.98


def test_all_wrong_is_not_certainty() -> None:
    scores = np.zeros((1, 50))
    weights = document_weights(50, replicates=100, generator=np.random.default_rng(0))
    interval = quality_interval(scores[0], mean_replicates(scores, weights)[:, 0])
    assert interval.low == 0.0
    assert 0.05 < interval.high < 0.09  # the rule of three gives 0.06, Wilson 0.071


def test_wilson_inverts_the_score_test() -> None:
    interval = wilson_interval(successes=7, trials=20)
    for bound in (interval.low, interval.high):
        z = abs(7 / 20 - bound) / np.sqrt(bound * (1 - bound) / 20)
        assert z == pytest.approx(1.959964, abs=1e-5)


def test_unknown_replicates_make_an_unknown_interval() -> None:
    assert np.isnan(percentile_interval(np.array([1.0, np.nan])).low)


def test_same_seed_same_draws() -> None:
    first, second = (
        median_replicates(np.arange(9.0), replicates=50, generator=np.random.default_rng(7))
        for _ in range(2)
    )
    assert (first == second).all()


def test_a_single_document_has_no_interval_where_there_is_nothing_to_resample() -> None:
    alone = quality_interval(np.array([3.3]), np.full(1000, 3.3))
    assert np.isnan(alone.low)
    assert np.isnan(alone.high)
    two = quality_interval(np.array([3.0, 4.0]), np.tile([3.0, 3.5, 4.0], 500))
    assert (two.low, two.high) == (3.0, 4.0)
