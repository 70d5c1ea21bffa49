"""Monte-Carlo estimators: unbiased for any (length, samples), with a standard error that covers."""

from collections.abc import Callable
from functools import lru_cache
from itertools import combinations, pairwise
from math import comb
from statistics import variance

import numpy as np
import pytest
from numpy.typing import NDArray
from scipy import stats

from dllm_eval.api import Denoiser
from dllm_eval.likelihood import log_likelihood
from dllm_eval.likelihood.control_variate import control_variate
from dllm_eval.likelihood.draws import stderr_of_mean, stratified_counts, uniform_subsets
from dllm_eval.likelihood.monte_carlo import monte_carlo
from dllm_eval.likelihood.plan import Estimate, Estimator, Setting

SIZES = [(2, 3), (3, 5), (4, 1), (7, 5), (7, 8), (8, 16), (10, 4), (10, 33)]


@lru_cache(maxsize=16)
def random_table(length: int) -> tuple[NDArray[np.float64], float]:
    """s(S, i) for every set, by the set's bits, and its ELBO."""
    generator = np.random.default_rng(length)
    codes = np.arange(2**length)
    masks = (codes[:, None] >> np.arange(length)) % 2 == 1
    easier_with_less_masked = 0.3 + masks.mean(axis=1, keepdims=True)
    table = -easier_with_less_masked * generator.exponential(size=(2**length, length))
    table = np.where(masks, table, 0.0)
    elbo = 0.0
    for size in range(1, length + 1):
        for subset in combinations(range(length), size):
            elbo += sum(table[sum(2**i for i in subset)]) / size / comb(length, size)
    return table, elbo


def run(estimator: Estimator, length: int, samples: int, seed: int) -> Estimate:
    plan = estimator(Setting(length=length, samples=samples, max_enumeration=1, seed=seed))
    table, _ = random_table(length)
    return plan.estimate(table[plan.masks @ (1 << np.arange(length))])


@pytest.mark.parametrize(
    ("estimator", "length", "samples"),
    [(monte_carlo, *size) for size in SIZES]
    + [(control_variate, *size) for size in SIZES if size[1] > 1],
)
def test_mean_over_seeds_is_the_elbo(estimator: Estimator, length: int, samples: int) -> None:
    values = [run(estimator, length, samples, seed).value for seed in range(800)]
    deviation = np.mean(values) - random_table(length)[1]
    assert abs(deviation) < 4 * np.std(values, ddof=1) / len(values) ** 0.5


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
    elbo = random_table(length)[1]
    results = [run(estimator, length, samples, seed) for seed in range(num_seeds)]
    errors = np.array([result.value - elbo for result in results])
    stderrs = np.array([result.stderr for result in results])
    wide = stats.t.ppf(0.975, df=max(1, samples // 2))
    covered = np.mean(np.abs(errors) <= wide * stderrs)
    assert covered > 0.95 - 4 * (0.95 * 0.05 / num_seeds) ** 0.5
    # The mean of squared errors has a relative sd of about (2 / num_seeds)^0.5, 4 %, more with
    # heavy tails; the estimate's expectation is never below it.
    ratio = np.mean(stderrs**2) / np.mean(errors**2)
    assert 0.85 < ratio < 2.0


@pytest.mark.parametrize("num_draws", [2, 3, 4, 5, 8, 9])
def test_standard_error_is_collapsed_strata(num_draws: int) -> None:
    draws = np.random.default_rng(num_draws).normal(size=num_draws).tolist()
    groups, rest = [], list(draws)
    while rest:
        size = 3 if len(rest) == 3 else 2
        groups.append(rest[:size])
        rest = rest[size:]
    expected = sum(len(group) * variance(group) for group in groups) ** 0.5 / num_draws
    assert stderr_of_mean(np.array(draws)) == pytest.approx(expected, rel=1e-12)


@pytest.mark.parametrize("draws", [[1.5], [-np.inf, -1.0, 2.0]])
def test_standard_error_is_infinite_where_unknown(draws: list[float]) -> None:
    assert stderr_of_mean(np.array(draws)) == np.inf


def test_control_variate_removes_all_noise_where_it_is_the_term_itself() -> None:
    """Where s(S, i) does not depend on S, the plain estimate is noisy and this one is not."""
    length = 7
    terms = -np.arange(1.0, length + 1)
    spread: dict[Callable[[Setting], object], float] = {}
    for estimator in (monte_carlo, control_variate):
        plan = estimator(Setting(length=length, samples=5, max_enumeration=1, seed=0))
        estimate = plan.estimate(np.where(plan.masks, terms, 0.0))
        spread[estimator] = abs(estimate.value - terms.sum())
    assert spread[control_variate] < 1e-12 < 0.1 < spread[monte_carlo]


@pytest.mark.parametrize("estimator", ["monte_carlo", "control_variate"])
def test_one_token_has_no_noise(tabular: Denoiser, estimator: str) -> None:
    exact = log_likelihood(tabular, (0, 1), (2,))
    result = log_likelihood(tabular, (0, 1), (2,), estimator=estimator, samples=9)
    assert result.value == pytest.approx(exact.value, abs=1e-12)
    assert (result.stderr, result.nfe) == (0.0, 1)
