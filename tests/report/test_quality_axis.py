"""The axis of a metric that is better where it is lower has the best on top, in its own numbers."""

import math
from types import SimpleNamespace
from typing import Any

import pytest
from matplotlib.figure import Figure

from dllm_eval.report.quality_axis import own_axis, set_quality_axis
from dllm_eval.stats.resample import Interval
from dllm_eval.stats.scale import SHARE, Scale, scale_of


def rows(scale: Scale, *qualities: float) -> Any:
    return [
        SimpleNamespace(scale=scale, quality=q, quality_interval=Interval(low=q - 0.1, high=q))
        for q in qualities
    ]


def test_shares_have_percent_from_below_to_above() -> None:
    assert own_axis(rows(SHARE, 0.2, 0.4)) is None
    assert own_axis([]) is None
    axes = Figure().subplots()
    set_quality_axis(axes, rows(SHARE, 0.2, 0.4))
    assert axes.get_ylim() == (-4.0, 106.0)


@pytest.mark.parametrize("worst", [3.0, 90.0])
def test_a_perplexity_falls_upwards(worst: float) -> None:
    own = own_axis(rows(scale_of("word_perplexity"), -math.log(worst), -math.log(2.5)))
    assert own is not None
    assert own.low < -math.log(worst) - 0.1
    assert own.high > -math.log(2.5)
    numbers = [float(shown) for _, shown in own.ticks]
    assert len(numbers) >= 2
    assert numbers == sorted(numbers, reverse=True)
    for quality, shown in own.ticks:
        assert quality == pytest.approx(-math.log(float(shown)))
        assert own.low <= quality <= own.high


def test_the_drawn_axis_has_those_ticks() -> None:
    axes = Figure().subplots()
    few = rows(scale_of("bits_per_byte"), -2.0, -1.0)
    set_quality_axis(axes, few)
    own = own_axis(few)
    assert own is not None
    assert axes.get_ylim() == pytest.approx((100 * own.low, 100 * own.high))
    assert [tick.get_text() for tick in axes.get_yticklabels()] == [text for _, text in own.ticks]
