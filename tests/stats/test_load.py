"""Runs under load: what counts of them, hand-made and against a slow walk through time."""

import math
from collections.abc import Hashable
from itertools import pairwise
from typing import Any

import numpy as np
import pandas as pd
import pytest

from dllm_eval.stats.load_intervals import blocks, quantile_interval, rate_interval
from dllm_eval.stats.load_point import LoadPoint, load_point
from dllm_eval.stats.load_run import LoadRun, full_load, load_run

NAN = float("nan")


def records(*rows: tuple[float, float, float]) -> pd.DataFrame:
    """(offered, answered, visible tokens) of each request."""
    return pd.DataFrame(
        [
            {"offered_s": o, "seconds": a - o, "visible_tokens": t, "batch_size": 2}
            for o, a, t in rows
        ]
    )


def cell(in_flight: float = NAN, arrivals: float = NAN, **told: Any) -> dict[Hashable, Any]:
    done = {"load": told} if told else {}
    return {"load_in_flight": in_flight, "load_arrivals_per_s": arrivals, "done": done}


def run_of(told: dict[Hashable, Any], own: pd.DataFrame) -> LoadRun:
    found = load_run(told, own)
    assert found is not None
    return found


def point_of(told: dict[Hashable, Any], own: pd.DataFrame) -> LoadPoint:
    return load_point([run_of(told, own)])


def test_batches_that_are_all_full_count_whole() -> None:
    own = records((0, 1, 10), (0, 1, 10), (1, 2, 20), (1, 2, 20))
    found = point_of(cell(2), own)
    assert found.in_flight == 2
    assert found.arrivals_per_s is None
    assert found.visible_tokens_per_s == pytest.approx(30.0)
    assert found.window_tokens_per_s == pytest.approx(30.0)
    assert found.requests_per_s == pytest.approx(2.0)
    assert found.p50_s == pytest.approx(1.0)
    assert found.window_s == pytest.approx(2.0)
    assert math.isnan(found.answered_per_s)
    assert not found.saturated


def test_a_last_batch_that_is_not_full_is_left_out() -> None:
    own = records((0, 1, 10), (0, 1, 10), (1, 2, 10), (1, 2, 10), (2, 2.5, 10))
    found = point_of(cell(2), own)
    assert found.visible_tokens_per_s == pytest.approx(20.0)
    assert found.window_tokens_per_s == pytest.approx(50 / 2.5)
    assert found.p90_s == pytest.approx(1.0)
    assert found.answered == 5


def test_a_draining_end_leaves_out_the_last_offered_not_the_longest() -> None:
    # One place answers in 1 s each, the other holds one request for 3.5 s, beyond the last offer.
    own = records((0, 3.5, 7), (0, 1, 2), (1, 2, 2), (2, 3, 2), (3, 4, 2))
    kept, mean = full_load(np.array([0, 0, 1, 2, 3.0]), np.array([3.5, 1, 2, 3, 4.0]), 2)
    assert kept.tolist() == [True, True, True, False, False]
    assert mean == pytest.approx(2.0)
    # Little: two in flight over (3.5 + 1 + 1) / 3 seconds each, of 11 tokens in three answers.
    assert point_of(cell(2), own).visible_tokens_per_s == pytest.approx(2 * 11 / 5.5)


def slow_full_load(
    offers: list[float], answers: list[float], count: int
) -> tuple[list[bool], float]:
    """The definition, walked through moment by moment."""
    moments = sorted({*offers, *answers})
    end = None
    for before, after in pairwise(moments):
        middle = (before + after) / 2
        flying = sum(o < middle < a for o, a in zip(offers, answers, strict=True))
        if flying >= count:
            end = after
    if end is None:
        return [False] * len(offers), NAN
    area = sum(max(0.0, min(a, end) - o) for o, a in zip(offers, answers, strict=True))
    late = [a > end for a in answers]
    only_new = all(o >= end for o, is_late in zip(offers, late, strict=True) if is_late)
    if only_new:
        kept = [not x for x in late]
    else:
        kept = [i < len(offers) - count for i in range(len(offers))]
    return kept, area / (end - offers[0])


@pytest.mark.parametrize("count", [1, 2, 5])
@pytest.mark.parametrize("seed", range(6))
def test_full_load_is_as_defined(count: int, seed: int) -> None:
    draw = np.random.default_rng(seed)
    free, offers, answers = [0.0] * count, [], []
    for _ in range(23):
        place = free.index(min(free))
        offers.append(free[place])
        # Whole numbers of seconds make ties, as batches do.
        free[place] += float(draw.integers(1, 4)) if seed % 2 else float(draw.exponential())
        answers.append(free[place])
    order = sorted(range(23), key=lambda i: offers[i])
    offers, answers = [offers[i] for i in order], [answers[i] for i in order]
    kept, mean = full_load(np.array(offers), np.array(answers), count)
    slow_kept, slow_mean = slow_full_load(offers, answers, count)
    assert kept.tolist() == slow_kept
    assert mean == pytest.approx(slow_mean)
    assert kept.any()


def test_too_few_requests_for_so_many_in_flight_say_nothing() -> None:
    found = point_of(cell(4), records((0, 1, 10), (0, 1, 10)))
    assert math.isnan(found.visible_tokens_per_s)
    assert math.isnan(found.p90_s)
    assert math.isnan(found.tokens_interval.low)
    assert found.window_tokens_per_s == pytest.approx(20.0)


def test_tokens_that_are_not_reported_leave_requests_per_second() -> None:
    found = point_of(cell(1), records((0, 1, NAN), (1, 2, 10)))
    assert math.isnan(found.visible_tokens_per_s)
    assert math.isnan(found.window_tokens_per_s)
    assert math.isnan(found.tokens_interval.low)
    assert found.requests_per_s == pytest.approx(1.0)


def test_a_queue_that_keeps_up_is_not_saturated() -> None:
    own = records(*((i, i + 0.6 + 0.1 * (i % 3), 5) for i in range(20)))
    found = point_of(cell(arrivals=1.0), own)
    assert found.offered_per_s == pytest.approx(1.0)
    assert found.answered_per_s == pytest.approx(19 / (19.7 - 0.6))
    assert not found.saturated
    assert found.open_at_end == pytest.approx(1 / 20)
    assert found.visible_tokens_per_s == pytest.approx(100 / 19.7)
    assert found.level == 1.0


def test_a_queue_that_grows_is_saturated_and_has_no_intervals() -> None:
    # One request a second for a server that takes two.
    own = records(*((i, 2 * i + 2, 5) for i in range(40)))
    found = point_of(cell(arrivals=1.0), own)
    assert found.offered_per_s == pytest.approx(1.0)
    assert found.answered_per_s == pytest.approx(0.5)
    assert found.saturated
    assert found.open_at_end == pytest.approx(21 / 40)
    assert math.isnan(found.p90_interval.low)
    assert math.isnan(found.p50_interval.high)


def test_a_slow_last_answer_alone_is_no_growing_queue() -> None:
    own = records(*((i, i + (3.0 if i == 19 else 0.5), 5) for i in range(20)))
    found = point_of(cell(arrivals=1.0), own)
    assert found.answered_per_s < 0.95 * found.offered_per_s
    assert not found.saturated


def test_what_was_offered_and_not_answered_is_counted() -> None:
    own = records((0, 1, 5), (0.5, 1.5, 5), (1, 2, 5))
    told = cell(arrivals=2.0, offered=4, stopped_by="time")
    found = point_of(told, own)
    assert (found.offered, found.answered, found.stopped_by) == (4, 3, "time")
    assert found.unanswered == pytest.approx(0.25)
    assert found.open_at_end == pytest.approx(3 / 4)  # two answers and the one that never came


def test_runs_of_several_seeds_are_put_together() -> None:
    one = run_of(cell(2), records((0, 1, 10), (0, 1, 10), (1, 2, 10), (1, 2, 10)))
    other = run_of(cell(2), records((0, 2, 10), (0, 2, 10), (2, 4, 10), (2, 4, 10)))
    found = load_point([one, other, one])
    assert found.visible_tokens_per_s == pytest.approx(120 / 8)
    assert found.p50_s == pytest.approx(1.0)
    assert found.answered == 12
    assert found.runs == 3
    # Three runs: the pull of each is 1/3 less 4/16 or 8/16. At most five blocks are one in each
    # run, and spread more than the six of two requests do.
    spread = 3 / 2 * (2 * (1 / 3 - 1 / 4) ** 2 + (1 / 3 - 1 / 2) ** 2)
    blocks_half = runs_half = 4.302653 * math.sqrt(spread)
    half = math.hypot(blocks_half, runs_half)
    assert found.tokens_interval.high == pytest.approx(120 / 8 * math.exp(half))
    assert found.tokens_interval.low == pytest.approx(120 / 8 * math.exp(-half))


def test_two_runs_say_too_little_of_how_runs_differ() -> None:
    one = run_of(cell(2), records(*((i // 2, i // 2 + 1, 10) for i in range(16))))
    other = run_of(cell(2), records(*((i // 2 * 2, i // 2 * 2 + 2, 10) for i in range(16))))
    found = load_point([one, other])
    assert found.visible_tokens_per_s == pytest.approx(320 / 24)
    assert math.isnan(found.tokens_interval.low)
    assert math.isnan(found.p50_interval.low)


def test_a_single_run_has_the_interval_of_its_blocks_alone() -> None:
    own = records(*((i // 2, i // 2 + 1 + i // 2 % 3 / 10, 10) for i in range(16)))
    one = run_of(cell(2), own)
    nothing = run_of(cell(2), records((0, 1, 10)))
    alone, beside = load_point([one]), load_point([one, nothing])
    assert (alone.runs, beside.runs) == (1, 1)  # a run that never was at full load tells nothing
    assert alone.tokens_interval == beside.tokens_interval
    assert alone.p50_interval == beside.p50_interval
    low, high = alone.tokens_interval.low, alone.tokens_interval.high
    assert 0 < low < alone.visible_tokens_per_s < high


def test_quantiles_know_how_runs_differ() -> None:
    draw = np.random.default_rng(8)
    parts = [factor * draw.uniform(0.9, 1.0, 60) for factor in (1.0, 1.2, 1.44)]
    values, run = np.concatenate(parts), np.repeat(np.arange(3), 60)
    found = quantile_interval(values, 0.5, together=1, run=run)
    own = np.log([np.quantile(x, 0.5) for x in parts])
    half = 4.302653 * own.std(ddof=1) / math.sqrt(3)
    middle = np.quantile(values, 0.5)
    # Within a run seconds differ little, so that nearly all of it is how runs differ.
    assert math.log(found.high / middle) == pytest.approx(half, rel=0.02)
    assert math.log(middle / found.low) == pytest.approx(half, rel=0.02)
    assert math.log(found.high / middle) >= half
    same = np.concatenate([parts[0]] * 3)
    alike = quantile_interval(same, 0.5, together=1, run=run)
    assert 0.9 < alike.low < np.quantile(same, 0.5) < alike.high < 1.0
    assert math.isnan(quantile_interval(0.0 * values, 0.5, together=1, run=run).low)


def test_an_interval_without_an_upper_end_has_none_by_more_runs() -> None:
    values, run = np.random.default_rng(9).exponential(size=30), np.repeat([0, 1, 2], 10)
    found = quantile_interval(values, 0.9, together=1, run=run)
    assert math.isinf(found.high)
    assert 0 < found.low < np.quantile(values, 0.9)


def test_cells_without_moments_of_offers_are_left_out() -> None:
    own = records((0, 1, 10))
    assert load_run(cell(1), None) is None
    assert load_run(cell(1), own.drop(columns="offered_s")) is None
    assert load_run(cell(1), own.assign(offered_s=NAN)) is None


def test_blocks_hold_whole_groups_in_flight() -> None:
    assert blocks(64, at_least=16, most=10).tolist() == [i // 16 for i in range(64)]
    assert blocks(64, at_least=4, most=10).tolist() == [i // 8 for i in range(64)]
    # What is left over joins the last block.
    assert blocks(11, at_least=2, most=2).tolist() == [0] * 6 + [0] * 5
    assert blocks(13, at_least=3, most=3).tolist() == [0] * 6 + [1] * 7
    assert blocks(3, at_least=8, most=10).tolist() == [0] * 3


def test_the_interval_of_a_rate_is_that_of_a_ratio_of_sums() -> None:
    amounts, seconds = np.array([10.0, 30.0, 20.0]), np.array([1.0, 2.0, 3.0])
    found = rate_interval(amounts, seconds, np.arange(3))
    pull = [10 / 60 - 1 / 6, 30 / 60 - 2 / 6, 20 / 60 - 3 / 6]
    half = 4.302653 * math.sqrt(3 / 2 * sum(x * x for x in pull))
    assert found.low == pytest.approx(10.0 * math.exp(-half))
    assert found.high == pytest.approx(10.0 * math.exp(half))
    assert math.isnan(rate_interval(amounts, seconds, np.array([0, 0, 1])).low)


def at_most(wins: int, trials: int, chance: float) -> float:
    return sum(
        math.comb(trials, k) * chance**k * (1 - chance) ** (trials - k) for k in range(wins + 1)
    )


@pytest.mark.parametrize(("count", "level"), [(64, 0.5), (64, 0.9), (100, 0.9), (20, 0.5)])
def test_independent_waits_have_binomial_order_statistics(count: int, level: float) -> None:
    values = np.random.default_rng(5).permutation(np.arange(1.0, count + 1))
    found = quantile_interval(values, level, together=None)
    low = next(k for k in range(count) if at_most(k, count, level) >= 0.025)
    high = next(k for k in range(count) if at_most(k, count, level) >= 0.975) + 1
    assert found.low == low
    assert found.high == (high if high <= count else math.inf)


def test_a_short_run_has_no_upper_end_and_a_tiny_one_nothing() -> None:
    values = np.random.default_rng(6).exponential(size=30)
    found = quantile_interval(values, 0.9, together=None)
    assert 0 < found.low < np.quantile(values, 0.9)
    assert math.isinf(found.high)
    assert math.isnan(quantile_interval(values[:1], 0.5, together=None).low)
    assert math.isnan(quantile_interval(values, 0.9, together=30).low)


def test_requests_that_wait_for_each_other_count_less() -> None:
    draw = np.random.default_rng(7)
    slow = np.repeat(draw.exponential(size=20), 10)  # ten in a row wait alike
    own, alone = (quantile_interval(slow, 0.5, together=x) for x in (1, None))
    assert own.low <= alone.low
    assert own.high > alone.high
