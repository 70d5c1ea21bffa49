"""Exact estimators against formulas written out slowly: sets, orders, all strings."""

from collections.abc import Sequence
from itertools import combinations, pairwise, permutations, product
from math import exp, log
from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from dllm_eval.api import Denoiser
from dllm_eval.likelihood import LikelihoodConfig, log_likelihood, score

TOKENS, MASK = 3, 3
CONTEXT = (2, 0, 1)
TARGETS = [(1,), (0, 2), (1, 1, 0), (2, 0, 1, 2), (0, 1, 2, 2, 1)]


def log_prob(
    denoiser: Denoiser, context: Sequence[int], target: Sequence[int], masked: set[int], i: int
) -> float:
    canvas = [*context, *(MASK if j in masked else token for j, token in enumerate(target))]
    logits = denoiser.logits(torch.tensor([canvas]))[0, len(context) + i].double()
    return float(torch.log_softmax(logits, dim=0)[target[i]])


def elbo_over_sets(denoiser: Denoiser, context: Sequence[int], target: Sequence[int]) -> float:
    total = 0.0
    for size in range(1, len(target) + 1):
        sets = list(combinations(range(len(target)), size))
        for subset in sets:
            terms = [log_prob(denoiser, context, target, set(subset), i) for i in subset]
            total += sum(terms) / size / len(sets)
    return total


def elbo_over_orders(denoiser: Denoiser, context: Sequence[int], target: Sequence[int]) -> float:
    orders = list(permutations(range(len(target))))
    return sum(
        log_prob(denoiser, context, target, set(order[k:]), order[k])
        for order in orders
        for k in range(len(target))
    ) / len(orders)


def log_prob_of_random_order(
    denoiser: Denoiser, context: Sequence[int], target: Sequence[int]
) -> float:
    """One token at a time in uniformly random order: reach[S] = p(the rest came out, S is left)."""
    everything = frozenset(range(len(target)))
    reach = {everything: 1.0}
    for size in range(len(target), 0, -1):
        for subset in map(frozenset, combinations(range(len(target)), size)):
            for i in subset:
                gain = exp(log_prob(denoiser, context, target, set(subset), i)) / size
                rest = subset - {i}
                reach[rest] = reach.get(rest, 0.0) + reach[subset] * gain
    return log(reach[frozenset()])


@pytest.mark.parametrize("target", TARGETS[1:])
def test_enumeration_is_the_elbo_over_sets_and_over_orders(
    tabular: Denoiser, target: tuple[int, ...]
) -> None:
    result = log_likelihood(tabular, CONTEXT, target, estimator="enumeration")
    assert result.value == pytest.approx(elbo_over_sets(tabular, CONTEXT, target), abs=1e-9)
    assert result.value == pytest.approx(elbo_over_orders(tabular, CONTEXT, target), abs=1e-9)
    assert (result.stderr, result.exact, result.quantity) == (0.0, True, "elbo")
    assert result.samples == 0


def test_elbo_never_exceeds_the_log_probability_and_that_sums_to_one(tabular: Denoiser) -> None:
    strings = list(product(range(TOKENS), repeat=3))
    results = score(tabular, [(CONTEXT, string) for string in strings], LikelihoodConfig())
    exact = [log_prob_of_random_order(tabular, CONTEXT, string) for string in strings]
    assert sum(map(exp, exact)) == pytest.approx(1.0, abs=1e-9)
    gaps = [value - result.value for value, result in zip(exact, results, strict=True)]
    assert min(gaps) > 0
    # The table's conditionals contradict each other, so the bound must be loose somewhere.
    assert max(gaps) > 0.1


def test_single_token_is_the_log_likelihood(tabular: Denoiser) -> None:
    strings = [(token,) for token in range(TOKENS)]
    results = score(tabular, [(CONTEXT, string) for string in strings], LikelihoodConfig())
    for string, result in zip(strings, results, strict=True):
        expected = log_prob(tabular, CONTEXT, string, {0}, 0)
        assert result.value == pytest.approx(expected, abs=1e-12)
        assert (result.nfe, result.positions, result.exact) == (1, 4, True)
        assert (result.estimator, result.quantity) == ("single_token", "log_likelihood")
    assert sum(exp(result.value) for result in results) == pytest.approx(1.0, abs=1e-12)


@pytest.mark.parametrize("context", [(), (2,), CONTEXT])
@pytest.mark.parametrize("target", TARGETS)
def test_exact_estimators_give_the_truth_of_a_consistent_model(
    chain: Denoiser,
    chain_parameters: tuple[NDArray[Any], NDArray[Any]],
    context: tuple[int, ...],
    target: tuple[int, ...],
) -> None:
    start, step = chain_parameters
    text = (*context, *target)
    factors = [start[text[0]], *(step[a, b] for a, b in pairwise(text))]
    truth = sum(np.log(factors[len(context) :]))
    result = log_likelihood(chain, context, target)
    assert result.exact
    assert result.value == pytest.approx(truth, abs=1e-6)


@pytest.mark.parametrize(
    ("samples", "max_enumeration", "names"),
    [
        (128, 6, {1: "single_token", 6: "enumeration", 7: "end_strata", 40: "end_strata"}),
        (63, 6, {6: "enumeration", 7: "end_strata", 56: "end_strata", 57: "control_variate"}),
        (62, 6, {5: "enumeration", 6: "end_strata"}),
        (128, 2, {2: "enumeration", 3: "end_strata"}),
        (13, 6, {3: "enumeration", 4: "end_strata", 6: "end_strata", 7: "control_variate"}),
        (2, 6, {1: "single_token", 2: "control_variate"}),
        (1, 6, {1: "single_token", 2: "monte_carlo"}),
    ],
)
def test_auto_goes_by_the_length_and_the_budget(
    tabular: Denoiser, samples: int, max_enumeration: int, names: dict[int, str]
) -> None:
    config = LikelihoodConfig(max_enumeration=max_enumeration, samples=samples)
    results = score(tabular, [(CONTEXT, (1,) * length) for length in names], config)
    assert [result.estimator for result in results] == list(names.values())
    assert all(result.nfe <= samples for result in results)


def test_auto_s_estimate_says_what_ran_and_stays_within_the_budget(tabular: Denoiser) -> None:
    (found,) = score(tabular, [(CONTEXT, (1, 0) * 5)], LikelihoodConfig(samples=24))
    assert (found.estimator, found.quantity, found.exact) == ("end_strata", "elbo", False)
    assert found.nfe <= 24
    assert found.degrees is not None
