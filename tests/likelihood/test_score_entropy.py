"""SEDD's bound against its published integral, said slowly, and against an exact likelihood."""

from itertools import pairwise, product
from math import exp, expm1, log, log1p

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from torch import Tensor

from dllm_eval.api import Likelihood
from dllm_eval.errors import UsageError
from dllm_eval.families import Family
from dllm_eval.likelihood.config import LikelihoodConfig
from dllm_eval.likelihood.pair import Pair
from dllm_eval.likelihood.score_entropy import EPSILON, score_entropy
from dllm_eval.processes import noise_schedules

VOCAB, MASK = 6, 5
TARGET = (1, 4, 2)
Array = NDArray[np.float64]


class Scores:
    """Random log weights, drawn afresh for every canvas; they move with the time."""

    def __init__(self, *, normalised: bool = False, broken: bool = False) -> None:
        self.family = Family(
            name="scores",
            mask_id=MASK,
            eos_id=0,
            pad_id=0,
            context_length=32,
            time_conditioned=True,
            likelihood="score_entropy",
        )
        self.device = torch.device("cpu")
        self.vocab_size = VOCAB
        self.normalised = normalised
        self.broken = broken
        self.rows: list[int] = []

    def log_weights(self, canvas: tuple[int, ...], time: float) -> Array:
        generator = np.random.default_rng([3, *canvas])
        start, slope = generator.normal(size=(2, len(canvas), VOCAB))
        out: Array = start + slope * time - 2.0
        out[:, MASK] = -1e30
        if self.normalised:
            out -= np.log(np.exp(out).sum(axis=1, keepdims=True))
        return out

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
        self.rows.append(len(token_ids))
        out = torch.full((*token_ids.shape, VOCAB), torch.nan, dtype=torch.float64)
        keep = torch.ones_like(token_ids, dtype=torch.bool) if valid is None else valid
        for row, (ids, kept) in enumerate(zip(token_ids, keep, strict=True)):
            canvas = tuple(ids[kept].tolist())
            out[row, kept] = torch.from_numpy(self.log_weights(canvas, float(time[row])))
        if self.broken:
            out[:] = torch.nan
        return out if rows is None else out[:, rows]


def estimate(
    model: Scores,
    targets: list[tuple[int, ...]],
    *,
    context: tuple[int, ...] = (3, 0),
    samples: int = 64,
    tokens: int = 8192,
) -> list[Likelihood]:
    pairs = [
        Pair(token_ids=np.array([*context, *target]), target_length=len(target))
        for target in targets
    ]
    config = LikelihoodConfig(samples=samples, tokens_per_forward=tokens)
    return list(score_entropy(model, pairs, list(range(len(pairs))), config))


def published_entropy(model: Scores, canvas: list[int], truth: list[int], time: float) -> float:
    """`Absorbing.score_entropy` summed over positions: positive term, negative term, constant."""
    sigma = -log1p(-(1 - 1e-3) * time)
    ratio = 1 / expm1(sigma)
    log_scores = model.log_weights(tuple(canvas), time) + log(ratio)
    total = 0.0
    for place, token in enumerate(canvas):
        if token == MASK:
            positive = sum(exp(log_scores[place, j]) for j in range(VOCAB) if j != MASK)
            negative = ratio * log_scores[place, truth[place]]
            total += positive - negative + ratio * (log(ratio) - 1)
    return total


def published_integrand(
    model: Scores, context: tuple[int, ...], target: tuple[int, ...], time: float, masked: float
) -> float:
    """The expectation, over which target tokens are masked, of the score entropy at a time."""
    truth, total = [*context, *target], 0.0
    for hidden in product([False, True], repeat=len(target)):
        chance = float(np.prod([masked if one else 1 - masked for one in hidden]))
        canvas = [*context, *(MASK if one else t for one, t in zip(hidden, target, strict=True))]
        total += chance * published_entropy(model, canvas, truth, time)
    return total


def integral(model: Scores, context: tuple[int, ...], target: tuple[int, ...]) -> float:
    """The whole bound, by quadrature over the time, and over what is masked beyond time 1."""
    points, weights = np.polynomial.legendre.leggauss(24)
    total = 0.0
    for point, weight in zip(points, weights, strict=True):
        time = (point + 1) / 2
        slope = (1 - 1e-3) / (1 - (1 - 1e-3) * time)
        masked = (1 - 1e-3) * time
        total += weight / 2 * slope * published_integrand(model, context, target, time, masked)
        # Beyond time 1 the scores are told time 1, and the ratio is that of time 1.
        masked = 1 - 1e-3 * (1 - time)
        inner = published_integrand(model, context, target, 1.0, masked) * expm1(-log(1e-3))
        total += weight / 2 * 1e-3 * inner / masked
    return -total


def test_the_schedule_is_the_samplers() -> None:
    assert EPSILON == noise_schedules.EPSILON


@pytest.mark.parametrize("normalised", [False, True])
@pytest.mark.parametrize("target", [TARGET[:1], TARGET[:2], TARGET])
def test_the_estimate_is_the_published_integral(target: tuple[int, ...], normalised: bool) -> None:
    model = Scores(normalised=normalised)
    expected = integral(model, (3, 0), target)
    (found,) = estimate(model, [target], samples=3000, tokens=2000)
    assert found.stderr < 0.1
    assert abs(found.value - expected) < 4 * found.stderr
    assert (found.quantity, found.exact, found.estimator) == ("elbo", False, "score_entropy")


def test_the_standard_error_is_the_spread_of_the_estimates() -> None:
    model, config = Scores(), LikelihoodConfig(samples=16, tokens_per_forward=10**5)
    pair = Pair(token_ids=np.array([3, *TARGET]), target_length=3)
    found = list(score_entropy(model, [pair] * 400, range(400), config))
    spread = np.std([one.value for one in found], ddof=1)
    claimed = np.sqrt(np.mean([one.stderr**2 for one in found]))
    assert 0.85 * spread < claimed < 1.5 * spread
    mean = np.mean([one.value for one in found])
    assert abs(mean - integral(model, (3,), TARGET)) < 4 * spread / 20


def test_it_is_a_bound_on_the_reverse_process() -> None:
    """One token: it is revealed as j at the rate w_j / l, as l falls from 1 to 0."""
    model, token = Scores(), 2

    def weights(masked: float) -> Array:
        out: Array = np.exp(model.log_weights((MASK,), min(masked / (1 - EPSILON), 1.0))[0])
        return out

    survival, likelihood = 1.0, 0.0
    edges = np.exp(np.linspace(0, -30, 5001))  # l, falling
    for upper, lower in pairwise(edges):
        rates = weights((upper * lower) ** 0.5)
        revealed = survival * -expm1(-rates.sum() * log(upper / lower))
        likelihood += revealed * rates[token] / rates.sum()
        survival -= revealed
    (found,) = estimate(model, [(token,)], context=(), samples=4000)
    assert found.value + 4 * found.stderr < log(likelihood)
    assert found.value > log(likelihood) - 3


def test_a_pairs_value_does_not_depend_on_batches_and_neighbours() -> None:
    model = Scores()
    together = estimate(model, [TARGET, TARGET[:1], (2, 2)], samples=10, tokens=20)
    pair = Pair(token_ids=np.array([3, 0, 2, 2]), target_length=2)
    (alone,) = score_entropy(model, [pair], [2], LikelihoodConfig(samples=10))
    assert together[2] == alone
    # Ten canvases each of 5, 3 and 4 positions: of the longest in a pass, 20 positions at most.
    assert model.rows == [4, 4, 2 + 2, 6, 2 + 3, 5, 2, 10]


def test_what_it_costs_is_one_canvas_a_sample() -> None:
    (found,) = estimate(Scores(), [TARGET], samples=9)
    assert (found.nfe, found.positions, found.samples) == (9, 9 * 5, 9)


def test_nan_logits_are_an_error() -> None:
    with pytest.raises(UsageError, match="the model's logits are NaN; accepted: finite logits"):
        estimate(Scores(broken=True), [TARGET])
