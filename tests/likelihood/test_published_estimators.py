"""LLaDA's and Dream's released estimators: the same masks, weights and moments, flaws included."""

from functools import lru_cache
from itertools import combinations
from math import comb

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from scipy import stats

from dllm_eval.api import Denoiser
from dllm_eval.likelihood import LikelihoodConfig, log_likelihood, score
from dllm_eval.likelihood.plan import Estimate, Estimator, Plan, Setting
from dllm_eval.likelihood.published import dream_mc, grid_counts, grid_probabilities, llada_mc

Moments = tuple[float, float]


@lru_cache(maxsize=16)
def random_sums(length: int) -> dict[frozenset[int], float]:
    """Sum over i in S of s(S, i) for every S; odd sizes are harder, which LLaDA's grid notices."""
    generator = np.random.default_rng(length)
    return {
        frozenset(subset): float(-generator.exponential(1.0 + 2.0 * (size % 2), size=size).sum())
        for size in range(length + 1)
        for subset in combinations(range(length), size)
    }


def table_of(plan: Plan) -> NDArray[np.float64]:
    """The sum of a set stands at its first position."""
    length = plan.masks.shape[1]
    table = np.zeros(plan.masks.shape)
    for row, mask in enumerate(plan.masks):
        members = np.flatnonzero(mask)
        table[row, members[0]] = random_sums(length)[frozenset(members.tolist())]
    return table


def plan_for(estimator: Estimator, length: int, samples: int, seed: int = 0) -> Plan:
    return estimator(Setting(length=length, samples=samples, max_enumeration=1, seed=seed))


def run(estimator: Estimator, length: int, samples: int, seed: int) -> Estimate:
    plan = plan_for(estimator, length, samples, seed)
    return plan.estimate(table_of(plan))


@lru_cache(maxsize=64)
def by_size(length: int, size: int) -> Moments:
    """Mean and variance of a set's sum, over the sets of a size."""
    sums = [random_sums(length)[frozenset(s)] for s in combinations(range(length), size)]
    return float(np.mean(sums)), float(np.var(sums))


def elbo(length: int) -> float:
    return sum(by_size(length, size)[0] / size for size in range(1, length + 1))


def released_counts(first: int, length: int, batch: int) -> list[int]:
    """The release's grid, in its 32 bits, its halves rounded by torch."""
    last = first + (batch - 1) * (length / batch)
    grid = torch.linspace(float(first), last, batch)
    return [(int(point.round()) - 1) % length + 1 for point in grid]


def llada_moments(length: int, batch: int) -> Moments:
    """Of one batch, over its k and its sets."""
    means, variances = [], []
    for first in range(1, length + 1):
        terms = [
            (length / size * mean, (length / size) ** 2 * variance)
            for size in released_counts(first, length, batch)
            for mean, variance in [by_size(length, size)]
        ]
        means.append(sum(mean for mean, _ in terms) / batch)
        variances.append(sum(variance for _, variance in terms) / batch**2)
    return float(np.mean(means)), float(np.mean(variances) + np.var(means))


def dream_moments(length: int, batch: int) -> Moments:
    """Of one batch, over its sets and its offset, of which the first 1 / b says it all."""
    means, variances = [], []
    for offset in (np.arange(50) + 0.5) / (50 * batch):
        terms = []
        for j in range(batch):
            p = 0.999 * (offset + j / batch) + 0.001
            first = second = 0.0
            for size in range(1, length + 1):
                mean, variance = by_size(length, size)
                chance = comb(length, size) * p**size * (1 - p) ** (length - size)
                first += chance * mean / p
                second += chance * (mean**2 + variance) / p**2
            terms.append((first, second - first**2))
        means.append(sum(mean for mean, _ in terms) / batch)
        variances.append(sum(variance for _, variance in terms) / batch**2)
    return float(np.mean(means)), float(np.mean(variances) + np.var(means))


@pytest.mark.parametrize("batch", [1, 2, 4, 8, 16, 32])
def test_counts_are_the_released_grid(batch: int) -> None:
    for length in range(1, 41):
        expected = [released_counts(first, length, batch) for first in range(1, length + 1)]
        assert grid_counts(np.arange(1, length + 1), length, batch).tolist() == expected


@pytest.mark.parametrize(("length", "batch"), [(8, 16), (4, 8), (12, 8), (20, 8)])
def test_halves_go_to_even_counts(length: int, batch: int) -> None:
    counts = grid_counts(np.arange(1, length + 1), length, batch).ravel()
    shares = np.bincount(counts)[1:] * length / len(counts)
    assert shares.tolist() == [0.5, 1.5] * (length // 2)


def test_counts_are_uniform_where_the_batch_divides_the_length_and_nowhere_else() -> None:
    for length in range(2, 50):
        counts = grid_counts(np.arange(1, length + 1), length, 8).ravel()
        assert (set(np.bincount(counts)[1:]) == {8}) == (length % 8 == 0)


def test_probabilities_are_the_released_grid() -> None:
    offsets = np.array([0.0, 0.25, 0.7, 0.999])
    for batch in (1, 4, 32):
        for row, offset in zip(grid_probabilities(offsets, batch), offsets, strict=True):
            for j, probability in enumerate(row):
                time = offset + j / batch
                time -= time >= 1
                assert probability == pytest.approx(0.999 * time + 0.001, abs=1e-12)


@pytest.mark.parametrize(
    ("length", "samples", "batch"), [(5, 128, 8), (7, 24, 8), (9, 12, 4), (4, 5, 1)]
)
def test_llada_is_the_released_loop_on_its_numbers(length: int, samples: int, batch: int) -> None:
    """The numbers: one per batch for its k, then for each position one per draw, to be ranked."""
    generator = np.random.default_rng(3)
    whole = [1 + int(length * u) for u in generator.random(samples // batch)]
    keys = generator.random((length, samples))
    losses = []
    for number, first in enumerate(whole):
        loss = 0.0
        for j, size in enumerate(released_counts(first, length, batch)):
            order = np.argsort(keys[:, number * batch + j]).tolist()
            loss -= random_sums(length)[frozenset(order[:size])] / (size / length)
        losses.append(loss / batch)
    result = run(llada_mc, length, samples, seed=3)
    assert result.value == pytest.approx(-sum(losses) / len(losses), rel=1e-12)
    assert result.stderr == pytest.approx(np.std(losses, ddof=1) / len(losses) ** 0.5, rel=1e-9)
    assert (result.samples, result.degrees) == (samples, len(losses) - 1)


@pytest.mark.parametrize(("length", "samples", "batch"), [(1, 64, 32), (5, 128, 32), (7, 12, 4)])
def test_dream_is_the_released_loop_on_its_numbers(length: int, samples: int, batch: int) -> None:
    """The numbers: an offset per batch, then for each position one per draw."""
    generator = np.random.default_rng(4)
    offsets = generator.random(samples // batch)
    uniforms = generator.random((length, samples))
    losses = []
    for number, offset in enumerate(offsets):
        loss = 0.0
        for j in range(batch):
            probability = (1 - 1e-3) * ((offset + j / batch) % 1) + 1e-3
            draw = uniforms[:, number * batch + j]
            masked = frozenset(i for i in range(length) if draw[i] < probability)
            loss -= random_sums(length)[masked] / probability
        losses.append(loss / batch)
    result = run(dream_mc, length, samples, seed=4)
    assert result.value == pytest.approx(-sum(losses) / len(losses), rel=1e-12)
    assert result.stderr == pytest.approx(np.std(losses, ddof=1) / len(losses) ** 0.5, rel=1e-9)
    assert (result.samples, result.degrees) == (samples, len(losses) - 1)


@pytest.mark.parametrize("length", [4, 7, 8])
def test_llada_has_the_mean_and_the_variance_of_the_release(length: int) -> None:
    mean, variance = llada_moments(length, 8)
    results = [run(llada_mc, length, 16, seed) for seed in range(800)]
    values = np.array([result.value for result in results])
    assert abs(values.mean() - mean) < 4 * (variance / 2 / len(values)) ** 0.5
    assert np.mean((values - mean) ** 2) == pytest.approx(variance / 2, rel=0.25)
    # Two batches are independent: half their squared difference is a batch's variance.
    stated = np.mean([result.stderr**2 for result in results])
    assert stated == pytest.approx(variance / 2, rel=0.25)


@pytest.mark.parametrize("length", [1, 4, 7])
def test_dream_has_the_mean_of_the_release(length: int) -> None:
    """Its fourth moment goes with 1 / 0.001^2, so the variance over seeds would show little."""
    mean, variance = dream_moments(length, 32)
    values = [run(dream_mc, length, 128, seed).value for seed in range(800)]
    assert abs(np.mean(values) - mean) < 4 * (variance / 4 / len(values)) ** 0.5


def test_llada_is_biased_by_as_much_as_its_counts() -> None:
    assert llada_moments(8, 8)[0] == pytest.approx(elbo(8), rel=1e-12)
    mean, variance = llada_moments(4, 8)
    assert mean - elbo(4) > 0.5  # odd sizes are the harder ones, and come too seldom
    values = [run(llada_mc, 4, 128, seed).value for seed in range(300)]
    assert np.mean(values) - elbo(4) > 0.5 - 4 * (variance / 16 / len(values)) ** 0.5


def test_dream_is_biased_by_as_much_as_its_least_probability() -> None:
    length = 6
    expected = 0.0
    for size in range(1, length + 1):
        below = stats.beta.cdf(1e-3, size, length - size + 1)
        expected += by_size(length, size)[0] / size * (1 - below) / (1 - 1e-3)
    assert dream_moments(length, 32)[0] == pytest.approx(expected, rel=1e-6)
    assert 1e-5 < abs(expected - elbo(length)) / abs(elbo(length)) < 1e-3


@pytest.mark.parametrize(
    ("estimator", "length"), [(llada_mc, 4), (llada_mc, 7), (dream_mc, 4), (dream_mc, 7)]
)
def test_standard_error_covers(estimator: Estimator, length: int) -> None:
    """95 % intervals at the released 128 samples; of Dream's four skewed draws, a little less."""
    expected = (llada_moments(length, 8) if estimator is llada_mc else dream_moments(length, 32))[0]
    wide = stats.t.ppf(0.975, 15 if estimator is llada_mc else 3)
    results = [run(estimator, length, 128, seed) for seed in range(600)]
    covered = [abs(result.value - expected) <= wide * result.stderr for result in results]
    assert (0.92 if estimator is llada_mc else 0.88) < np.mean(covered) < 0.98


@pytest.mark.parametrize(("estimator", "samples"), [(llada_mc, 8), (llada_mc, 1), (dream_mc, 32)])
def test_a_single_batch_says_nothing_of_its_error(estimator: Estimator, samples: int) -> None:
    result = run(estimator, 5, samples, seed=0)
    assert (result.stderr, result.degrees, result.samples) == (np.inf, None, samples)


@pytest.mark.parametrize(("estimator", "batch"), [(llada_mc, 8), (dream_mc, 32)])
def test_the_first_rows_give_the_first_batches(estimator: Estimator, batch: int) -> None:
    plan = plan_for(estimator, 7, 128, seed=5)
    table, sampling = table_of(plan), plan.sampling
    assert sampling
    every = sampling.draws(table)
    assert len(every) == len(sampling.rows_after) == 128 // batch
    assert sampling.rows_after[-1] == len(plan.masks)
    for number, rows in enumerate(sampling.rows_after, start=1):
        assert sampling.draws(table[:rows]).tolist() == every[:number].tolist()
        assert len(sampling.draws(table[: rows - 1])) < number
        part = plan.estimate(table[:rows])
        assert part.value == pytest.approx(every[:number].mean(), rel=1e-12)
        assert part.samples == number * batch


def test_no_set_is_asked_for_twice_and_none_is_empty() -> None:
    for masks in (plan_for(llada_mc, 4, 128).masks, plan_for(dream_mc, 4, 128).masks):
        assert masks.any(axis=1).all()
        assert len({mask.tobytes() for mask in masks}) == len(masks) <= 15


def test_draws_that_mask_nothing_count_as_zero() -> None:
    empty = [
        plan
        for plan in (plan_for(dream_mc, 1, 2, seed) for seed in range(200))
        if plan.estimate(np.full((1, 1), -1.0)).value == 0.0
    ]
    # (1 - u) (1 / 2 - u) is 5 / 24 on average over u up to 1 / 2.
    assert 20 < len(empty) < 65
    assert all(plan.masks.tolist() == [[True]] for plan in empty)


def test_an_impossible_token_gives_minus_infinity() -> None:
    for plan in (plan_for(llada_mc, 3, 128), plan_for(dream_mc, 3, 128)):
        result = plan.estimate(np.where(plan.masks, -np.inf, 0.0))
        assert (result.value, result.stderr) == (-np.inf, np.inf)


def test_one_token_is_exact_for_llada_and_noisy_for_dream(tabular: Denoiser) -> None:
    exact = log_likelihood(tabular, (0, 1), (2,)).value
    for samples in (1, 128):
        llada = log_likelihood(tabular, (0, 1), (2,), "llada_mc", samples)
        assert llada.value == pytest.approx(exact, abs=1e-12)
        assert (llada.stderr, llada.exact, llada.nfe) == (0.0, True, 1)
        assert llada.quantity == "log_likelihood"
    values = [log_likelihood(tabular, (0, 1), (2,), "dream_mc", 128, s).value for s in range(150)]
    # The mean of 1 / p over masked draws has variance (E 1 / p - 1) / 128, and E 1 / p = ln(1000).
    expected = ((np.log(1000) / 0.999 - 1) / 128) ** 0.5
    assert np.std(values) / abs(exact) == pytest.approx(expected, rel=0.25)


@pytest.mark.parametrize("estimator", ["llada_mc", "dream_mc"])
def test_through_a_model(tabular: Denoiser, estimator: str) -> None:
    target = (2, 0, 1, 1, 0, 2, 1, 0)
    exact = log_likelihood(tabular, (1, 2), target, estimator="enumeration").value
    results = [log_likelihood(tabular, (1, 2), target, estimator, 64, s) for s in range(40)]
    values = [result.value for result in results]
    assert abs(np.mean(values) - exact) < 4 * np.std(values, ddof=1) / len(values) ** 0.5
    assert {(result.estimator, result.quantity) for result in results} == {(estimator, "elbo")}
    assert all(0 < result.nfe <= 64 for result in results)


def test_dream_with_its_visible_end(tabular: Denoiser) -> None:
    """Shared random numbers: the same sets, read off canvases with an end behind the target."""
    config = LikelihoodConfig(estimator="dream_mc", samples=64, target_end="eos")
    (ended,) = score(tabular, [((1, 2), (2, 0, 1))], config)
    plain = log_likelihood(tabular, (1, 2), (2, 0, 1), "dream_mc", 64)
    assert ended.nfe == plain.nfe
    assert ended.positions == plain.positions + plain.nfe
    assert ended.value != plain.value
