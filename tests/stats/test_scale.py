"""Lower is better: what a metric's numbers are to statistics, and how they are shown again."""

import math

import numpy as np
import pytest
from lm_eval.api.metrics import bits_per_byte, weighted_perplexity

from dllm_eval.stats.resample import Interval
from dllm_eval.stats.scale import SHARE, Scale, lower_in, scale_of, weighted

NATS = np.array([-80.0, -31.5, -122.0, -9.0])
WEIGHTS = np.array([40.0, 11.0, 70.0, 3.0])


def test_the_mean_quality_is_what_lm_eval_aggregates() -> None:
    items = list(zip(NATS.tolist(), WEIGHTS.tolist(), strict=True))
    own = [math.exp(-nats / weight) for nats, weight in items]
    words = scale_of("word_perplexity")
    mean = float(weighted(words.quality(np.array(own)), WEIGHTS).mean())
    assert words.value(mean) == pytest.approx(weighted_perplexity(items))
    bits = scale_of("bits_per_byte")
    mean = float(weighted(bits.quality(-NATS / WEIGHTS / math.log(2)), WEIGHTS).mean())
    assert bits.value(mean) == pytest.approx(bits_per_byte(items))


def test_the_spread_is_that_of_the_ratio() -> None:
    generator = np.random.default_rng(2)
    weights = generator.integers(5, 60, size=400).astype(np.float64)
    quality = -2.0 - 0.01 * weights + 0.3 * generator.normal(size=400)
    linear = weighted(quality, weights)
    drawn = generator.integers(400, size=(4000, 400))
    ratios = (weights * quality)[drawn].sum(axis=1) / weights[drawn].sum(axis=1)
    assert linear.std(ddof=1) / 20 == pytest.approx(ratios.std(), rel=0.05)


def test_equal_weights_change_nothing_and_unscored_documents_stay_so() -> None:
    quality = np.array([-1.0, np.nan, -3.0])
    same = weighted(quality, np.full(3, 7.0))
    assert same[[0, 2]].tolist() == pytest.approx([-1.0, -3.0])
    assert np.isnan(same[1])
    assert np.isnan(weighted(np.full(2, np.nan), np.ones(2))).all()


@pytest.mark.parametrize("kind", ["perplexity", "bits", "lower"])
def test_better_is_more_quality_and_less_of_the_metric(kind: str) -> None:
    scale = Scale(kind=kind)  # type: ignore[arg-type]
    good, bad = scale.quality(np.array([2.0, 5.0]))
    assert good > bad
    assert scale.value(float(good)) == pytest.approx(2.0)
    own = scale.bounds(Interval(low=float(bad), high=float(good)))
    assert (own.low, own.high) == pytest.approx((2.0, 5.0))


def test_shares_are_shown_as_ever_and_perplexities_as_themselves() -> None:
    span = Interval(low=0.76, high=0.9012)
    assert (SHARE.text(0.84), SHARE.span(span)) == ("84.0 %", "76.0 to 90.1")
    scale = scale_of("word_perplexity")
    assert scale.text(-math.log(12.345)) == "12.35"
    ends = Interval(low=-math.log(20.0), high=-math.log(8.5))
    assert scale.span(ends) == "8.500 to 20.00"
    assert scale.text(math.nan) == scale.span(Interval(low=math.nan, high=math.nan)) == "\u2013"
    assert Scale(kind="lower").text(0.0) == "0"


def test_who_says_that_lower_is_better() -> None:
    facts = {"a": {"higher_is_better": {"wer": False, "acc": True}}, "b": {}}
    assert lower_in(facts, "wer")
    assert not lower_in(facts, "acc")
    assert not lower_in({"old": {"version": 1}}, "wer")
    assert scale_of("wer", lower_is_better=True).kind == "lower"
    assert scale_of("acc").kind == "share"


def test_chance_is_a_level_only_where_one_is_stated() -> None:
    assert SHARE.floor(0.25) == 0.25
    scale = scale_of("byte_perplexity")
    assert scale.floor(0.0) == -math.inf
    assert scale.value(scale.floor(256.0)) == pytest.approx(256.0)


def test_an_error_of_a_perplexity_is_a_share_of_it() -> None:
    assert scale_of("perplexity").value_stderr(-math.log(10.0), 0.02) == pytest.approx(0.2)
    assert scale_of("bits_per_byte").value_stderr(-3.0, 0.02) == 0.02
