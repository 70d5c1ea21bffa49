"""Pseudo-likelihood and one-step score: the numbers they say, under names of their own."""

from itertools import product
from math import exp

import pytest
import torch

from dllm_eval.api import Denoiser
from dllm_eval.likelihood import LikelihoodConfig, log_likelihood, score

CONTEXT, MASK = (2, 0, 1), 3
TARGETS = [(1,), (0, 2), (2, 0, 1, 2)]


def term(denoiser: Denoiser, target: tuple[int, ...], masked: set[int], i: int) -> float:
    canvas = [*CONTEXT, *(MASK if j in masked else token for j, token in enumerate(target))]
    logits = denoiser.logits(torch.tensor([canvas]))[0, len(CONTEXT) + i].double()
    return float(torch.log_softmax(logits, dim=0)[target[i]])


@pytest.mark.parametrize("target", TARGETS)
def test_each_token_given_all_others(tabular: Denoiser, target: tuple[int, ...]) -> None:
    found = log_likelihood(tabular, CONTEXT, target, estimator="pseudo_likelihood")
    expected = sum(term(tabular, target, {i}, i) for i in range(len(target)))
    assert found.value == pytest.approx(expected, abs=1e-12)
    assert (found.nfe, found.stderr, found.exact) == (len(target), 0.0, True)
    assert (found.quantity, found.estimator) == ("pseudo_log_likelihood", "pseudo_likelihood")


@pytest.mark.parametrize("target", TARGETS)
def test_each_token_given_none(tabular: Denoiser, target: tuple[int, ...]) -> None:
    found = log_likelihood(tabular, CONTEXT, target, estimator="one_step")
    everything = set(range(len(target)))
    expected = sum(term(tabular, target, everything, i) for i in everything)
    assert found.value == pytest.approx(expected, abs=1e-12)
    assert (found.nfe, found.stderr, found.exact) == (1, 0.0, True)
    assert (found.quantity, found.estimator) == ("one_step", "one_step")


def test_the_pseudo_likelihood_is_normalised_for_no_model_whose_tokens_depend(
    chain: Denoiser,
) -> None:
    """Even where the posteriors belong to one distribution; the one-step score always sums to 1."""
    pairs = [(CONTEXT, string) for string in product(range(3), repeat=3)]
    totals = {
        name: sum(exp(x.value) for x in score(chain, pairs, LikelihoodConfig(estimator=name)))
        for name in ("pseudo_likelihood", "one_step", "enumeration")
    }
    assert totals["enumeration"] == pytest.approx(1.0, abs=1e-9)
    assert totals["one_step"] == pytest.approx(1.0, abs=1e-9)
    assert abs(totals["pseudo_likelihood"] - 1.0) > 0.05
