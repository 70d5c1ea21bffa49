"""SEDD's samplers, against dense matrix exponentials of its rate matrix.

`graph_lib.py` (Absorbing) and `sampling.py` of louaaron/Score-Entropy-Discrete-Diffusion, commit
0605786d. With g = sigma_t - sigma_s, p(x_s = z | x_t = x) is [exp(-g Q) score]_z [exp(g Q)]_xz for
`analytic`, and [one_hot(x) + (t - s) sigma'_t Q_reverse]_z for `euler`.
"""

from collections import defaultdict
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from itertools import product
from math import expm1, log1p

import numpy as np
import pytest
import torch
from enumerated import p_value, sampled
from numpy.typing import NDArray
from scipy.linalg import expm
from torch import Tensor

from dllm_eval.api import Denoiser, Prompt
from dllm_eval.samplers import transition
from dllm_eval.samplers.config import SamplerConfig, Transition
from dllm_eval.samplers.loop import generate_batch
from dllm_eval.samplers.rules import Step
from dllm_eval.samplers.transition import time_grid, transition_chance

VOCAB, MASK, STEPS = 6, 3, 3
CONFIG = SamplerConfig(transition="analytic", steps=STEPS, gen_length=2, temperature=1.0)
Array = NDArray[np.float64]


@dataclass
class Scores:
    """A random model whose exp(logits) sum to about one, and that is told the time."""

    inner: Denoiser
    offset: float = 1.8

    def __post_init__(self) -> None:
        self.family = replace(self.inner.family, likelihood="score_entropy", time_conditioned=True)
        self.device = self.inner.device
        self.vocab_size = VOCAB

    def logits(
        self,
        token_ids: Tensor,
        *,
        valid: Tensor | None = None,
        rows: slice | None = None,
        time: Tensor | None = None,
        **_: object,
    ) -> Tensor:
        assert time is not None
        logits = self.inner.logits(token_ids, valid=valid, rows=rows)
        logits = logits * (1 + 0.3 * time[:, None, None]) - self.offset
        logits[..., MASK] = torch.finfo(logits.dtype).min
        return logits


@pytest.fixture
def denoiser(random_denoiser: Callable[..., Denoiser]) -> Scores:
    return Scores(random_denoiser(VOCAB, 11))


def sigma(time: float) -> float:
    return -log1p(-(1 - 1e-3) * time)


def rates() -> Array:
    """Q_zx: how fast x becomes z; only masks are ever gone to."""
    matrix = -np.eye(VOCAB)
    matrix[MASK] += 1
    return matrix


def score(denoiser: Scores, row: Sequence[int], place: int, time: float) -> Array:
    """p_t(row with z at the place) / p_t(row) as the model has it; one for what stands there."""
    logits = denoiser.logits(torch.tensor([list(row)]), time=torch.tensor([time]))[0, place]
    weights: Array = np.exp(logits.double().numpy()) / expm1(sigma(time))
    weights[row[place]] = 1.0
    return weights


def published_step(
    denoiser: Scores, row: Sequence[int], place: int, kind: Transition, time: float, after: float
) -> Array:
    """The distribution of one position after the step, as `sample_categorical` draws from it."""
    here, found = row[place], score(denoiser, row, place, time)
    if kind == "analytic":
        gap = sigma(time) - sigma(after)
        weights = (expm(-gap * rates()) @ found) * expm(gap * rates())[here]
    else:
        slope = (1 - 1e-3) / (1 - (1 - 1e-3) * time)
        backwards = rates()[here] * found
        backwards[here] = 0
        backwards[here] = -backwards.sum()
        weights = np.eye(VOCAB)[here] + (time - after) * slope * backwards
    shares: Array = np.maximum(weights, 0) / np.maximum(weights, 0).sum()
    return shares


def published_last(denoiser: Scores, row: Sequence[int], place: int, time: float) -> Array:
    """`Denoiser.update_fn`: all noise is taken away, and the mask cut off."""
    gap = sigma(time)
    found = score(denoiser, row, place, time)
    weights = (expm(-gap * rates()) @ found) * expm(gap * rates())[row[place]]
    weights[MASK] = 0
    shares: Array = np.maximum(weights, 0) / np.maximum(weights, 0).sum()
    return shares


def answers(
    denoiser: Scores,
    kind: Transition,
    prefix: tuple[int, ...],
    suffix: tuple[int, ...],
    end: float = 1e-5,
) -> dict[tuple[int, ...], float]:
    """Canvas -> probability, by enumerating every canvas of two tokens at every step."""
    times = np.linspace(1, end, STEPS + 1)
    places = range(len(prefix), len(prefix) + 2)
    states = {(*prefix, MASK, MASK, *suffix): 1.0}
    for index in range(STEPS + 1):
        after: defaultdict[tuple[int, ...], float] = defaultdict(float)
        for row, share in states.items():
            if index < STEPS:
                options = [
                    published_step(denoiser, row, at, kind, times[index], times[index + 1])
                    for at in places
                ]
            else:
                options = [published_last(denoiser, row, at, times[-1]) for at in places]
            for tokens in product(range(VOCAB), repeat=2):
                chance = options[0][tokens[0]] * options[1][tokens[1]]
                after[(*prefix, *tokens, *suffix)] += share * float(chance)
        states = {row: share for row, share in after.items() if share > 1e-15}
    total = sum(states.values())
    return {row[len(prefix) : len(prefix) + 2]: share / total for row, share in states.items()}


@pytest.mark.parametrize("kind", ["analytic", "euler"])
@pytest.mark.parametrize(("time", "after"), [(1.0, 0.7), (0.6, 0.55), (0.3, 1e-5), (1e-2, 1e-3)])
def test_each_step_has_the_probabilities_of_the_matrix_exponential(
    kind: Transition, time: float, after: float, denoiser: Scores
) -> None:
    row = (5, MASK, 2, MASK)
    logits = denoiser.logits(torch.tensor([row]), time=torch.tensor([time]))
    step = Step(index=0, time=time, next_time=after)
    chance = transition_chance(logits, denoiser.family, kind, step)[0]
    tokens = logits[0].double().softmax(-1)
    for place in (1, 3):
        found = (chance[place] * tokens[place]).numpy()
        found[MASK] = 1 - chance[place]
        expected = published_step(denoiser, row, place, kind, time, after)
        np.testing.assert_allclose(found, expected, atol=1e-6)


@pytest.mark.parametrize("kind", ["analytic", "euler"])
def test_scores_that_leave_nothing_for_the_mask_reveal_for_certain(
    kind: Transition, random_denoiser: Callable[..., Denoiser]
) -> None:
    denoiser = Scores(random_denoiser(VOCAB, 11), offset=0.0)
    row = (5, MASK)
    logits = denoiser.logits(torch.tensor([row]), time=torch.tensor([0.9]))
    chance = transition_chance(
        logits, denoiser.family, kind, Step(index=0, time=0.9, next_time=0.1)
    )[0, 1]
    expected = published_step(denoiser, row, 1, kind, 0.9, 0.1)
    assert float(chance) == 1.0
    assert expected[MASK] == 0
    tokens = logits[0, 1].double().softmax(-1).numpy()
    np.testing.assert_allclose(tokens, expected, atol=1e-6)


@pytest.mark.parametrize("kind", ["analytic", "euler"])
@pytest.mark.parametrize(("prefix", "suffix"), [((), ()), ((4,), (2, 5))])
def test_answers_have_the_published_distribution(
    kind: Transition, prefix: tuple[int, ...], suffix: tuple[int, ...], denoiser: Scores
) -> None:
    config = replace(CONFIG, transition=kind)
    expected = answers(denoiser, kind, prefix, suffix)
    found = sampled(denoiser, config, 4000, prefix=prefix, suffix=suffix)
    assert p_value(found, expected) > 1e-3


def test_what_the_grid_leaves_masked_is_drawn_without_the_mask(
    denoiser: Scores, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Published grids end at 1e-5, which leaves next to nothing; this one ends early."""
    monkeypatch.setattr(transition, "SMALLEST_TIME", 0.4)
    expected = answers(denoiser, "analytic", (5, 0), (), end=0.4)
    assert p_value(sampled(denoiser, CONFIG, 4000, prefix=(5, 0)), expected) > 1e-3


def test_every_step_of_the_grid_and_one_more_are_paid_for(denoiser: Scores) -> None:
    (out,) = generate_batch(denoiser, [Prompt(prefix=(5,), seed=0)], replace(CONFIG, steps=7))
    assert out.nfe == 8
    assert out.host_syncs == 0


def test_a_batch_of_unequal_prompts_gives_each_its_own_answer(denoiser: Scores) -> None:
    config = replace(CONFIG, steps=4, gen_length=8)
    prompts = [
        Prompt(prefix=(5, 4, 2), seed=1),
        Prompt(prefix=(), suffix=(4,), seed=2),
        Prompt(prefix=(0,), seed=3),
    ]
    together = generate_batch(denoiser, prompts, config)
    assert together == [generate_batch(denoiser, [prompt], config)[0] for prompt in prompts]


def test_the_grid_is_the_published_one() -> None:
    np.testing.assert_allclose(time_grid(5), np.linspace(1, 1e-5, 6), rtol=1e-12)
