"""Likelihood of families that decode block by block: sums over blocks, written out slowly."""

from collections.abc import Sequence
from dataclasses import asdict, replace
from itertools import combinations, product
from math import comb, exp
from typing import Any

import numpy as np
import pytest
import torch
from small_transformer import MASK, TOKENS, slow_log_probs, small_model

from dllm_eval.api import Likelihood
from dllm_eval.denoiser import ModelDenoiser
from dllm_eval.errors import UsageError
from dllm_eval.families import Attention
from dllm_eval.likelihood import LikelihoodConfig, log_likelihood, score

CONTEXT = (2, 0, 1, 3, 1)
TARGETS = [(1,), (0, 2), (2, 0, 1, 2), (0, 1, 2, 3, 3, 1)]
BLOCK_PATTERNS: list[Attention] = ["block_causal", "causal_context"]


def blocks_of(denoiser: Any, context_length: int, target_length: int) -> list[tuple[int, int]]:
    """[start, stop) of the scored positions of each block, walking position by position."""
    family, found = denoiser.family, []
    aligned = family.attention == "block_causal"
    for position in range(context_length, context_length + target_length):
        count = position if aligned else position - context_length
        if position == context_length or count % family.block_length == 0:
            found.append((position, position))
        found[-1] = (found[-1][0], position + 1)
    return found


def slow_elbo(model: ModelDenoiser, context: Sequence[int], target: Sequence[int]) -> float:
    """The sum over blocks of each one's bound over all its mask sets, nothing behind a block."""
    text, total = [*context, *target], 0.0
    for start, stop in blocks_of(model, len(context), len(target)):
        length = stop - start
        for size in range(1, length + 1):
            for masked in combinations(range(start, stop), size):
                canvas = [MASK if i in masked else text[i] for i in range(stop)]
                log_probs = slow_log_probs(model, canvas, block_start=start)
                terms = sum(float(log_probs[i, text[i]]) for i in masked)
                total += terms / size / comb(length, size)
    return total


@pytest.mark.parametrize("shift", [0, 1])
@pytest.mark.parametrize("attention", BLOCK_PATTERNS)
def test_the_value_is_the_sum_of_the_blocks_bounds(attention: Attention, shift: int) -> None:
    model = small_model(attention, block_length=3, logits_shift=shift)
    pairs = [(CONTEXT[:length], target) for length in (1, 3, 5) for target in TARGETS]
    results = score(model, pairs, LikelihoodConfig(tokens_per_forward=40))
    for (context, target), result in zip(pairs, results, strict=True):
        assert result.value == pytest.approx(slow_elbo(model, context, target), abs=1e-5)
        assert (result.exact, result.stderr) == (True, 0.0)
        lengths = [stop - start for start, stop in blocks_of(model, len(context), len(target))]
        exact = "log_likelihood" if set(lengths) == {1} else "elbo"
        assert result.quantity == exact


def test_a_block_shared_with_the_context_counts_from_the_row_s_first_token() -> None:
    model = small_model("block_causal", block_length=4)
    one, two = score(model, [((1, 2, 3), (0, 1)), ((1, 2), (0, 1))], LikelihoodConfig())
    # Positions 3 and 4 lie in two blocks, of which each is one token; 2 and 3 in one.
    assert (one.estimator, one.quantity) == ("single_token", "log_likelihood")
    assert (two.estimator, two.quantity) == ("enumeration", "elbo")


@pytest.mark.parametrize("attention", BLOCK_PATTERNS)
def test_blocks_of_one_token_are_the_autoregressive_model(attention: Attention) -> None:
    """With logits shifted by one and blocks of one token the mask itself is never read."""
    model = small_model(attention, block_length=1, logits_shift=1)
    strings = list(product(range(TOKENS), repeat=2))
    results = score(model, [(CONTEXT, string) for string in strings], LikelihoodConfig())
    for string, result in zip(strings, results, strict=True):
        text = torch.tensor([[*CONTEXT, *string]])
        causal = torch.ones(text.shape[1], text.shape[1]).tril().bool()[None, None]
        with torch.inference_mode():
            hidden = model.body(text, mask=causal, positions=None)
            log_probs = model.head(hidden)[0, len(CONTEXT) - 1 : -1].log_softmax(dim=1)
        expected = sum(float(row[token]) for row, token in zip(log_probs, string, strict=True))
        assert result.value == pytest.approx(expected, abs=1e-5)
        assert (result.exact, result.quantity) == (True, "log_likelihood")
        assert result.estimator == "single_token"
    # The two ids behind the tokens, mask and padding, have probability e^-30.
    assert sum(exp(result.value) for result in results) == pytest.approx(1.0, abs=1e-5)


@pytest.mark.parametrize("shift", [0, 1])
@pytest.mark.parametrize("attention", [*BLOCK_PATTERNS, "reordered"])
def test_left_to_right_sums_to_one_over_all_strings(attention: Attention, shift: int) -> None:
    model = small_model(attention, block_length=2, logits_shift=shift)
    pairs = [(CONTEXT[:3], string) for string in product(range(TOKENS), repeat=3)]
    results = score(model, pairs, LikelihoodConfig(estimator="left_to_right"))
    assert sum(exp(result.value) for result in results) == pytest.approx(1.0, abs=1e-5)
    assert {(r.quantity, r.exact) for r in results} == {("log_likelihood", True)}


def test_the_bound_lies_below_the_blocks_log_probability() -> None:
    """The exp of the bound sums to less than one: it is the mean over orders of a log."""
    model = small_model("block_causal", block_length=3, seed=4)
    pairs = [(CONTEXT[:3], string) for string in product(range(TOKENS), repeat=3)]
    total = sum(exp(result.value) for result in score(model, pairs, LikelihoodConfig()))
    assert 0.5 < total < 1.0


def random_pairs(low: int, high: int) -> list[tuple[list[int], list[int]]]:
    generator = np.random.default_rng(5)
    lengths = [(4, 9), (1, 1), (11, 3), (2, 7), (20, 1)]
    return [
        (
            generator.integers(low, high, size=a).tolist(),
            generator.integers(low, high, size=b).tolist(),
        )
        for a, b in lengths
    ]


CONFIG = LikelihoodConfig(samples=5, max_enumeration=3, check_greedy=True)


ROUNDED = ("value", "stderr", "degrees", "importance_bound", "upper_bound", "upper_bound_stderr")
"""Fields that depend on the model's own rounding."""


def assert_alike(ones: Sequence[Likelihood], others: Sequence[Likelihood]) -> None:
    for one, other in zip(ones, others, strict=True):
        found, wanted = asdict(other), asdict(one)
        for name in ROUNDED:
            assert (found[name] is None) == (wanted[name] is None)
            if wanted[name] is not None:
                assert found[name] == pytest.approx(wanted[name], abs=1e-4)
        assert {**found, **dict.fromkeys(ROUNDED)} == {**wanted, **dict.fromkeys(ROUNDED)}


@pytest.mark.parametrize("shift", [0, 1])
@pytest.mark.parametrize("attention", [*BLOCK_PATTERNS, "reordered"])
def test_budget_order_and_neighbours_change_nothing(attention: Attention, shift: int) -> None:
    model = small_model(attention, block_length=4, logits_shift=shift)
    pairs = random_pairs(0, TOKENS)
    alone = [score(model, [pair], replace(CONFIG, tokens_per_forward=1))[0] for pair in pairs]
    for tokens in (30, 64, 5000):
        assert_alike(score(model, pairs, replace(CONFIG, tokens_per_forward=tokens)), alone)
    assert_alike(score(model, pairs[::-1], CONFIG)[::-1], alone)
    assert_alike(score(model, pairs[2:5], CONFIG), alone[2:5])


@pytest.mark.parametrize("attention", BLOCK_PATTERNS)
def test_monte_carlo_lies_within_its_stated_error(attention: Attention) -> None:
    model = small_model(attention, block_length=4, seed=2)
    pair = (CONTEXT[:4], (0, 1, 2, 3, 3, 1, 0, 2))
    truth = score(model, [pair], LikelihoodConfig())[0].value
    config = LikelihoodConfig(estimator="monte_carlo", samples=8)
    results = score(model, [pair] * 60, config, salts=[f"draw {index}" for index in range(60)])
    kinds = {(result.exact, result.samples, result.quantity) for result in results}
    assert kinds == {(False, 16, "elbo")}
    values = [result.value for result in results]
    variances = [result.stderr**2 for result in results]
    spread = float(np.std(values, ddof=1))
    assert abs(np.mean(values) - truth) < 4 * spread / 60**0.5
    # Of 60 draws the variance has a relative sd of 18 %: four of them and some room above, because
    # strata make the stated one too large, never too small.
    assert 1 / 1.75 < np.mean(variances) / spread**2 < 2 * 1.75


def test_parts_have_noise_of_their_own_and_choices_share_it_part_by_part() -> None:
    """Masks drawn for two choices of one question, read off the canvases."""
    model = small_model("block_causal", block_length=8)
    asked: list[torch.Tensor] = []
    plain = model.logits

    def recording(token_ids: torch.Tensor, **keywords: Any) -> torch.Tensor:
        asked.extend(row == MASK for row in token_ids)
        return plain(token_ids, **keywords)

    model.logits = recording  # type: ignore[method-assign]
    config = LikelihoodConfig(estimator="monte_carlo", samples=6)
    drawn = []
    for choice in ([1] * 16, [2] * 16):
        asked.clear()
        score(model, [([0] * 8, choice)], config)
        patterns = [row.tolist() for row in asked if row.any()]
        drawn.append((patterns[: len(patterns) // 2], patterns[len(patterns) // 2 :]))
    assert drawn[0] == drawn[1]
    first, second = ([row[-8:] for row in part] for part in drawn[0])
    assert first != second


def slow_greedy(model: ModelDenoiser, context: Sequence[int], length: int) -> tuple[int, ...]:
    """Block by block, the surest position first, on canvases of the target's length."""
    text = list(context)
    for start, stop in blocks_of(model, len(context), length):
        text += [MASK] * (stop - start)
        while MASK in text:
            log_probs = slow_log_probs(model, text, block_start=start)[:, :MASK]
            open_positions = [i for i in range(start, stop) if text[i] == MASK]
            best = max(open_positions, key=lambda i: float(log_probs[i].max()))
            text[best] = int(log_probs[best].argmax())
    return tuple(text[len(context) :])


@pytest.mark.parametrize("shift", [0, 1])
@pytest.mark.parametrize("attention", BLOCK_PATTERNS)
def test_greedy_is_what_decoding_by_blocks_writes(attention: Attention, shift: int) -> None:
    model = small_model(attention, block_length=2, logits_shift=shift, seed=1)
    strings = list(product(range(TOKENS), repeat=3))
    config = LikelihoodConfig(check_greedy=True)
    results = score(model, [(CONTEXT[:3], string) for string in strings], config)
    greedy = [s for s, result in zip(strings, results, strict=True) if result.is_greedy]
    assert greedy == [slow_greedy(model, CONTEXT[:3], 3)]


def test_an_empty_context_is_refused_where_the_first_token_has_none_before_it() -> None:
    shifted = small_model("block_causal", block_length=2, logits_shift=1)
    with pytest.raises(UsageError) as error:
        log_likelihood(shifted, [], [1])
    assert str(error.value) == (
        "pair 0 has no context, and family 'small' predicts a token from the one before it;"
        " accepted: at least one context token"
    )
    plain = small_model("block_causal", block_length=2)
    alone, beside = (
        score(plain, pairs, LikelihoodConfig())[-1].value
        for pairs in ([((), (1, 2, 3))], [(CONTEXT, (1,)), ((), (1, 2, 3))])
    )
    assert alone == pytest.approx(slow_elbo(plain, [], [1, 2, 3]), abs=1e-5)
    assert beside == pytest.approx(alone, abs=1e-5)


def test_an_end_behind_the_target_is_refused_where_nobody_looks_ahead() -> None:
    model = small_model("block_causal", block_length=2)
    with pytest.raises(UsageError, match="target_end is 'eos', and family 'small' has attention"):
        score(model, [([1], [2])], LikelihoodConfig(target_end="eos"))
