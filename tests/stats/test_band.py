"""The band of a frontier: its bounds one by one, and where it attains nothing."""

import numpy as np
import pytest
from scipy.stats import binomtest

from dllm_eval.stats.band import Band, attained_band
from dllm_eval.stats.resample import resampled_means


def band(scores: np.ndarray, latency: np.ndarray, grid: np.ndarray) -> Band:
    generator = np.random.default_rng(0)
    drawn = resampled_means(scores, replicates=500, generator=generator)
    seconds = latency * np.exp(generator.normal(0.0, 0.01, (500, len(latency))))
    return attained_band(scores, drawn, seconds, grid)


def test_one_setting_has_its_own_exact_bounds() -> None:
    scores = np.array([[1.0] * 30 + [0.0] * 10])
    found = band(scores, np.array([1.0]), np.array([0.5, 2.0]))
    assert np.isnan(found.low[0])
    assert np.isnan(found.high[0])
    exact = binomtest(30, 40).proportion_ci(confidence_level=0.90, method="exact")
    assert found.high[1] == pytest.approx(exact.high)
    assert found.low[1] == pytest.approx(exact.low, abs=0.002)


def test_several_equal_settings_are_no_surer_of_their_best() -> None:
    generator = np.random.default_rng(1)
    scores = (generator.random((6, 200)) < 0.5).astype(float)
    latency, grid = np.arange(1.0, 7.0), np.array([1.5, 20.0])
    found = band(scores, latency, grid)
    # One setting is below the highest of six means, whose lower bounds must hold together.
    together = band(scores[:1], latency[:1], grid)
    assert found.low[0] == pytest.approx(together.low[1], abs=0.002)
    margin = scores.mean(axis=1).max() - found.low[1]
    assert margin > scores[0].mean() - together.low[1]


def test_a_hopeless_setting_changes_nothing() -> None:
    generator = np.random.default_rng(2)
    good = (generator.random((1, 300)) < 0.9).astype(float)
    bad = (generator.random((1, 300)) < 0.1).astype(float)
    grid = np.array([3.0])
    both = band(np.vstack([good, bad]), np.array([1.0, 2.0]), grid)
    alone = band(good, np.array([1.0]), grid)
    assert both.high == pytest.approx(alone.high)
    assert both.low == pytest.approx(alone.low, abs=0.005)


def test_scores_beyond_one_use_the_bootstrap() -> None:
    scores = np.random.default_rng(3).normal(5.0, 1.0, (1, 400))
    found = band(scores, np.array([1.0]), np.array([2.0]))
    half = 1.645 / 20.0
    assert found.low[0] == pytest.approx(scores.mean() - half, abs=0.02)
    assert found.high[0] == pytest.approx(scores.mean() + half, abs=0.02)
