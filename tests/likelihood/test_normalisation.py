"""Probabilities over all strings: 1 in total for a fixed order and for the mixture."""

from collections.abc import Sequence
from itertools import combinations, permutations, product
from math import exp, factorial

import pytest
import torch

from dllm_eval.api import Denoiser
from dllm_eval.likelihood import LikelihoodConfig, score

TOKENS, MASK, LENGTH = 3, 3, 3
CONTEXT = (2, 0, 1)


def probability(denoiser: Denoiser, target: Sequence[int], masked: set[int], i: int) -> float:
    canvas = [*CONTEXT, *(MASK if j in masked else token for j, token in enumerate(target))]
    logits = denoiser.logits(torch.tensor([canvas]))[0, len(CONTEXT) + i].double()
    return float(torch.softmax(logits, dim=0)[target[i]])


def in_order(denoiser: Denoiser, target: Sequence[int], order: Sequence[int]) -> float:
    left, product_ = set(order), 1.0
    for i in order:
        product_ *= probability(denoiser, target, left, i)
        left.remove(i)
    return product_


def in_random_order(denoiser: Denoiser, target: Sequence[int]) -> float:
    """By sets: reach[S] is the chance that what is outside S came out, in any order."""
    everything = frozenset(range(len(target)))
    reach = dict.fromkeys(
        (frozenset(s) for n in range(len(target)) for s in combinations(everything, n)), 0.0
    )
    reach[everything] = 1.0
    for size in range(len(target), 0, -1):
        for subset in map(frozenset, combinations(everything, size)):
            for i in subset:
                chance = probability(denoiser, target, set(subset), i) / size
                reach[subset - {i}] += reach[subset] * chance
    return reach[frozenset()]


@pytest.mark.parametrize(
    ("name", "order"), [("left_to_right", (0, 1, 2)), ("right_to_left", (2, 1, 0))]
)
@pytest.mark.parametrize("model", ["tabular", "chain"])
def test_fixed_orders(
    name: str, order: Sequence[int], model: str, request: pytest.FixtureRequest
) -> None:
    denoiser: Denoiser = request.getfixturevalue(model)
    strings = list(product(range(TOKENS), repeat=LENGTH))
    config = LikelihoodConfig(estimator=name)
    found = score(denoiser, [(CONTEXT, string) for string in strings], config)
    for string, each in zip(strings, found, strict=True):
        assert exp(each.value) == pytest.approx(in_order(denoiser, string, order), abs=1e-12)
        assert (each.exact, each.quantity, each.estimator) == (True, "log_likelihood", name)
        assert each.nfe == LENGTH
    assert sum(exp(each.value) for each in found) == pytest.approx(1.0, abs=1e-9)


def test_the_mixture_of_all_orders_and_the_bound_below_it(tabular: Denoiser) -> None:
    strings = list(product(range(TOKENS), repeat=LENGTH))
    mixture = [in_random_order(tabular, string) for string in strings]
    assert sum(mixture) == pytest.approx(1.0, abs=1e-9)
    for string, chance in zip(strings[:3], mixture, strict=False):
        orders = permutations(range(LENGTH))
        mean = sum(in_order(tabular, string, order) for order in orders) / factorial(LENGTH)
        assert chance == pytest.approx(mean, abs=1e-12)
    pairs = [(CONTEXT, string) for string in strings]
    bounds = score(tabular, pairs, LikelihoodConfig(estimator="enumeration"))
    assert all(exp(b.value) < chance for b, chance in zip(bounds, mixture, strict=True))
    assert sum(exp(b.value) for b in bounds) < 1.0


def test_the_importance_bound_lies_between_the_elbo_and_the_mixture(tabular: Denoiser) -> None:
    """Its expectation does; with a thousand chains of six orders it is as good as the mixture."""
    strings = list(product(range(TOKENS), repeat=LENGTH))[:9]
    pairs = [(CONTEXT, string) for string in strings]
    config = LikelihoodConfig(estimator="importance_bound", samples=2001)
    for string, found in zip(strings, score(tabular, pairs, config), strict=True):
        assert found.nfe <= 7
        assert exp(found.value) == pytest.approx(in_random_order(tabular, string), rel=0.15)
