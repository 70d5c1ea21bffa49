"""Rounds of a timing: how much they differ, and what that does to replicates."""

import numpy as np
import pytest

from dllm_eval.stats.latency_draws import PAIRED, LatencyDraws
from dllm_eval.stats.rounds import NO_ROUNDS, RoundSpread, median_variance, round_spread, spreads


def timed(
    generator: np.random.Generator, *, settings: int, rounds: int, common: float, own: float
) -> list[np.ndarray]:
    shared = generator.normal(0.0, common, rounds)
    requests = generator.normal(0.0, 0.3, (30, 1))
    return [np.exp(requests + shared + generator.normal(0.0, own, rounds)) for _ in range(settings)]


def test_the_two_parts_of_the_spread_are_told_apart() -> None:
    generator = np.random.default_rng(1)
    found = [
        round_spread(timed(generator, settings=6, rounds=5, common=0.1, own=0.03))
        for _ in range(300)
    ]
    assert np.mean([x.common**2 for x in found]) == pytest.approx(0.01, rel=0.15)
    assert np.mean([x.own**2 for x in found]) == pytest.approx(0.0009, rel=0.15)
    assert {(x.common_degrees, x.own_degrees) for x in found} == {(4, 20)}


def test_one_setting_has_one_spread() -> None:
    seconds = np.exp(np.array([[0.1, 0.0, -0.1]]) + np.zeros((4, 1)))
    found = round_spread([seconds])
    assert found.own == pytest.approx(0.1)
    assert (found.common, found.own_degrees, found.degrees) == (0.0, 2, 2)
    assert found.deviation == pytest.approx(0.1)


def test_one_round_and_no_seconds_say_nothing() -> None:
    assert round_spread([np.ones((5, 1)), np.empty((0, 0)), np.empty((0, 3))]) == NO_ROUNDS
    assert NO_ROUNDS.degrees == 0


def test_units_that_a_round_left_out_are_left_out() -> None:
    seconds = np.exp(np.array([[0.1, 0.0, -0.1]]) + np.zeros((4, 1)))
    gap = np.array([[np.nan, 7.0, 9.0]])
    assert round_spread([np.vstack([seconds, gap])]) == round_spread([seconds])


def test_both_parts_together_have_fewer_degrees_than_their_sum() -> None:
    spread = RoundSpread(common=0.1, common_degrees=2, own=0.1, own_degrees=10)
    # (2 s)^2 / (s^2/2 + s^2/10) with s = 0.01
    assert spread.degrees == 6
    assert spread.deviation == pytest.approx(np.sqrt(0.02))


def test_busy_settings_say_nothing_of_the_others() -> None:
    quiet, wild = np.ones((3, 4)), np.exp(np.array([[3.0, 0.0, -3.0, 1.0]]) + np.zeros((3, 1)))
    known = spreads([quiet, wild, quiet], ["a", "a", "b"], left_out=frozenset({1}))
    assert known["a"].deviation == 0.0
    assert known["b"].deviation == 0.0


@pytest.mark.parametrize("count", [1, 2, 3, 4, 5, 9])
def test_the_variance_of_a_median(count: int) -> None:
    generator = np.random.default_rng(count)
    drawn = np.median(generator.normal(size=(200_000, count)), axis=1)
    assert median_variance(count) == pytest.approx(float(drawn.var()), rel=0.025)


def draws(spread: RoundSpread, replicates: int = 4000) -> LatencyDraws:
    return LatencyDraws({"here": spread}, replicates=replicates, generator=np.random.default_rng(0))


def test_ratios_see_neither_common_requests_nor_common_rounds() -> None:
    generator = np.random.default_rng(3)
    seconds = generator.lognormal(size=24)
    made = draws(RoundSpread(common=0.3, common_degrees=4, own=0.0, own_degrees=0))
    slow, fast = (made.of(x, num_rounds=5, group="here") for x in (2.0 * seconds, seconds))
    assert slow / fast == pytest.approx(2.0)
    assert np.log(fast).std() > 0.15


def test_own_rounds_widen_and_an_unknown_place_does_not() -> None:
    made = draws(RoundSpread(common=0.0, common_degrees=0, own=0.2, own_degrees=50))
    same = np.ones(24)
    wide, known = (made.of(same, num_rounds=3, group=x) for x in ("here", "elsewhere"))
    assert np.log(wide).std() == pytest.approx(0.2 * np.sqrt(0.449), rel=0.1)
    assert np.ptp(known) == 0.0


@pytest.mark.filterwarnings("error")
def test_rounds_that_differ_wildly_still_give_numbers() -> None:
    made = draws(RoundSpread(common=9.0, common_degrees=2, own=9.0, own_degrees=2), 40_000)
    one, other = (made.of(np.ones(3), num_rounds=3, group="here") for _ in range(2))
    assert np.isfinite(one / other).all()
    assert np.isfinite(one).all()


@pytest.mark.parametrize("settings", [1, 2, 5])
def test_two_rounds_say_next_to_nothing(settings: int) -> None:
    found = round_spread([np.array([[1.0, 1.1], [2.0, 2.2]])] * settings)
    assert found.too_few
    assert np.isnan(draws(found).of(np.ones(8), num_rounds=2, group="here")).all()
    three = round_spread([np.array([[1.0, 1.1, 1.2], [2.0, 2.2, 2.1]])] * settings)
    assert not three.too_few
    assert not NO_ROUNDS.too_few


@pytest.mark.parametrize("count", [0, 1])
def test_one_unit_has_no_spread(count: int) -> None:
    out = draws(NO_ROUNDS).of(np.ones(count), num_rounds=3, group="here")
    assert np.isnan(out).all()


def test_many_requests_are_drawn_from_the_same_distribution() -> None:
    seconds = np.sort(np.random.default_rng(4).lognormal(size=PAIRED + 1))
    many = draws(NO_ROUNDS).of(seconds, num_rounds=1, group="here")
    few = draws(NO_ROUNDS).of(seconds[:PAIRED], num_rounds=1, group="here")
    assert np.median(many) == pytest.approx(np.median(few), rel=0.05)
    assert many.std() == pytest.approx(few.std(), rel=0.15)
