"""Chains in random orders: their mean, the bounds on both sides, and what they cost."""

from collections.abc import Callable, Iterator
from itertools import pairwise, permutations, product
from math import exp, log

import numpy as np
import pytest
from mask_tables import (
    Floats,
    chain_sum,
    draws_of,
    elbo,
    log_prob,
    masks_of,
    near_consistent_table,
    plan_of,
    random_table,
    rows_of,
    run,
    standard_errors_off,
)
from numpy.typing import NDArray

from dllm_eval.api import Denoiser
from dllm_eval.likelihood import LikelihoodConfig, log_likelihood, score
from dllm_eval.likelihood.random_order import importance_bound, random_order, upper_bound

ESTIMATORS = (random_order, importance_bound, upper_bound)


@pytest.mark.parametrize(("length", "samples"), [(3, 5), (4, 20), (6, 17), (7, 60), (9, 8)])
def test_mean_over_seeds_is_the_elbo(length: int, samples: int) -> None:
    table = random_table(length)
    results = [run(random_order, table, samples, seed) for seed in range(600)]
    assert {(r.estimator, r.quantity) for r in results} == {("random_order", "elbo")}
    assert abs(standard_errors_off([r.value for r in results], elbo(table))) < 4


def order_of_rank_codes(length: int) -> Floats:
    """s(S, i) = (number visible) * length^i: a chain's sum says the rank of every position."""
    masks = masks_of(length)
    visible = length - masks.sum(axis=1, keepdims=True)
    return np.where(masks, visible * float(length) ** np.arange(length), 0.0)


def test_every_draw_is_a_whole_chain_and_orders_are_equally_likely() -> None:
    """The sums of a table that tells orders apart are sums of permutations of the ranks."""
    length, table = 4, order_of_rank_codes(4)
    seen = [
        tuple(int(code) // length**i % length for i in range(length))
        for seed in range(600)
        for code in draws_of(random_order, table, 10, seed)
    ]
    orders = list(permutations(range(length)))
    assert set(seen) == set(orders)
    counts = [seen.count(order) for order in orders]
    expected = len(seen) / len(orders)
    # Chi squared of 23 degrees: 65 has a chance of 1e-5.
    assert sum((count - expected) ** 2 / expected for count in counts) < 65


@pytest.mark.parametrize(("samples", "chains", "draws"), [(22, 7, 7), (25, 8, 4), (32, 10, 5)])
def test_from_eight_chains_on_an_order_and_its_reverse_are_one_draw(
    samples: int, chains: int, draws: int
) -> None:
    table = order_of_rank_codes(4)
    found = run(random_order, table, samples, seed=2)
    values = draws_of(random_order, table, samples, seed=2)
    assert (found.samples, len(values), found.degrees) == (chains, draws, draws - 1)
    # A position's rank in an order and in its reverse add up to 3.
    middle = 1.5 * sum(4**i for i in range(4))
    assert np.allclose(values, middle) == (draws < chains)


def test_at_least_two_chains_whatever_the_budget() -> None:
    found = run(random_order, random_table(6), 1, seed=0)
    assert (found.samples, found.degrees, found.upper_bound) == (2, 1, None)
    assert run(upper_bound, random_table(6), 1, seed=0).samples == 4


def test_the_standard_error_is_that_of_independent_draws() -> None:
    table = random_table(6)
    for samples in (21, 60):
        values = draws_of(random_order, table, samples, seed=5).tolist()
        mean = sum(values) / len(values)
        spread = sum((value - mean) ** 2 for value in values) / (len(values) - 1)
        found = run(random_order, table, samples, seed=5)
        assert found.value == pytest.approx(mean)
        assert found.stderr == pytest.approx((spread / len(values)) ** 0.5)


def test_shared_canvases_are_evaluated_once_and_read_where_they_are_wanted(
    tabular: Denoiser,
) -> None:
    target = (2, 0, 1, 1, 0)
    (found,) = score(
        tabular,
        [((1, 2), target)],
        LikelihoodConfig(estimator="random_order", samples=21, seed=4),
    )
    plan = plan_of(random_order, 5, 21, seed=4)
    assert len({tuple(row) for row in plan.masks.tolist()}) == len(plan.masks)
    assert plan.read is not None
    assert (plan.read <= plan.masks).all()
    assert found.nfe <= 1 + 5 * 4
    assert found.importance_bound is not None
    assert found.upper_bound is not None
    assert found.value <= found.importance_bound <= found.upper_bound


def all_pairs(table: Floats) -> Iterator[tuple[float, float]]:
    """The sums of every two orders: what two independent chains may be, equally likely."""
    sums = [chain_sum(table, order) for order in permutations(range(table.shape[1]))]
    yield from product(sums, repeat=2)


@pytest.mark.parametrize("length", [2, 3, 4])
@pytest.mark.parametrize("table_of", [random_table, near_consistent_table])
def test_the_bounds_lie_on_their_sides_in_expectation(
    table_of: Callable[[int], Floats], length: int
) -> None:
    """Of two chains, over all pairs of orders: exact expectations, no seeds."""
    table = table_of(length)
    pairs = list(all_pairs(table))
    above_elbo = sum(log((exp(a) + exp(b)) / 2) for a, b in pairs) / len(pairs)
    upper = sum(exp(a - b) - 1 + b for a, b in pairs) / len(pairs)
    assert elbo(table) < above_elbo < log_prob(table) < upper
    values = [run(importance_bound, table, length, seed).value for seed in range(500)]
    assert abs(standard_errors_off(values, above_elbo)) < 4


def test_the_upper_bound_is_what_its_formula_says() -> None:
    """Four chains, from their draws: each half against the mean of the other."""
    table = near_consistent_table(5)
    chains = draws_of(random_order, table, 17, seed=1)
    assert len(chains) == 4
    expected = []
    for k, chain in enumerate(chains):
        other = [exp(x) for j, x in enumerate(chains) if j % 2 != k % 2]
        psi = sum(other) / 2
        expected.append(exp(chain) / psi - 1 + log(psi))
    found = run(upper_bound, table, 17, seed=1)
    beside = run(random_order, table, 17, seed=1)
    assert found.value == pytest.approx(np.mean(expected))
    assert found.stderr == pytest.approx(np.std(expected, ddof=1) / 2)
    assert (beside.upper_bound, beside.upper_bound_stderr) == (found.value, found.stderr)
    bound = run(importance_bound, table, 17, seed=1)
    assert bound.value == pytest.approx(log(np.mean(np.exp(chains))))
    assert beside.importance_bound == bound.value
    assert bound.stderr == pytest.approx(
        np.std(np.exp(chains), ddof=1) / 2 / np.mean(np.exp(chains))
    )


@pytest.mark.parametrize("samples", [25, 60])
def test_the_upper_bound_is_above_log_p_on_average(samples: int) -> None:
    table = near_consistent_table(6)
    values = [run(upper_bound, table, samples, seed).value for seed in range(800)]
    truth = log_prob(table)
    assert np.mean(values) > truth
    below = [run(importance_bound, table, samples, seed).value for seed in range(800)]
    assert elbo(table) < np.mean(below) < truth
    # Both close in on it: a chain's standard deviation here is about 0.4 nats.
    assert np.mean(values) - np.mean(below) < 0.2


def test_the_upper_bound_waits_for_a_draw_of_each_half() -> None:
    table = near_consistent_table(6)
    plan = plan_of(upper_bound, 6, 60, seed=0)
    assert plan.sampling is not None
    first = int(plan.sampling.rows_after[0])
    assert first == plan.sampling.rows_after[1]
    assert len(plan.sampling.draws(rows_of(plan, table)[:first])) == 2


@pytest.mark.parametrize("samples", [12, 40])
def test_a_consistent_model_has_one_value_for_all_orders_and_bounds(
    chain: Denoiser,
    chain_parameters: tuple[NDArray[np.float64], NDArray[np.float64]],
    samples: int,
) -> None:
    _, step = chain_parameters
    text = (0, 2, 1, 1, 0)
    truth = sum(np.log(step[a, b]) for a, b in pairwise(text))
    found = log_likelihood(chain, text[:1], text[1:], "random_order", samples)
    assert found.importance_bound == pytest.approx(truth, abs=1e-6)
    if samples == 40:
        assert found.upper_bound == pytest.approx(truth, abs=1e-6)
        assert found.upper_bound_stderr == pytest.approx(0, abs=1e-6)
    assert found.value == pytest.approx(truth, abs=1e-6)
    assert found.stderr == pytest.approx(0, abs=1e-6)
    for name in ("left_to_right", "right_to_left", "importance_bound", "upper_bound"):
        value = log_likelihood(chain, text[:1], text[1:], name, samples).value
        assert value == pytest.approx(truth, abs=1e-6)


@pytest.mark.parametrize("estimator", ["random_order", "importance_bound", "upper_bound"])
def test_one_token_is_the_log_likelihood(tabular: Denoiser, estimator: str) -> None:
    exact = log_likelihood(tabular, (0, 1), (2,))
    found = log_likelihood(tabular, (0, 1), (2,), estimator=estimator, samples=9)
    assert found.value == pytest.approx(exact.value, abs=1e-12)
    assert (found.stderr, found.nfe, found.exact) == (0.0, 1, True)
    assert (found.quantity, found.estimator) == ("log_likelihood", estimator)


def test_probabilities_far_below_the_smallest_float_do_not_vanish() -> None:
    table = near_consistent_table(6)
    shifted = np.where(masks_of(6), table - 200.0, 0.0)
    for estimator in ESTIMATORS:
        far, near = (run(estimator, each, 60, seed=0) for each in (shifted, table))
        assert far.value == pytest.approx(near.value - 1200.0, abs=1e-9)
        assert far.stderr == pytest.approx(near.stderr, abs=1e-9)


def test_impossible_tokens() -> None:
    table = random_table(4).copy()
    table[15] = -np.inf  # no chain can begin
    assert run(random_order, table, 60, seed=0).value == -np.inf
    assert run(random_order, table, 60, seed=0).stderr == np.inf
    assert run(importance_bound, table, 60, seed=0).value == -np.inf
    assert run(upper_bound, table, 60, seed=0).value == np.inf
    table = random_table(4).copy()
    table[15, 1] = -np.inf  # those that begin with the second token cannot
    found = run(random_order, table, 60, seed=0)
    assert found.value == -np.inf
    assert found.importance_bound is not None
    assert np.isfinite(found.importance_bound)
