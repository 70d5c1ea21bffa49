"""Batches, padding, shared random numbers and costs of `score`."""

from collections.abc import Callable, Sequence
from dataclasses import replace
from itertools import product
from typing import Protocol

import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from dllm_eval.api import Denoiser, Likelihood
from dllm_eval.errors import UsageError
from dllm_eval.likelihood import LikelihoodConfig, log_likelihood, score

MASK = 3


class Recorder(Denoiser, Protocol):
    """The fakes that keep what they were asked."""

    canvases: list[tuple[int, ...]]
    batches: list[tuple[int, int]]
    predict: Callable[[tuple[int, ...]], NDArray[np.float64]]


def random_pairs() -> list[tuple[list[int], list[int]]]:
    generator = np.random.default_rng(5)
    lengths = [(4, 9), (0, 1), (11, 3), (1, 8), (0, 7), (4, 9), (20, 1), (2, 12)]
    return [
        (generator.integers(3, size=a).tolist(), generator.integers(3, size=b).tolist())
        for a, b in lengths
    ]


PAIRS = random_pairs()
CONFIG = LikelihoodConfig(samples=11, max_enumeration=4)


@pytest.mark.parametrize("check_greedy", [False, True])
def test_budget_order_and_neighbours_change_nothing(
    tabular: Denoiser, *, check_greedy: bool
) -> None:
    config = replace(CONFIG, check_greedy=check_greedy)
    alone = [score(tabular, [pair], replace(config, tokens_per_forward=1))[0] for pair in PAIRS]
    for tokens in (1, 14, 50, 8192, 10**6):
        assert score(tabular, PAIRS, replace(config, tokens_per_forward=tokens)) == alone
    backwards = score(tabular, PAIRS[::-1], config)
    assert backwards[::-1] == alone
    assert score(tabular, PAIRS[2:5], config) == alone[2:5]


@pytest.mark.parametrize("shift", [0, 1])
def test_padding_never_leaks_into_a_real_forward_pass(
    tiny_model: Callable[[int], Denoiser], shift: int
) -> None:
    denoiser = tiny_model(shift)
    alone = [score(denoiser, [pair], replace(CONFIG, tokens_per_forward=1))[0] for pair in PAIRS]
    for tokens in (30, 300, 10**4):
        together = score(denoiser, PAIRS, replace(CONFIG, tokens_per_forward=tokens))
        for one, other in zip(alone, together, strict=True):
            assert other.value == pytest.approx(one.value, abs=1e-5)
            assert other.stderr == pytest.approx(one.stderr, abs=1e-5)
            assert other.nfe == one.nfe


@pytest.mark.parametrize("shift", [0, 1])
@pytest.mark.parametrize("context", [[], [1], [2, 0, 2]])
def test_the_position_read_is_the_target_s_own(
    tiny_model: Callable[[int], Denoiser], shift: int, context: list[int]
) -> None:
    denoiser = tiny_model(shift)
    result = log_likelihood(denoiser, context, [1, 0])
    start = len(context)

    def term(canvas_target: Sequence[int], i: int) -> float:
        logits = denoiser.logits(torch.tensor([[*context, *canvas_target]]))[0, start + i]
        return float(logits.double().log_softmax(0)[[1, 0][i]])

    both = term([MASK, MASK], 0) + term([MASK, MASK], 1)
    expected = both / 2 + (term([MASK, 0], 0) + term([1, MASK], 1)) / 2
    assert result.value == pytest.approx(expected, abs=1e-5)


def test_shift_changes_the_answer(tiny_model: Callable[[int], Denoiser]) -> None:
    values = [log_likelihood(tiny_model(shift), [2, 0], [1, 0]).value for shift in (0, 1)]
    assert abs(values[0] - values[1]) > 0.01


def test_costs_count_canvases_and_their_tokens_without_padding(tabular: Recorder) -> None:
    results = score(tabular, PAIRS, replace(CONFIG, tokens_per_forward=80))
    assert sum(result.nfe for result in results) == len(tabular.canvases)
    assert sum(result.positions for result in results) == sum(map(len, tabular.canvases))
    for (context, target), result in zip(PAIRS, results, strict=True):
        assert result.positions == result.nfe * (len(context) + len(target))
        if result.estimator == "enumeration":
            assert result.nfe == 2 ** len(target) - 1
        if result.estimator == "monte_carlo":
            assert 1 <= result.nfe <= result.samples == CONFIG.samples


def test_forward_passes_are_full_and_logits_only_at_targets(tabular: Recorder) -> None:
    pairs = [([0] * context, [1, 2, 0]) for context in (30, 2, 9)]
    score(tabular, pairs, replace(CONFIG, tokens_per_forward=100))
    # Seven canvases each of 33, 12 and 5 positions: 3, then 8, then 20 fit side by side.
    assert tabular.batches == [(3, 3), (3, 3), (1 + 2, 3), (5 + 3, 3), (4, 3)]


def test_a_mask_set_drawn_twice_is_evaluated_once(tabular: Recorder) -> None:
    config = replace(CONFIG, estimator="monte_carlo", samples=64)
    result = score(tabular, [([0, 1], [2, 1, 0])], config)[0]
    assert result.samples == 64
    assert result.nfe == len(tabular.canvases) == len(set(tabular.canvases)) <= 7


def masked_positions(canvases: list[tuple[int, ...]]) -> set[tuple[int, ...]]:
    return {tuple(i for i, token in enumerate(c) if token == MASK) for c in canvases}


def drawn(denoiser: Recorder, context: list[int], target: list[int], seed: int = 0) -> object:
    denoiser.canvases.clear()
    log_likelihood(denoiser, context, target, samples=12, seed=seed)
    return masked_positions(denoiser.canvases)


def test_choices_of_one_question_share_mask_sets(tabular: Recorder) -> None:
    first = drawn(tabular, [0, 1, 2], [1] * 9)
    assert drawn(tabular, [0, 1, 2], [2] * 9) == first
    assert drawn(tabular, [0, 1, 1], [1] * 9) != first
    assert drawn(tabular, [0, 1, 2], [1] * 9, seed=1) != first


def greedy_decode(denoiser: Denoiser, context: list[int], length: int) -> list[int]:
    canvas = [*context, *[MASK] * length]
    while MASK in canvas:
        logits = denoiser.logits(torch.tensor([canvas]))[0].double()
        logits[:, MASK] = -torch.inf
        probabilities = logits.softmax(dim=1)
        best = max(
            (i for i, token in enumerate(canvas) if token == MASK),
            key=lambda i: float(probabilities[i].max()),
        )
        canvas[best] = int(probabilities[best].argmax())
    return canvas[len(context) :]


def test_greedy_is_true_for_exactly_what_decoding_writes(tabular: Denoiser) -> None:
    context = [1, 0]
    strings = [list(string) for string in product(range(3), repeat=4)]
    config = replace(CONFIG, check_greedy=True)
    results = score(tabular, [(context, string) for string in strings], config)
    greedy = [s for s, result in zip(strings, results, strict=True) if result.is_greedy]
    assert greedy == [greedy_decode(tabular, context, 4)]


def test_the_mask_token_is_never_a_greedy_choice(tabular: Recorder) -> None:
    plain = tabular.predict

    def predict(canvas: tuple[int, ...]) -> NDArray[np.float64]:
        logits = plain(canvas)
        logits[:, MASK] = np.linspace(3.0, 6.0, len(canvas))
        return logits

    tabular.predict = predict
    target = greedy_decode(tabular, [1, 0], 4)
    config = replace(CONFIG, check_greedy=True)
    assert score(tabular, [([1, 0], target)], config)[0].is_greedy


def test_greedy_steps_are_counted(tabular: Recorder) -> None:
    context = [1, 0]
    target = greedy_decode(tabular, context, 4)
    plain = score(tabular, [(context, target)], CONFIG)[0]
    tabular.canvases.clear()
    checked = score(tabular, [(context, target)], replace(CONFIG, check_greedy=True))[0]
    assert checked.nfe == plain.nfe + 4 == len(tabular.canvases)
    assert checked.positions == checked.nfe * 6
    assert (plain.is_greedy, checked.is_greedy) == (None, True)


def test_salted_pairs_share_no_noise_and_keep_every_other_promise(tabular: Recorder) -> None:
    pairs = [([1], [0, 1, 2, 0, 1, 2, 0])] * 4
    salts = [None, None, "a", "b"]
    config = replace(CONFIG, samples=5)
    plain, again, one, two = (result.value for result in score(tabular, pairs, config, salts=salts))
    assert plain == again == score(tabular, pairs[:1], config)[0].value
    assert len({plain, one, two}) == 3
    config = replace(config, tokens_per_forward=24)
    backwards = score(tabular, pairs[::-1], config, salts=salts[::-1])
    assert [result.value for result in backwards] == [two, one, again, plain]
    with pytest.raises(UsageError, match="3 salts for 4 pairs"):
        score(tabular, pairs, config, salts=salts[:3])


@pytest.mark.parametrize("samples", [6, 12])
def test_the_error_of_a_sum_of_salted_pairs_is_the_stated_one(
    tabular: Recorder, samples: int
) -> None:
    """Sums over texts that begin alike, as the windows of a perplexity task do."""

    def predict(canvas: tuple[int, ...]) -> NDArray[np.float64]:
        hidden = sum(token == MASK for token in canvas) / len(canvas)
        logits = np.array([0.0, 3.0 * hidden, -2.0 * hidden, -np.inf, -np.inf])
        return np.tile(logits, (len(canvas), 1))

    tabular.predict = predict
    pairs = [([2], [1, 1, 0, 1, 0, 0, last]) for last in (0, 1, 2, 0, 1, 2, 0)]
    salts = [f"document {index}" for index in range(7)]

    def ratio(salts: list[str] | None) -> float:
        """Mean stated variance of the sum, over its variance across seeds."""
        sums, stated = [], []
        for seed in range(120):
            config = LikelihoodConfig(estimator="monte_carlo", samples=samples, seed=seed)
            results = score(tabular, pairs, config, salts=salts)
            sums.append(sum(result.value for result in results))
            stated.append(sum(result.stderr**2 for result in results))
        return float(np.mean(stated) / np.var(sums, ddof=1))

    # The variance across 120 seeds has a relative sd of (2 / 119)^0.5 = 13 %, four of them make
    # a factor of 1.5; the stated one is never too small on average, and strata that hold several
    # mask counts (samples < length) make it too large, by less than 2 in all here.
    assert 1 / 1.5 < ratio(salts) < 2 * 1.5
    # With shared noise the errors of like texts add up: this is what the salt is for.
    assert ratio(None) < 1 / 3


def test_no_pairs_give_no_results(tabular: Denoiser) -> None:
    empty: list[Likelihood] = []
    assert score(tabular, [], CONFIG) == empty
