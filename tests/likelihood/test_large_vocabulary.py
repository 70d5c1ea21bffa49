"""Scoring with a large vocabulary: the output head runs where it is read, a few rows at a time."""

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

from dllm_eval.api import Denoiser
from dllm_eval.denoiser import ModelDenoiser
from dllm_eval.likelihood import LikelihoodConfig, forward, score
from dllm_eval.likelihood.question import Question
from dllm_eval.samplers.late_head import LARGE_VOCABULARY

VOCAB = LARGE_VOCABULARY + 5
CONFIG = LikelihoodConfig(estimator="monte_carlo", samples=10, tokens_per_forward=100)


class WholeLogits:
    """The same model, which shows nothing but its logits."""

    def __init__(self, inner: ModelDenoiser) -> None:
        self.inner = inner
        self.family, self.device, self.vocab_size = inner.family, inner.device, inner.vocab_size

    def logits(self, token_ids: torch.Tensor, **keywords: Any) -> torch.Tensor:
        return self.inner.logits(token_ids, **keywords)


@pytest.fixture(params=[0, 1])
def large(
    request: pytest.FixtureRequest, tiny_model: Callable[[int], Denoiser]
) -> tuple[ModelDenoiser, list[int]]:
    """A model with a large head, and how many rows each call of the head was given."""
    small: Any = tiny_model(request.param)
    torch.manual_seed(1)
    head, rows = nn.Linear(16, VOCAB), list[int]()
    head.register_forward_hook(lambda _, given, __: rows.append(given[0][..., 0].numel()))
    return ModelDenoiser(body=small.body, head=head, family=small.family), rows


def random_pairs() -> list[tuple[list[int], list[int]]]:
    generator = np.random.default_rng(5)
    lengths = [(4, 9), (0, 1), (11, 3), (1, 8), (4, 9)]
    return [
        (generator.integers(3, size=a).tolist(), generator.integers(3, size=b).tolist())
        for a, b in lengths
    ]


@pytest.mark.parametrize("check_greedy", [False, True])
def test_the_head_runs_at_what_is_read_alone(
    large: tuple[ModelDenoiser, list[int]],
    monkeypatch: pytest.MonkeyPatch,
    *,
    check_greedy: bool,
) -> None:
    model, rows = large
    config = replace(CONFIG, check_greedy=check_greedy)
    whole: Any = WholeLogits(model)
    wanted = score(whole, random_pairs(), config)
    on_all_rows = sum(rows)
    rows.clear()
    monkeypatch.setattr(forward, "CHUNK_ELEMENTS", {"cpu": 7 * VOCAB + 1})
    found = score(model, random_pairs(), config)
    for one, other in zip(found, wanted, strict=True):
        assert one.value == pytest.approx(other.value, abs=1e-4)
        costs = [(r.nfe, r.positions, r.samples, r.is_greedy) for r in (one, other)]
        assert costs[0] == costs[1]
        assert one.stderr == pytest.approx(other.stderr, abs=1e-4)
    assert max(rows) <= 7
    assert sum(rows) < on_all_rows


def test_letters_need_one_row_of_the_head_a_choice(large: tuple[ModelDenoiser, list[int]]) -> None:
    model, rows = large
    pairs = [([0, 1, 2, 0, 1, 2], [letter]) for letter in (0, 1, 2, 4)]
    results = score(model, pairs, CONFIG, questions=[Question(pairs=(0, 1, 2, 3))])
    assert rows == [4]
    logits = model.logits(torch.tensor([[0, 1, 2, 0, 1, 2, model.family.mask_id]]))[0, -1]
    expected = logits.log_softmax(dim=0)[torch.tensor([0, 1, 2, 4])].tolist()
    assert [result.value for result in results] == pytest.approx(expected, abs=1e-5)
