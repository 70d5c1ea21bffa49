"""The chain rule from left to right, and the family whose attention is made for it."""

from collections.abc import Callable, Sequence
from dataclasses import replace
from itertools import pairwise, product
from math import exp
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from checkpoints import wedlm
from numpy.typing import NDArray
from small_transformer import MASK, TOKENS, slow_log_probs, small_model

from dllm_eval.api import Denoiser
from dllm_eval.errors import UsageError
from dllm_eval.likelihood import LikelihoodConfig, log_likelihood, score
from dllm_eval.loading import load_model

CONTEXT = (2, 0, 1)
TARGET = (0, 2, 2, 1)
CONFIG = LikelihoodConfig(estimator="left_to_right")


def slow_chain(
    log_probs: Callable[[list[int]], Any], mask_id: int, target: Sequence[int], behind: bool
) -> float:
    """Sum of log p(token | tokens before it, itself masked), with masks behind it or nothing."""
    total = 0.0
    for k, token in enumerate(target):
        rest = len(target) - k if behind else 1
        canvas = [*CONTEXT, *target[:k], *[mask_id] * rest]
        total += float(log_probs(canvas)[len(CONTEXT) + k][token])
    return total


def log_probs_of(denoiser: Denoiser) -> Callable[[list[int]], torch.Tensor]:
    def read(canvas: list[int]) -> torch.Tensor:
        return denoiser.logits(torch.tensor([canvas]))[0].double().log_softmax(dim=1)

    return read


def test_the_canvas_behind_stays_masked_under_full_attention(tabular: Any) -> None:
    read = log_probs_of(tabular)
    expected = slow_chain(read, tabular.family.mask_id, TARGET, behind=True)
    tabular.canvases.clear()
    (result,) = score(tabular, [(CONTEXT, TARGET)], CONFIG)
    assert result.value == pytest.approx(expected, abs=1e-9)
    assert (result.exact, result.stderr, result.quantity) == (True, 0.0, "log_likelihood")
    assert (result.estimator, result.nfe, result.positions) == ("left_to_right", 4, 28)
    mask = tabular.family.mask_id
    assert tabular.canvases == [
        (*CONTEXT, *TARGET[:k], *[mask] * (len(TARGET) - k)) for k in range(4)
    ]


def test_it_is_normalised_and_no_bound(tabular: Denoiser) -> None:
    pairs = [(CONTEXT, string) for string in product(range(3), repeat=3)]
    results = score(tabular, pairs, CONFIG)
    assert sum(exp(result.value) for result in results) == pytest.approx(1.0, abs=1e-9)


def test_a_consistent_model_gives_the_truth(
    chain: Denoiser, chain_parameters: tuple[NDArray[Any], NDArray[Any]]
) -> None:
    _, step = chain_parameters
    text = (CONTEXT[-1], *TARGET)
    truth = sum(np.log(step[a, b]) for a, b in pairwise(text))
    assert score(chain, [(CONTEXT, TARGET)], CONFIG)[0].value == pytest.approx(truth, abs=1e-6)


def test_greedy_goes_from_left_to_right(tabular: Denoiser) -> None:
    read, mask = log_probs_of(tabular), tabular.family.mask_id
    written: list[int] = []
    for k in range(3):
        row = read([*CONTEXT, *written, *[mask] * (3 - k)])[len(CONTEXT) + k]
        written.append(int(row[:mask].argmax()))
    strings = list(product(range(3), repeat=3))
    pairs = [(CONTEXT, string) for string in strings]
    results = score(tabular, pairs, replace(CONFIG, check_greedy=True))
    greedy = [s for s, result in zip(strings, results, strict=True) if result.is_greedy]
    assert greedy == [tuple(written)]


@pytest.mark.parametrize("behind", [False, True])
def test_reordered_attention_does_not_look_at_masks_behind(*, behind: bool) -> None:
    model = small_model("reordered")

    def read(canvas: list[int]) -> torch.Tensor:
        return slow_log_probs(model, canvas, block_start=0)

    result = log_likelihood(model, CONTEXT, TARGET)
    assert result.value == pytest.approx(slow_chain(read, MASK, TARGET, behind), abs=1e-5)
    assert (result.estimator, result.quantity) == ("left_to_right", "log_likelihood")
    # Context and all but the last token once, and four masks behind as much of it as is theirs.
    assert (result.nfe, result.positions) == (1 + 4, 6 + 4)


def test_bounds_of_other_orders_are_refused_where_there_is_one_order() -> None:
    """A bound of random orders may lie above the likelihood that it would stand beside."""
    with pytest.raises(UsageError, match="accepted: auto, left_to_right"):
        log_likelihood(small_model("reordered"), CONTEXT, TARGET[:3], estimator="enumeration")


@pytest.mark.parametrize("shape", ["7b", "8b"])
def test_published_wedlm_checkpoints(tmp_path: Path, shape: Any) -> None:
    model = load_model(str(wedlm.write(tmp_path / "w", shape=shape)), dtype="float32", device="cpu")
    context, target = list(range(30, 41)), list(range(50, 56))
    expected = 0.0
    for k, token in enumerate(target):
        canvas = [*context, *target[:k], model.family.mask_id]
        row = model.logits(torch.tensor([canvas]))[0, -1].double().log_softmax(dim=0)
        expected += float(row[token])
    (result,) = score(model, [(context, target)], LikelihoodConfig(check_greedy=True))
    assert result.value == pytest.approx(expected, abs=1e-4)
    assert (result.exact, result.is_greedy, result.estimator) == (True, False, "left_to_right")


def test_reordered_greedy_is_one_token_after_another() -> None:
    model = small_model("reordered", seed=3)
    written: list[int] = []
    for _ in range(3):
        row = slow_log_probs(model, [*CONTEXT, *written, MASK], block_start=0)[-1]
        written.append(int(row[:MASK].argmax()))
    strings = list(product(range(TOKENS), repeat=3))
    config = LikelihoodConfig(check_greedy=True)
    results = score(model, [(CONTEXT, string) for string in strings], config)
    greedy = [s for s, result in zip(strings, results, strict=True) if result.is_greedy]
    assert greedy == [tuple(written)]
