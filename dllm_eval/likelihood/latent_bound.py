"""The bound of continuous families: reading out tokens, the prior, and the way between.

Knows pairs, batches and Gaussian noise; knows no estimator of the masked families, no lm-eval and
no file. `score` calls it for families whose likelihood is "latent".
"""

import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Protocol, runtime_checkable

import numpy as np
import torch
from torch import Tensor
from torch.nn.functional import cross_entropy

from dllm_eval.api import Likelihood
from dllm_eval.errors import UsageError
from dllm_eval.families import NO_MASK, Family
from dllm_eval.likelihood.budget import Budget, OneRow
from dllm_eval.likelihood.config import LikelihoodConfig
from dllm_eval.likelihood.draws import stderr_of_mean, stratified_counts
from dllm_eval.likelihood.padded import Padded, not_numbers
from dllm_eval.likelihood.pair import Pair
from dllm_eval.processes.latent_chain import LatentChain, LearnedChain, SteppedChain, levels

READ_OUT_SHARE = 8
"""Draws of the way to one draw of the read-out, as Plaid's train.py splits a batch."""


class LatentModel(Protocol):
    """What the bound needs of a continuous model; `samplers/latent.py` says more of each."""

    family: Family
    device: torch.device
    latent_width: int
    holds_prompts: bool

    @property
    def chain(self) -> LatentChain:
        """The forward process."""
        ...

    def embed(self, token_ids: Tensor) -> Tensor:
        """(...) ids -> (..., latent_width) clean latents."""
        ...

    def predict(
        self, token_ids: Tensor, *, latents: Tensor, valid: Tensor | None, time: Tensor
    ) -> Tensor:
        """(batch, length, 2 * latent_width + vocab): clean latents, pull, logits."""
        ...


@runtime_checkable
class ReadsOut(Protocol):
    """A model whose clean latents alone give the tokens, as a stepped chain's bound needs."""

    def read_out(self, latents: Tensor) -> Tensor:
        """(..., latent_width) clean latents -> (..., vocab) logits."""
        ...


@dataclass(frozen=True, kw_only=True, eq=False)
class _Row(OneRow):
    """One canvas to evaluate."""

    index: int
    """Of the pair."""
    width: int
    """Positions of the canvas."""
    time: float
    reads_out: bool
    """Whether this draw is one of the read-out, at time 0."""
    noise: Tensor
    """(own length, 2 * latent_width): of z_t, and of the clean latents where those are drawn."""


Terms = Callable[[LatentModel, Padded, Sequence[_Row]], Tensor]
"""(batch,) float64: each row's contribution in nats, smaller being likelier."""


def latent_bound(
    denoiser: LatentModel, pairs: Sequence[Pair], seeds: Sequence[int], config: LikelihoodConfig
) -> Iterator[Likelihood]:
    """A Monte-Carlo estimate of the variational lower bound of log p(target | context).

    Noise is scored on the target alone. A model that holds prompts sees the context's embeddings
    without noise at every step but the first, exactly as it decodes; otherwise the context is
    noised as the target is, which is all that the model has seen in training. Both bound a model
    that is given the context in that way; without a context they bound the published one. Which
    terms there are is said by `_stepped_terms` (Diffusion-LM) and `_learned_terms` (Plaid).

    Args:
        denoiser: A continuous model.
        pairs: What to score.
        seeds: One per pair.
        config: `samples` and `tokens_per_forward` are read.

    Yields:
        One Likelihood per pair, in order, in nats; `nfe` counts every pass, self-conditioning's
        too.

    Raises:
        UsageError: The model's output is NaN, or its noise schedule has one step only.
    """
    learned = isinstance(denoiser.chain, LearnedChain)
    terms: Terms = _learned_terms if learned else _stepped_terms
    way: list[list[float]] = [[] for _ in pairs]
    read_out: list[list[float]] = [[] for _ in pairs]

    def attempt(rows: list[_Row]) -> list[float]:
        chosen = [pairs[row.index] for row in rows]
        batch = Padded.build(chosen, denoiser.family.pad_id, denoiser.device)
        with torch.inference_mode():
            values: list[float] = terms(denoiser, batch, rows).tolist()
        return values

    drawn = _rows(denoiser, pairs, seeds, config.samples)
    for rows, values in Budget(config.tokens_per_forward).run(drawn, attempt):
        for row, value in zip(rows, values, strict=True):
            (read_out if row.reads_out else way)[row.index].append(value)
    for pair, one, other in zip(pairs, way, read_out, strict=True):
        yield _likelihood(denoiser, pair, np.array(one), np.array(other))


def _likelihood(
    denoiser: LatentModel, pair: Pair, way: np.ndarray, read_out: np.ndarray
) -> Likelihood:
    if np.isnan(way).any() or np.isnan(read_out).any():
        raise not_numbers()
    value, stderr = float(way.mean()), stderr_of_mean(way)
    if len(read_out):
        value += float(read_out.mean())
        stderr = math.hypot(stderr, stderr_of_mean(read_out))
    nfe = (len(way) + len(read_out)) * (2 if denoiser.family.self_conditioned else 1)
    return Likelihood(
        value=-value,
        stderr=stderr,
        nfe=nfe,
        positions=nfe * pair.length,
        exact=False,
        quantity="elbo",
        estimator="latent_bound",
        samples=len(way),
    )


def _rows(
    denoiser: LatentModel, pairs: Sequence[Pair], seeds: Sequence[int], samples: int
) -> Iterator[_Row]:
    width = 2 * denoiser.latent_width
    for index, (pair, seed) in enumerate(zip(pairs, seeds, strict=True)):
        generator = np.random.default_rng(seed)
        # The times' numbers come first: pairs that differ in length still share them.
        times = [(time, False) for time in _times(denoiser.chain, generator.random(samples))]
        if isinstance(denoiser.chain, LearnedChain):
            times += [(0.0, True)] * max(2, -(-samples // READ_OUT_SHARE))
        for time, reads_out in times:
            noise = torch.from_numpy(generator.standard_normal((pair.length, width)))
            yield _Row(index=index, width=pair.length, time=time, reads_out=reads_out, noise=noise)


def _times(chain: LatentChain, uniforms: np.ndarray) -> list[float]:
    """One time from each of equal strata: of the chain's steps, or of the unit interval."""
    if isinstance(chain, SteppedChain):
        steps = stratified_counts(chain.num_steps, uniforms)
        return [step / chain.num_steps for step in steps.tolist()]
    times: list[float] = ((uniforms + np.arange(len(uniforms))) / len(uniforms)).tolist()
    return times


def _stepped_terms(denoiser: LatentModel, batch: Padded, rows: Sequence[_Row]) -> Tensor:
    """Diffusion-LM's bound (arXiv 2205.14217, Eq. 2 and section 4.1), every row its own estimate.

    x_0 is drawn around the embedding with the variance of the first step. T times the divergence
    at the row's step, the prior's and -log p(word | x_0) are added. The divergences are
    gaussian_diffusion.py's `_vb_terms_bpd_e2e` with the posterior variances (nll.py sets
    sigma_small), in nats and not in bits per dimension.

    Its term at the first step compares q(x_0 | word) with p(x_0 | x_1) for an x_1 that belongs to
    another x_0, and so leaves their covariance out, without which the sum is no bound. Here x_0 is
    averaged out given x_1. p(x_0 | x_1) has the released variance, the second step's.
    """
    chain = denoiser.chain
    if not isinstance(chain, SteppedChain) or chain.num_steps < 2:
        raise UsageError("a bound needs a noise schedule of at least 2 steps")
    if not isinstance(denoiser, ReadsOut):
        raise TypeError("a stepped chain's bound reads tokens out of clean latents")
    of_latents, of_start = batch.spread([row.noise for row in rows]).chunk(2, dim=-1)
    time = torch.tensor([row.time for row in rows], dtype=torch.float64)
    time = time.to(denoiser.device, non_blocking=True)
    embedded = denoiser.embed(batch.tokens).double()
    start = embedded + (1 - chain.keep[1]).sqrt() * of_start
    noised = _noised(chain.gamma(time), start, of_latents)
    held = torch.where(
        (time < 1)[:, None, None], embedded, _noised(chain.gamma(time), embedded, of_latents)
    )
    shown = torch.where(batch.scored[..., None], noised, held)
    clean = _ask(denoiser, batch, shown, time)[0]
    step = (time * chain.num_steps).round().long()
    way = torch.where(
        (step == 1)[:, None],
        _first_divergence(chain, embedded, noised, clean),
        _divergence(chain, step, start, clean),
    )
    left, gone = chain.keep[-1], 1 - chain.keep[-1]
    prior = 0.5 * (left * start**2 + gone - 1 - gone.log()).sum(dim=-1)
    words = _surprise(denoiser.read_out(start.float()), batch.tokens)
    return torch.where(batch.scored, chain.num_steps * way + prior + words, 0.0).sum(dim=1)


def _divergence(chain: SteppedChain, step: Tensor, start: Tensor, clean: Tensor) -> Tensor:
    """KL(q(x_{t-1} | x_t, x_0) || p(x_{t-1} | x_t)) for t > 1, (batch, length)."""
    before = chain.keep[(step - 1).clamp(min=1)][:, None]
    share = 1 - chain.keep[step][:, None] * (1 - before) / (
        before * (1 - chain.keep[step][:, None])
    )
    return share * before * ((start - clean) ** 2).sum(dim=-1) / (2 * (1 - before))


def _first_divergence(
    chain: SteppedChain, embedded: Tensor, noised: Tensor, clean: Tensor
) -> Tensor:
    """E over x_0 given x_1 of log q(x_0 | word) - log p(x_0 | x_1), (batch, length)."""
    first, second = chain.keep[1], chain.keep[2]
    spread = 1 - first
    modelled = (first - second) / first * spread / (1 - second)
    mean, variance = (embedded + first.sqrt() * noised) / (1 + first), spread / (1 + first)
    miss = (variance + (mean - clean) ** 2) / modelled
    return 0.5 * (miss + modelled.log() - spread.log() - 1).sum(dim=-1)


def _learned_terms(denoiser: LatentModel, batch: Padded, rows: Sequence[_Row]) -> Tensor:
    """Plaid's bound (arXiv 2305.18619, Eq. 3; train.py, forward with x_eval), in continuous time.

    At a row's time -SNR'(t) / 2 times the squared error of the clean latents, and the prior's
    divergence with it; a row of the read-out gives -log p(token | z_0). As in the released
    evaluation every prediction is self-conditioned by a pass before it.
    """
    chain = denoiser.chain
    if not isinstance(chain, LearnedChain):
        raise TypeError("a model in continuous time needs a learned chain")
    width = denoiser.latent_width
    noise = batch.spread([row.noise for row in rows])[..., :width]
    time = torch.tensor([row.time for row in rows], dtype=torch.float64)
    time = time.to(denoiser.device, non_blocking=True)
    embedded = denoiser.embed(batch.tokens).double()
    gamma = chain.gamma(time)
    noised = _noised(gamma, embedded, noise)
    first = _ask(denoiser, batch, torch.cat([noised, torch.zeros_like(noised)], dim=-1), time)[0]
    clean, logits = _ask(denoiser, batch, torch.cat([noised, first], dim=-1), time)
    error = ((embedded - clean) ** 2).sum(dim=-1)
    way = 0.5 * ((-gamma).exp() * chain.slope(time))[:, None] * error
    end = chain.gamma(torch.ones(1, dtype=torch.float64, device=denoiser.device))
    alpha, sigma = levels(end)
    prior = (0.5 * ((alpha * embedded) ** 2 + sigma**2 - 1) - sigma.log()).sum(dim=-1)
    reads_out = torch.tensor([row.reads_out for row in rows])[:, None]
    reads_out = reads_out.to(denoiser.device, non_blocking=True)
    terms = torch.where(reads_out, _surprise(logits, batch.tokens), way + prior)
    return torch.where(batch.scored, terms, 0.0).sum(dim=1)


def _noised(gamma: Tensor, clean: Tensor, noise: Tensor) -> Tensor:
    alpha, sigma = levels(gamma[:, None, None])
    return alpha * clean + sigma * noise


def _ask(
    denoiser: LatentModel, batch: Padded, shown: Tensor, time: Tensor
) -> tuple[Tensor, Tensor]:
    """Clean latents, float64, and logits; without guidance, as no token is told."""
    nothing = torch.full_like(batch.tokens, NO_MASK)
    said = denoiser.predict(nothing, latents=shown, valid=batch.valid, time=time)
    width = denoiser.latent_width
    return said[..., :width].double(), said[..., 2 * width :]


def _surprise(logits: Tensor, tokens: Tensor) -> Tensor:
    """-log p of the tokens, (batch, length) float64."""
    return cross_entropy(logits.double().transpose(1, 2), tokens, reduction="none")
