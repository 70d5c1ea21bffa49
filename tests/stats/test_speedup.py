"""Matched-quality speed-up on cases worked out by hand."""

import numpy as np
import pytest

from dllm_eval.stats.speedup import MatchedSpeedup, least_latency, matched_speedup


def speedup(latency: list[float], quality: list[float], spread: float = 0.0) -> MatchedSpeedup:
    """The last point is the AR model."""
    generator = np.random.default_rng(0)
    times, scores = np.array(latency), np.array(quality)
    noise = 1 + spread * generator.normal(size=(500, len(latency)))
    return matched_speedup(
        latency_s=times,
        quality=scores,
        latency_replicates=times * noise,
        quality_replicates=np.tile(scores, (500, 1)),
        diffusion=list(range(len(latency) - 1)),
        autoregressive=[len(latency) - 1],
    )


def test_takes_the_fastest_setting_that_reaches_the_floor() -> None:
    out = speedup([0.1, 0.2, 0.4, 1.0], [0.50, 0.90, 0.95, 0.90])
    assert out.ratio == pytest.approx(5.0)
    assert out.diffusion_s == 0.2
    assert out.quality_floor == pytest.approx(0.89)
    assert out.interval.low == pytest.approx(5.0)


def test_exactly_one_point_below_is_matched() -> None:
    assert speedup([0.5, 1.0], [0.99, 1.0]).reached


def test_not_reached_is_said_and_not_extrapolated() -> None:
    out = speedup([0.1, 0.2, 1.0], [0.5, 0.8, 0.9])
    assert not out.reached
    assert np.isnan(out.ratio)
    assert out.reached_share == 0.0
    assert out.interval.high == 0.0


def test_slower_is_below_one() -> None:
    out = speedup([2.0, 1.0], [0.9, 0.9], spread=0.05)
    assert out.ratio == pytest.approx(0.5)
    assert out.interval.low < 0.5 < out.interval.high < 1.0


def test_untimed_points_reach_nothing() -> None:
    latency, quality = np.array([np.nan, 3.0]), np.array([0.9, 0.9])
    assert float(least_latency(latency, quality, np.array(0.5))) == 3.0
    assert np.isinf(float(least_latency(latency[:1], quality[:1], np.array(0.5))))
