"""Monte-Carlo estimators: unbiased for any (length, samples), with a standard error that covers."""

from collections.abc import Callable
from itertools import pairwise
from statistics import variance

import numpy as np
import pytest
from mask_tables import elbo, random_table, run, standard_errors_off
from numpy.typing import NDArray
from scipy import stats

from dllm_eval.api import Denoiser
from dllm_eval.likelihood import log_likelihood
from dllm_eval.likelihood.control_variate import control_variate
from dllm_eval.likelihood.draws import (
    effective_degrees,
    stderr_of_mean,
    stratified_counts,
    uniform_subsets,
)
from dllm_eval.likelihood.monte_carlo import monte_carlo
from dllm_eval.likelihood.plan import Estimator, Setting

SIZES = [(2, 3), (3, 5), (4, 1), (7, 5), (7, 8), (8, 16), (10, 4), (10, 33)]


@pytest.mark.parametrize(
    ("estimator", "length", "samples"),
    [(monte_carlo, *size) for size in SIZES]
    + [(control_variate, *size) for size in SIZES if size[1] > 1],
)
def test_mean_over_seeds_is_the_elbo(estimator: Estimator, length: int, samples: int) -> None:
    table = random_table(length)
    values = [run(estimator, table, samples, seed).value for seed in range(800)]
    assert abs(standard_errors_off(values, elbo(table))) < 4


@pytest.mark.parametrize("estimator", ["monte_carlo", "control_variate"])
@pytest.mark.parametrize(("length", "samples"), [(4, 6), (5, 8)])
def test_mean_over_seeds_is_the_enumeration_through_a_model(
    tabular: Denoiser, estimator: str, length: int, samples: int
) -> None:
    target = (2, 0, 1, 1, 0)[:length]
    exact = log_likelihood(tabular, (1, 2), target, estimator="enumeration").value
    values = [
        log_likelihood(tabular, (1, 2), target, estimator, samples, seed).value
        for seed in range(150)
    ]
    assert abs(np.mean(values) - exact) < 4 * np.std(values, ddof=1) / len(values) ** 0.5


@pytest.mark.parametrize("estimator", ["monte_carlo", "control_variate"])
def test_mean_over_seeds_is_the_truth_of_a_consistent_model(
    chain: Denoiser,
    chain_parameters: tuple[NDArray[np.float64], NDArray[np.float64]],
    estimator: str,
) -> None:
    _, step = chain_parameters
    text = (0, 2, 1, 1, 0, 2, 2)
    truth = sum(np.log(step[a, b]) for a, b in pairwise(text))
    values = [
        log_likelihood(chain, text[:1], text[1:], estimator, 10, seed).value for seed in range(100)
    ]
    assert abs(np.mean(values) - truth) < 4 * np.std(values, ddof=1) / len(values) ** 0.5


@pytest.mark.parametrize("length", [1, 2, 3, 7, 8, 12, 20, 40])
@pytest.mark.parametrize("samples", [1, 2, 5, 16, 32, 33])
def test_every_count_is_equally_frequent_in_expectation(length: int, samples: int) -> None:
    # Counts change only where (u + j) * length / samples is whole, i.e. at multiples of 1 / length:
    # the middles of these cells, equally likely, stand for all u.
    middles = (np.arange(length) + 0.5) / length
    drawn = [stratified_counts(length, np.full(samples, middle)) for middle in middles]
    frequencies = np.bincount(np.concatenate(drawn), minlength=length + 1)
    assert frequencies.tolist() == [0] + [samples] * length


def test_counts_stay_in_range_at_the_ends() -> None:
    uniforms = np.full(1000, np.nextafter(1.0, 0.0))
    uniforms[0] = 0.0
    counts = stratified_counts(7, uniforms)
    assert (counts[0], counts[-1]) == (1, 7)


def test_subsets_of_a_size_are_equally_likely() -> None:
    num_draws = 20_000
    masks = uniform_subsets(np.full(num_draws, 2), 5, np.random.default_rng(0))
    assert set(masks.sum(axis=1)) == {2}
    frequencies = np.unique(masks @ (1 << np.arange(5)), return_counts=True)[1]
    assert len(frequencies) == 10
    assert stats.chisquare(frequencies).pvalue > 1e-4


@pytest.mark.parametrize(("length", "samples"), [(7, 5), (8, 8), (8, 16), (10, 33), (12, 6)])
@pytest.mark.parametrize("estimator", [monte_carlo, control_variate])
def test_standard_error_covers(estimator: Estimator, length: int, samples: int) -> None:
    """At least 95 % of the 95 % intervals, less 4 binomial standard deviations; not too wide."""
    num_seeds = 1200
    table = random_table(length)
    truth = elbo(table)
    results = [run(estimator, table, samples, seed) for seed in range(num_seeds)]
    errors = np.array([result.value - truth for result in results])
    stderrs = np.array([result.stderr for result in results])
    wide = stats.t.ppf(0.975, df=np.array([result.degrees for result in results], dtype=np.float64))
    covered = np.mean(np.abs(errors) <= wide * stderrs)
    assert covered > 0.95 - 4 * (0.95 * 0.05 / num_seeds) ** 0.5
    # The mean of squared errors has a relative sd of about (2 / num_seeds)^0.5, 4 %, more with
    # heavy tails; the estimate's expectation is never below it.
    ratio = np.mean(stderrs**2) / np.mean(errors**2)
    assert 0.85 < ratio < 2.0


def collapsed(draws: list[float], first: int) -> list[list[float]]:
    """Groups of two, but for a first one of `first` and a last one that takes who is left alone."""
    groups, rest, size = [], list(draws), first
    while rest:
        if len(rest) == size + 1:
            size += 1
        groups.append(rest[:size])
        rest, size = rest[size:], 2
    return groups


@pytest.mark.parametrize("num_draws", [2, 3, 4, 5, 6, 8, 9])
def test_standard_error_is_collapsed_strata(num_draws: int) -> None:
    draws = np.random.default_rng(num_draws).normal(size=num_draws).tolist()
    ways = [collapsed(draws, first) for first in ((2,) if num_draws < 5 else (2, 3))]
    total, squares = 0.0, 0.0
    for groups in ways:
        assert [draw for group in groups for draw in group] == draws
        assert {len(group) for group in groups} <= {2, 3}
        total += sum(len(group) * variance(group) for group in groups) / len(ways)
        squares += sum((len(g) * variance(g)) ** 2 / len(g) for g in groups) / len(ways)
    assert stderr_of_mean(np.array(draws)) == pytest.approx(total**0.5 / num_draws, rel=1e-12)
    degrees = min(max(total**2 / squares - 1, 1), num_draws - 1)
    assert effective_degrees(np.array(draws)) == pytest.approx(degrees, rel=1e-12)


def test_degrees_go_by_where_the_variance_is() -> None:
    """Equal strata have two degrees for three pairs; with all of it in one pair there is one."""
    generator = np.random.default_rng(0)
    equal = [effective_degrees(generator.normal(size=60)) for _ in range(400)]
    assert 17 < np.mean(np.array(equal, dtype=np.float64)) < 23
    lonely = np.zeros(60)
    lonely[3] = 1.0
    assert effective_degrees(lonely) == 1.0
    assert effective_degrees(np.zeros(60)) is None


@pytest.mark.parametrize("draws", [[1.5], [-np.inf, -1.0, 2.0], [2.0] * 3, [1.0, 1.0, 4.0, 4.0]])
def test_standard_error_is_infinite_where_unknown(draws: list[float]) -> None:
    assert stderr_of_mean(np.array(draws)) == np.inf
    assert effective_degrees(np.array(draws)) is None


def test_control_variate_removes_all_noise_where_it_is_the_term_itself() -> None:
    """Where s(S, i) is half of s(all, i) for a single token, and goes there linearly."""
    length = 7
    terms = -np.arange(1.0, length + 1)
    spread: dict[Callable[[Setting], object], float] = {}
    for estimator in (monte_carlo, control_variate):
        plan = estimator(Setting(length=length, samples=5, max_enumeration=1, seed=0))
        size = plan.masks.sum(axis=1, keepdims=True)
        factor = (1 + (size - 1) / (length - 1)) / 2
        estimate = plan.estimate(np.where(plan.masks, factor * terms, 0.0))
        # The mean over sizes of the factor is 3/4.
        spread[estimator] = abs(estimate.value - 0.75 * terms.sum())
    assert spread[control_variate] < 1e-12 < 0.1 < spread[monte_carlo]


@pytest.mark.parametrize("estimator", ["monte_carlo", "control_variate"])
def test_one_token_has_no_noise(tabular: Denoiser, estimator: str) -> None:
    exact = log_likelihood(tabular, (0, 1), (2,))
    result = log_likelihood(tabular, (0, 1), (2,), estimator=estimator, samples=9)
    assert result.value == pytest.approx(exact.value, abs=1e-12)
    assert (result.stderr, result.nfe) == (0.0, 1)
