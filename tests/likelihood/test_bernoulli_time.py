"""The ELBO in continuous time: unbiased, empty draws included, and its error as far as it goes."""

from itertools import combinations
from math import comb, sin

import numpy as np
import pytest
from numpy.typing import NDArray
from scipy import stats

from dllm_eval.api import Denoiser
from dllm_eval.likelihood import log_likelihood
from dllm_eval.likelihood.bernoulli_time import bernoulli_time, bernoulli_time_independent
from dllm_eval.likelihood.draws import effective_degrees, spread_order, stderr_of_mean
from dllm_eval.likelihood.plan import Estimate, Estimator, Plan, Setting

BOTH = [bernoulli_time, bernoulli_time_independent]


def term(members: tuple[int, ...]) -> float:
    """Sum over i in S of s(S, i): any function of S will do."""
    return -sum(1.0 + abs(sin(7.0 * i + 3.0 * len(members))) for i in members)


def elbo(length: int) -> float:
    return sum(
        term(subset) / size / comb(length, size)
        for size in range(1, length + 1)
        for subset in combinations(range(length), size)
    )


def table_of(plan: Plan) -> NDArray[np.float64]:
    """A set's sum stands at its first position."""
    table = np.zeros(plan.masks.shape)
    for row, mask in enumerate(plan.masks):
        members = tuple(np.flatnonzero(mask).tolist())
        table[row, members[0]] = term(members)
    return table


def plan_for(estimator: Estimator, length: int, samples: int, seed: int = 0) -> Plan:
    return estimator(Setting(length=length, samples=samples, max_enumeration=1, seed=seed))


def run(estimator: Estimator, length: int, samples: int, seed: int) -> Estimate:
    plan = plan_for(estimator, length, samples, seed)
    return plan.estimate(table_of(plan))


@pytest.mark.parametrize("estimator", BOTH)
@pytest.mark.parametrize(("length", "samples"), [(1, 1), (1, 7), (3, 5), (6, 16), (7, 33)])
def test_mean_over_seeds_is_the_elbo(estimator: Estimator, length: int, samples: int) -> None:
    values = [run(estimator, length, samples, seed).value for seed in range(600)]
    deviation = np.mean(values) - elbo(length)
    assert abs(deviation) < 4 * np.std(values, ddof=1) / len(values) ** 0.5


@pytest.mark.parametrize("estimator", BOTH)
@pytest.mark.parametrize("first", [1, 3])
def test_the_first_draws_alone_are_unbiased(estimator: Estimator, first: int) -> None:
    values = []
    for seed in range(1000):
        plan = plan_for(estimator, 4, 8, seed)
        assert plan.sampling is not None
        values.append(plan.sampling.draws(table_of(plan))[:first].mean())
    assert abs(np.mean(values) - elbo(4)) < 4 * np.std(values, ddof=1) / len(values) ** 0.5


def test_independent_is_the_loop_on_its_numbers() -> None:
    length, samples = 6, 20
    generator = np.random.default_rng(2)
    times = [1 - u for u in generator.random(samples)]
    uniforms = generator.random((length, samples))
    draws = []
    for j, time in enumerate(times):
        masked = tuple(i for i in range(length) if uniforms[i, j] < time)
        draws.append(term(masked) / time)
    result = run(bernoulli_time_independent, length, samples, seed=2)
    assert result.value == pytest.approx(np.mean(draws), rel=1e-12)
    assert result.stderr == pytest.approx(np.std(draws, ddof=1) / samples**0.5, rel=1e-9)
    assert (result.samples, result.degrees) == (samples, samples - 1)


def test_stratified_is_the_loop_on_its_numbers() -> None:
    """The numbers: a rotation of the strata, one per stratum, then for each position one a draw."""
    length, samples = 6, 20
    generator = np.random.default_rng(2)
    order = spread_order(samples, generator.random())
    within = generator.random(samples)
    uniforms = generator.random((length, samples))
    by_time = {}
    for place, stratum in enumerate(order):
        time = (stratum + 1 - within[stratum]) / samples
        masked = tuple(i for i in range(length) if uniforms[i, place] < time)
        by_time[time] = term(masked) / time
    draws = [by_time[time] for time in sorted(by_time)]
    result = run(bernoulli_time, length, samples, seed=2)
    assert result.value == pytest.approx(np.mean(draws), rel=1e-12)
    assert result.stderr == pytest.approx(stderr_of_mean(np.array(draws)), rel=1e-9)
    assert result.degrees == pytest.approx(effective_degrees(np.array(draws)), rel=1e-9)


@pytest.mark.parametrize("samples", [2, 16, 33])
def test_each_stratum_has_one_time(samples: int) -> None:
    """Sets whose terms sum to 1 show their draw's time; of 1000 tokens, none is masked rarely."""
    seen = set()
    for seed in range(20):
        plan = plan_for(bernoulli_time, 1000, samples, seed)
        assert plan.sampling is not None
        draws = plan.sampling.draws(plan.masks / plan.masks.sum(axis=1, keepdims=True))
        places = samples / draws[draws > 0]
        strata = sorted(np.ceil(places).astype(int) - 1)
        assert strata[-samples + 1 :] == list(range(1, samples))
        seen.update((places % 1.0 > 0.5).tolist())
    assert seen == {True, False}


@pytest.mark.parametrize("estimator", BOTH)
@pytest.mark.parametrize(("length", "samples"), [(5, 128), (7, 64)])
def test_standard_error_covers_nearly(estimator: Estimator, length: int, samples: int) -> None:
    """The variance is infinite, so 95 % intervals hold in the limit only; here at least 90 %."""
    exact = elbo(length)
    results = [run(estimator, length, samples, seed) for seed in range(500)]
    wide = stats.t.ppf(0.975, np.array([result.degrees for result in results], dtype=float))
    away = np.array([abs(result.value - exact) / result.stderr for result in results])
    covered = away <= wide
    assert 0.9 < np.mean(covered) < 0.985


@pytest.mark.parametrize("estimator", BOTH)
def test_the_first_rows_give_the_first_draws(estimator: Estimator) -> None:
    plan = plan_for(estimator, 5, 40, seed=3)
    table, sampling = table_of(plan), plan.sampling
    assert sampling is not None
    every = sampling.draws(table)
    assert len(every) == 40
    assert sampling.rows_after[0] >= 1
    assert sampling.rows_after[-1] == len(plan.masks)
    for number, rows in enumerate(sampling.rows_after, start=1):
        complete = sampling.draws(table[:rows])
        assert complete.tolist() == every[: len(complete)].tolist()
        assert len(complete) >= number
        assert plan.estimate(table[:rows]).samples == len(complete)


def test_a_plan_of_empty_draws_asks_for_one_row_and_reads_none() -> None:
    values = []
    for seed in range(200):
        plan = plan_for(bernoulli_time, 1, 1, seed)
        assert plan.masks.tolist() == [[True]]
        result = plan.estimate(np.full((1, 1), -1.0))
        assert result.stderr == np.inf
        values.append(result.value)
    assert 60 < values.count(0.0) < 140  # a single token stays visible half the time
    assert all(value <= -1.0 for value in values if value)


def test_an_impossible_token_gives_minus_infinity() -> None:
    for estimator in BOTH:
        plan = plan_for(estimator, 3, 16)
        result = plan.estimate(np.where(plan.masks, -np.inf, 0.0))
        assert (result.value, result.stderr) == (-np.inf, np.inf)


def test_through_a_model_it_is_the_noisier_estimator(tabular: Denoiser) -> None:
    """At equal samples, as arXiv 2502.09992, appendix A.2, says of this form."""
    target = (2, 0, 1, 1, 0)
    exact = log_likelihood(tabular, (1, 2), target, estimator="enumeration").value
    spread = {}
    for name in ("bernoulli_time", "monte_carlo"):
        results = [log_likelihood(tabular, (1, 2), target, name, 16, s) for s in range(100)]
        values = [result.value for result in results]
        assert abs(np.mean(values) - exact) < 4 * np.std(values, ddof=1) / len(values) ** 0.5
        assert {(result.estimator, result.quantity) for result in results} == {(name, "elbo")}
        spread[name] = np.var(values)
    assert spread["bernoulli_time"] > 2 * spread["monte_carlo"]
