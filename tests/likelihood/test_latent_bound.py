"""The latent bound on one number per token, against integrals over a fine grid."""

from collections.abc import Callable

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from torch import Tensor

from dllm_eval.api import Likelihood
from dllm_eval.errors import UsageError
from dllm_eval.families import NO_MASK, Family
from dllm_eval.likelihood.config import LikelihoodConfig
from dllm_eval.likelihood.latent_bound import latent_bound
from dllm_eval.likelihood.pair import Pair
from dllm_eval.processes.latent_chain import LatentChain, LearnedChain, SteppedChain

EMBEDDINGS = np.array([-0.9, 0.2, 1.1])
POINTS = np.linspace(-7, 7, 1401)
WIDTH = POINTS[1] - POINTS[0]
Grid = NDArray[np.float64]
Believes = Callable[[Tensor, Tensor], Tensor]


class NumberModel:
    """Latents of one number; what it believes of a place depends on that place's latent alone."""

    def __init__(self, chain: LatentChain, believes: Believes, *, self_conditioned: bool) -> None:
        self.chain = chain
        self.believes = believes
        self.family = Family(
            name="numbers",
            noise="continuous",
            mask_id=NO_MASK,
            eos_id=0,
            pad_id=0,
            context_length=16,
            time_conditioned=True,
            self_conditioned=self_conditioned,
            likelihood="latent",
        )
        self.device, self.latent_width, self.holds_prompts = torch.device("cpu"), 1, True
        self.table = torch.from_numpy(EMBEDDINGS)[:, None]
        self.shown: list[Tensor] = []

    def embed(self, token_ids: Tensor) -> Tensor:
        return self.table[token_ids]

    def read_out(self, latents: Tensor) -> Tensor:
        return 3 * latents.double() @ self.table.T

    def predict(
        self,
        token_ids: Tensor,
        *,
        latents: Tensor,
        valid: Tensor | None,  # noqa: ARG002 - no place sees another
        time: Tensor,
    ) -> Tensor:
        assert (token_ids == NO_MASK).all()
        self.shown.append(latents)
        weights = self.believes(latents[..., :1], time[:, None, None])  # (batch, length, vocab)
        clean = weights @ self.table
        return torch.cat([clean, torch.zeros_like(clean), weights.log()], dim=-1)


def wavy(latents: Tensor, time: Tensor) -> Tensor:
    """A belief that is no optimum: it depends on latents and time in some smooth way."""
    return torch.stack([torch.sin(latents + time), latents * time, torch.cos(2 * latents)], dim=-1)[
        ..., 0, :
    ].softmax(dim=-1)


def normal(points: Grid, mean: Grid | float, variance: float) -> Grid:
    density: Grid = np.exp(-((points - mean) ** 2) / (2 * variance)) / np.sqrt(2 * np.pi * variance)
    return density


def estimate(model: NumberModel, context: list[int], target: list[int], samples: int) -> Likelihood:
    pair = Pair(token_ids=np.array([*context, *target]), target_length=len(target))
    config = LikelihoodConfig(samples=samples, tokens_per_forward=10**6)
    return next(iter(latent_bound(model, [pair], [3], config)))


STEPS = 4
STEPPED = SteppedChain.build(schedule="sqrt", num_steps=STEPS, device=torch.device("cpu"))
KEEP = [1 - np.sqrt(step / STEPS + 1e-4) for step in range(STEPS)]


def kept(step: int) -> float:
    """alpha^2 after so many steps, straight from the definition of the betas."""
    out = 1.0
    for one in range(1, step + 1):
        following = 1 - np.sqrt(one / STEPS + 1e-4)
        out *= 1 - min(1 - following / KEEP[one - 1], 0.999)
    return out


def believed(step: int) -> Grid:
    """The clean latent predicted at every grid point."""
    time = torch.tensor(step / STEPS, dtype=torch.float64)
    weights = wavy(torch.from_numpy(POINTS)[:, None], time)
    out: Grid = weights.numpy() @ EMBEDDINGS
    return out


def back(step: int) -> tuple[float, float, float]:
    """Weights of x_0 and x_t in the mean of q(x_{t-1} | x_t, x_0), and its variance."""
    after, before = kept(step), kept(step - 1)
    beta = 1 - after / before
    of_start = np.sqrt(before) * beta / (1 - after)
    of_noisy = np.sqrt(after / before) * (1 - before) / (1 - after)
    return of_start, of_noisy, beta * (1 - before) / (1 - after)


def reverse(step: int) -> Grid:
    """(from, to) density of p(x_{t-1} | x_t); the first step has the second one's variance."""
    of_start, of_noisy, variance = back(step)
    if step == 1:
        of_start, of_noisy, variance = 1.0, 0.0, back(2)[2]
    mean = of_start * believed(step) + of_noisy * POINTS
    return normal(POINTS[None, :], mean[:, None], variance)


def read_out() -> Grid:
    """(points, vocab) log p(word | x_0)."""
    logits = 3 * POINTS[:, None] * EMBEDDINGS
    out: Grid = logits - np.log(np.exp(logits).sum(axis=1, keepdims=True))
    return out


def exact_stepped() -> Grid:
    """Log p of every word: the density is carried through all steps."""
    density = normal(POINTS, 0.0, 1.0)
    for step in range(STEPS, 0, -1):
        density = (density * WIDTH) @ reverse(step)
    out: Grid = np.log((np.exp(read_out()) * density[:, None] * WIDTH).sum(axis=0))
    return out


def bound_stepped(word: int) -> float:
    """E over x_0 and x_t of log p(paths, word) - log q(paths), term by term on the grid."""
    spread = 1 - kept(1)
    start = normal(POINTS, EMBEDDINGS[word], spread) * WIDTH
    total = float(start @ read_out()[:, word])
    for step in range(1, STEPS + 1):
        noisy = normal(POINTS[None, :], np.sqrt(kept(step)) * POINTS[:, None], 1 - kept(step))
        joint = start[:, None] * noisy * WIDTH  # (x_0, x_t)
        if step == 1:
            log_p = np.log(normal(POINTS[:, None], believed(1)[None, :], back(2)[2]) + 1e-300)
            log_q = np.log(normal(POINTS, EMBEDDINGS[word], spread) + 1e-300)[:, None]
            total += float((joint * (log_p - log_q)).sum())
        else:
            of_start, _, variance = back(step)
            miss = of_start * (POINTS[:, None] - believed(step)[None, :])
            total -= float((joint * miss**2).sum() / (2 * variance))
    left = kept(STEPS)
    prior = 0.5 * (left * POINTS**2 + (1 - left) - 1 - np.log(1 - left))
    return total - float(start @ prior)


def test_the_stepped_estimate_is_the_integral() -> None:
    model = NumberModel(STEPPED, wavy, self_conditioned=False)
    for word in range(3):
        found, wanted = estimate(model, [], [word], 20000), bound_stepped(word)
        assert abs(found.value - wanted) < 4 * found.stderr
        assert 0 < found.stderr < 0.1
        assert (found.quantity, found.nfe, found.samples) == ("elbo", 20000, 20000)


def test_the_stepped_bound_lies_below_the_likelihood() -> None:
    exact = exact_stepped()
    assert np.exp(exact).sum() == pytest.approx(1.0, abs=1e-6)
    for word in range(3):
        assert bound_stepped(word) < exact[word]


def test_places_add_up_and_the_context_is_held() -> None:
    model = NumberModel(STEPPED, wavy, self_conditioned=False)
    found = estimate(model, [2], [0, 1], 20000)
    wanted = bound_stepped(0) + bound_stepped(1)
    assert abs(found.value - wanted) < 4 * found.stderr
    context = model.shown[0][:, 0, 0]
    assert (context == EMBEDDINGS[2]).double().mean() == pytest.approx(1 - 1 / STEPS, abs=0.01)


GENERATOR = torch.Generator().manual_seed(0)
LEARNED = LearnedChain(
    slopes=torch.randn(6, generator=GENERATOR),
    offsets=torch.randn(6, generator=GENERATOR),
    heights=torch.randn(6, generator=GENERATOR),
    gamma_0=torch.tensor(-4.0),
    gamma_1=torch.tensor(9.0),
)
CHANCES = np.array([0.2, 0.5, 0.3])


def optimal(latents: Tensor, time: Tensor) -> Tensor:
    """Bayes' belief in each word given z_t, where words have the probabilities CHANCES."""
    gamma = LEARNED.gamma(time)
    alpha, variance = torch.sigmoid(-gamma).sqrt(), torch.sigmoid(gamma)
    miss = (latents - alpha * torch.from_numpy(EMBEDDINGS)) ** 2 / (2 * variance)
    return (torch.from_numpy(np.log(CHANCES)) - miss).softmax(dim=-1)


def test_the_learned_bound_is_tight_for_the_optimal_model() -> None:
    """Averaged over words, the bound of Bayes' own belief is minus their entropy."""
    model = NumberModel(LEARNED, optimal, self_conditioned=True)
    found = [estimate(model, [], [word], 8000) for word in range(3)]
    mean = sum(chance * one.value for chance, one in zip(CHANCES, found, strict=True))
    stderr = sum(chance * one.stderr for chance, one in zip(CHANCES, found, strict=True))
    assert abs(mean - float(CHANCES @ np.log(CHANCES))) < 4 * stderr
    assert 0 < stderr < 0.05
    assert found[0].nfe == 2 * (8000 + 1000)


def test_the_learned_estimate_is_the_integral() -> None:
    """A wrong belief: error at each time by integrals over z_t, gamma's slope by differences."""
    model = NumberModel(LEARNED, wavy, self_conditioned=True)
    word, total, fine = 1, 0.0, 400
    for index in range(fine):
        time = torch.tensor((index + 0.5) / fine, dtype=torch.float64)
        low, high = (float(LEARNED.gamma(time + by)) for by in (-0.5 / fine, 0.5 / fine))
        gamma = float(LEARNED.gamma(time))
        alpha, variance = np.sqrt(1 / (1 + np.exp(gamma))), 1 / (1 + np.exp(-gamma))
        density = normal(POINTS, alpha * EMBEDDINGS[word], variance)
        density /= density.sum()
        clean = wavy(torch.from_numpy(POINTS)[:, None], time).numpy() @ EMBEDDINGS
        total += (
            float(density @ (EMBEDDINGS[word] - clean) ** 2) * np.exp(-gamma) * (high - low) / 2
        )
    alpha, variance = np.sqrt(1 / (1 + np.exp(-4))), 1 / (1 + np.exp(4))
    density = normal(POINTS, alpha * EMBEDDINGS[word], variance) * WIDTH
    logits = wavy(torch.from_numpy(POINTS)[:, None], torch.tensor(0.0)).log().numpy()
    total -= float(density @ logits[:, word])
    alpha, variance = np.sqrt(1 / (1 + np.exp(9))), 1 / (1 + np.exp(-9))
    total += 0.5 * float((alpha * EMBEDDINGS[word]) ** 2 + variance - 1 - np.log(variance))
    found = estimate(model, [], [word], 20000)
    assert abs(found.value + total) < 4 * found.stderr
    assert found.stderr < 0.02 * abs(total)


@pytest.mark.parametrize("chain", [STEPPED, LEARNED], ids=["stepped", "learned"])
def test_batches_neighbours_and_padding_change_nothing(chain: LatentChain) -> None:
    model = NumberModel(chain, wavy, self_conditioned=isinstance(chain, LearnedChain))
    pairs = [
        Pair(token_ids=np.array([1, 2, 0]), target_length=2),
        Pair(token_ids=np.array([0, 1]), target_length=2),
    ]
    alone = [
        next(iter(latent_bound(model, [pair], [seed], LikelihoodConfig(samples=10))))
        for pair, seed in zip(pairs, (5, 6), strict=True)
    ]
    config = LikelihoodConfig(samples=10, tokens_per_forward=35)
    together = list(latent_bound(model, pairs[::-1], [6, 5], config))[::-1]
    for one, other in zip(alone, together, strict=True):
        assert one.value == pytest.approx(other.value, abs=1e-9)
        assert one.stderr == pytest.approx(other.stderr, abs=1e-9)


def test_nan_is_an_error() -> None:
    def broken(latents: Tensor, time: Tensor) -> Tensor:
        return wavy(latents, time) * torch.nan

    with pytest.raises(UsageError, match="the model's logits are NaN"):
        estimate(NumberModel(STEPPED, broken, self_conditioned=False), [], [1], 4)
