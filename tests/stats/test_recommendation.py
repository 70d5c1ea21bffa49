"""The recommendation against slow oracles: the choice, how sure it is, and its honest quality."""

import math
import random
from itertools import product

import numpy as np
import pytest

from dllm_eval.errors import UsageError
from dllm_eval.stats.budget import Budget, Floor, parse_floor
from dllm_eval.stats.candidates import Candidates
from dllm_eval.stats.recommendation import Recommendation, recommend
from dllm_eval.stats.scale import SHARE, Scale

Scores = list[list[float]]


def candidates(
    quality: Scores,
    seconds: list[list[float]],
    cost: list[float] | None = None,
    autoregressive: int | None = None,
    rounds: tuple[float, int] = (0.0, 0),
) -> Candidates:
    work = cost or [1.0 + i for i in range(len(quality))]
    return Candidates(
        rows=tuple(range(len(quality))),
        quality=np.array(quality),
        seconds=tuple(np.array(x) for x in seconds),
        round_spread=np.full(len(quality), rounds[0]),
        round_degrees=rounds[1],
        cost=np.array([[x, x] for x in work]),
        autoregressive=None if autoregressive is None else np.array(quality[autoregressive]),
        autoregressive_row=autoregressive,
    )


def answer(found: Candidates, budget: Budget, *, splits: int = 20) -> Recommendation:
    return recommend(found, budget, replicates=1500, splits=splits)


def won_and_lost_p(first: list[float], second: list[float]) -> float:
    """One-sided sign test, its tail added up term by term."""
    won = sum(a > b for a, b in zip(first, second, strict=True))
    lost = sum(a < b for a, b in zip(first, second, strict=True))
    n = won + lost
    return float(sum(math.comb(n, k) for k in range(won, n + 1)) / 2**n)


def slow_choice(
    quality: Scores, median: list[float], cost: list[float], limit: float | None, floor: float
) -> list[int]:
    """The first two choices, one rule at a time."""
    mean = [sum(row) / len(row) for row in quality]
    left = [
        i
        for i in range(len(mean))
        if mean[i] >= floor - 1e-9 and (limit is None or median[i] <= limit)
    ]
    chosen: list[int] = []
    while left and len(chosen) < 2:
        if limit is None:
            pick = min(left, key=lambda i: (median[i], cost[i]))
        else:
            best = min(left, key=lambda i: (-round(mean[i], 9), cost[i], median[i]))
            close = [
                i
                for i in left
                if mean[best] - mean[i] <= 0.01 + 1e-9
                and won_and_lost_p(quality[best], quality[i]) > 0.05
            ]
            pick = min([best, *close], key=lambda i: (cost[i], median[i]))
        chosen.append(pick)
        left.remove(pick)
    return chosen


@pytest.mark.parametrize("seed", range(40))
def test_the_choice_is_that_of_the_rule_written_out(seed: int) -> None:
    draw = random.Random(seed)
    count = draw.randint(2, 6)
    base = draw.uniform(0.5, 0.95)
    shifts = [draw.choice([0.0, 0.0, 0.005, 0.03, 0.2]) for _ in range(count)]
    quality = [[float(draw.random() < base - shift) for _ in range(200)] for shift in shifts]
    seconds = [[draw.uniform(0.5, 1.5) * (1 + i) for _ in range(9)] for i in range(count)]
    median = [sorted(x)[4] for x in seconds]
    cost = [float(draw.randint(1, 4)) for _ in range(count)]
    limit = draw.choice([None, 2.5, 4.0])
    floor = draw.choice([0.0, 0.5, 0.8]) if limit is not None else draw.choice([0.4, 0.7])
    budget = Budget(latency_s=limit, floor=Floor(share=floor) if floor else None)
    found = answer(candidates(quality, seconds, cost), budget)
    expected = slow_choice(quality, median, cost, limit, floor)
    picks = [pick.row for pick in (found.pick, found.runner_up) if pick is not None]
    assert picks == expected


def spread(right: int, count: int = 40) -> list[float]:
    return [float(i < right) for i in range(count)]


def test_among_settings_that_are_not_separable_the_cheaper_is_taken_and_the_other_named() -> None:
    quality = [[0.0] + [1.0] * 199, [1.0] * 200, [0.0] * 20 + [1.0] * 180]
    found = answer(
        candidates(quality, [[1.0, 1.0]] * 3, cost=[5.0, 9.0, 1.0]), Budget(latency_s=2.0)
    )
    assert found.pick is not None
    assert (found.pick.row, found.instead_of) == (0, 1)
    # Ten points lower is no tie, whatever it costs.
    assert found.runner_up is not None
    assert found.runner_up.row == 1


def test_a_floor_alone_takes_the_fastest_that_reaches_it() -> None:
    found = answer(
        candidates([spread(40), spread(38), spread(20)], [[3.0] * 5, [2.0] * 5, [1.0] * 5]),
        Budget(floor=Floor(share=0.9)),
    )
    assert found.pick is not None
    assert (found.pick.row, found.pick.quality, found.pick.seconds) == (1, 0.95, 2.0)
    assert found.instead_of is None


def slow_shares(
    quality: Scores, seconds: list[list[float]], limit: float, floor: float, row: int
) -> tuple[float, float]:
    """P(meets) and P(best) by resampling documents and requests one at a time."""
    draw, meets, best, times = random.Random(17), 0, 0, 3000
    documents, requests = len(quality[0]), len(seconds[0])
    for _ in range(times):
        rows = [draw.randrange(documents) for _ in range(documents)]
        columns = [draw.randrange(requests) for _ in range(requests)]
        mean = [sum(q[d] for d in rows) / documents for q in quality]
        median = [sorted(s[c] for c in columns)[requests // 2] for s in seconds]
        inside = [m >= floor - 1e-9 and s <= limit for m, s in zip(mean, median, strict=True)]
        if inside[row]:
            meets += 1
            best += all(mean[row] >= mean[i] - 0.01 - 1e-9 for i in range(len(mean)) if inside[i])
    return meets / times, best / times


def test_confidence_is_the_share_of_paired_resamples() -> None:
    draw = random.Random(3)
    hard = [draw.random() for _ in range(80)]
    quality = [[float(x < level) for x in hard] for level in (0.62, 0.70, 0.74)]
    quality[1] = [q if draw.random() < 0.9 else 1.0 - q for q in quality[1]]
    length = [draw.uniform(0.8, 1.2) for _ in range(25)]
    seconds = [[pace * x for x in length] for pace in (0.5, 0.8, 0.97)]
    budget = Budget(latency_s=1.0, floor=Floor(share=0.57))
    found = recommend(candidates(quality, seconds), budget, replicates=6000, splits=2)
    for pick in (found.pick, found.runner_up):
        assert pick is not None
        meets, best = slow_shares(quality, seconds, 1.0, 0.57, pick.row)
        # Exact bounds may hold it back, never push it up.
        assert pick.p_meets <= meets + 0.03
        assert pick.p_meets >= meets - 0.08
        assert pick.p_best == pytest.approx(min(best, pick.p_meets), abs=0.03)


def test_few_documents_and_few_requests_cannot_make_it_certain() -> None:
    perfect = answer(
        candidates([[1.0] * 20, [0.0] * 20], [[1.0] * 20] * 2), Budget(floor=Floor(share=0.9))
    )
    assert perfect.pick is not None
    assert perfect.pick.p_meets == pytest.approx(1 - 0.9**20, abs=0.01)
    quick = answer(candidates([[1.0] * 20], [[1.0] * 10]), Budget(latency_s=2.0, percentile=90))
    assert quick.pick is not None
    assert quick.pick.p_meets == pytest.approx(1 - 0.9**10, abs=1e-9)


def test_rounds_that_differ_make_a_latency_less_certain() -> None:
    sure, shaky = (
        answer(candidates([[1.0] * 20], [[0.95] * 20], rounds=rounds), Budget(latency_s=1.0)).pick
        for rounds in ((0.0, 0), (0.05, 30))
    )
    assert sure is not None
    assert shaky is not None
    assert sure.p_meets > 0.999
    # log(1 / 0.95) is 1.026 deviations of 0.05: 84 % of Student's t with 30 degrees of freedom.
    assert shaky.p_meets == pytest.approx(0.843, abs=0.03)


def test_confidence_at_the_very_edge_is_high_no_more_often_than_it_says() -> None:
    generator = np.random.default_rng(5)
    rounds, high = 300, {"quality": 0, "latency": 0}
    for _ in range(rounds):
        scores = (generator.random(60) < 0.8).astype(float)
        seconds = np.exp(generator.normal(0.0, 0.3, size=21))
        for name, budget in (
            ("quality", Budget(floor=Floor(share=0.8))),
            ("latency", Budget(latency_s=1.0)),
        ):
            found = recommend(
                candidates([scores.tolist()], [seconds.tolist()]), budget, replicates=300, splits=1
            )
            high[name] += found.pick is not None and found.pick.p_meets >= 0.95
    for count in high.values():
        assert count / rounds <= 0.05 + 3 * math.sqrt(0.05 * 0.95 / rounds)


def test_the_held_out_quality_undoes_the_winners_curse() -> None:
    generator = np.random.default_rng(8)
    plain, held_out = [], []
    for _ in range(60):
        scores = (generator.random((10, 80)) < 0.6).astype(float)
        found = recommend(
            candidates(scores.tolist(), [[1.0, 1.0]] * 10),
            Budget(latency_s=2.0),
            replicates=20,
            splits=30,
        )
        assert found.pick is not None
        plain.append(found.pick.quality)
        held_out.append(found.pick.held_out_quality)
        assert 0 < found.pick.same_choice < 1
    error = 3 * float(np.std(held_out)) / math.sqrt(60)
    assert np.mean(plain) > 0.6 + 0.05
    assert np.mean(held_out) == pytest.approx(0.6, abs=error)


def test_nothing_qualifies_and_the_nearest_of_each_kind_is_named() -> None:
    found = candidates([spread(40), spread(30), spread(10)], [[3.0] * 5, [2.0] * 5, [1.0] * 5])
    floor = Floor(share=0.9)
    both = answer(found, Budget(latency_s=2.5, floor=floor))
    assert (both.pick, both.runner_up, both.nearest) == (None, None, (0, 1))
    assert answer(found, Budget(latency_s=0.5)).nearest == (2,)
    high = candidates([spread(30), spread(10)], [[3.0] * 5, [1.0] * 5])
    assert answer(high, Budget(floor=floor)).nearest == (0,)


def test_a_floor_below_the_ar_row_is_paired_with_it() -> None:
    quality = [spread(39), spread(36), spread(40)]
    found = candidates(quality, [[2.0] * 5, [1.0] * 5, [3.0] * 5], autoregressive=2)
    budget = Budget(floor=Floor(share=0.05, below_autoregressive=True))
    result = answer(found, budget)
    assert result.floor == pytest.approx(0.95)
    assert result.pick is not None
    assert result.runner_up is not None
    assert (result.pick.row, result.runner_up.row) == (0, 2)
    # One of 40 documents lost: exact chance of no more, if 5 % were.
    few_lost = 0.95**40 + 40 * 0.05 * 0.95**39
    assert result.pick.p_meets == pytest.approx(1 - few_lost, abs=0.02)
    # The AR row is no worse than itself by definition.
    assert result.runner_up.p_meets == 1.0


def test_floors_without_what_they_need_are_one_clear_line() -> None:
    lone = candidates([spread(30)], [[1.0, 1.0]])
    with pytest.raises(UsageError, match="needs one in this suite"):
        answer(lone, Budget(floor=Floor(share=0.02, below_autoregressive=True)))
    odd = candidates([[40.0, 60.0]], [[1.0, 1.0]])
    with pytest.raises(UsageError, match="needs scores between 0 and 1"):
        answer(odd, Budget(floor=Floor(share=0.5)))
    assert answer(odd, Budget(latency_s=2.0)).pick is not None


@pytest.mark.parametrize(
    ("written", "share", "below"),
    [("0.9", 0.9, False), ("90%", 0.9, False), ("90 %", 0.9, False), ("1", 1.0, False)]
    + [(x, 0.02, True) for x in ("ar-2pt", "AR - 2 pt", "ar-2.0pt")],
)
def test_floors_are_read(written: str, share: float, below: bool) -> None:
    found = parse_floor(written)
    assert found.share == pytest.approx(share)
    assert found.below_autoregressive == below


@pytest.mark.parametrize("written", ["0", "-0.1", "ar-2", "ar", "120%", "high", "", "nan"])
def test_other_floors_are_one_clear_line(written: str) -> None:
    with pytest.raises(UsageError, match=r"--quality-floor is .*ar-2pt"):
        parse_floor(written)


def test_a_bare_number_is_the_most_of_a_metric_that_is_better_where_it_is_lower() -> None:
    perplexity, bits = Scale(kind="perplexity"), Scale(kind="bits")
    four = parse_floor("4").on(perplexity)
    assert perplexity.value(four.share) == pytest.approx(4.0)
    assert four.as_quality
    assert bits.value(parse_floor("0.9").on(bits).share) == pytest.approx(0.9)
    below = parse_floor("ar-2pt")
    assert below.on(perplexity) == below
    assert parse_floor("0.9").on(SHARE).share == 0.9
    with pytest.raises(UsageError, match=r"--quality-floor is 90; accepted: a share such as 0.9"):
        parse_floor("90").on(SHARE)
    with pytest.raises(UsageError, match="is 90%, and this suite's metric is better where it is l"):
        parse_floor("90%").on(perplexity)


def test_budgets_that_ask_for_nothing_or_nonsense_are_refused() -> None:
    with pytest.raises(UsageError, match="--latency-ms X, --quality-floor Q, or both"):
        Budget()
    for latency_s, percentile in product((0.0, -1.0, math.nan, math.inf), (50,)):
        with pytest.raises(UsageError, match="accepted: milliseconds above 0"):
            Budget(latency_s=latency_s, percentile=percentile)
    with pytest.raises(UsageError, match="accepted: 50, 90, 99"):
        Budget(latency_s=1.0, percentile=95)
