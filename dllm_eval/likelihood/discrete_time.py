"""The bound of discrete-time diffusion (D3PM): a sum of one divergence per step of its chain.

Knows pairs, batches and the chain; knows no estimator of the masked families, no lm-eval and no
file. `score` calls it for families whose likelihood is "discrete_time".
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np
import torch
from torch import Tensor
from torch.nn.functional import one_hot

from dllm_eval.api import Denoiser, Likelihood
from dllm_eval.likelihood.budget import Budget, OneRow
from dllm_eval.likelihood.config import LikelihoodConfig
from dllm_eval.likelihood.draws import stderr_of_mean, stratified_counts
from dllm_eval.likelihood.padded import Padded, not_numbers
from dllm_eval.likelihood.pair import Pair
from dllm_eval.processes.token_chain import TokenChain

_PROBABILITIES_AT_ONCE = 2**22
"""Bounds the float64 copies of the model's distributions to 32 MiB each."""


class ChainDenoiser(Denoiser, Protocol):
    """A denoiser that knows the chain it was trained to reverse."""

    @property
    def chain(self) -> TokenChain:
        """The forward process."""
        ...


@dataclass(frozen=True, kw_only=True, eq=False)
class _Row(OneRow):
    """One canvas to evaluate: which pair, at which step, and what replaces which token there."""

    index: int
    width: int
    """Positions of the canvas."""
    step: int
    uniforms: Tensor
    """(target, 2)"""


def discrete_time(
    denoiser: ChainDenoiser, pairs: Sequence[Pair], seeds: Sequence[int], config: LikelihoodConfig
) -> Iterator[Likelihood]:
    """A Monte-Carlo estimate of D3PM's evidence lower bound of log p(target | context).

    ELBO = -sum over t = 1..T of E over x_t ~ q(x_t | x_0) of KL(q(x_{t-1} | x_t, x_0) ||
    p(x_{t-1} | x_t)) (arXiv 2107.03006, Eq. 1; google-research d3pm/text/diffusion.py
    `discrete_diffusion_elbo`). At t = 1 the divergence is -log p(x_0 | x_1), their separate term;
    the divergence from the prior is 0, because the chain's last step leaves nothing of x_0.
    The released code walks through all T steps once; here `samples` steps are drawn, one from each
    of as many equal strata of 1..T, so that the estimate stays unbiased and its error is known.

    Noise falls on the target alone; the context stays as it is at every step. That makes the value
    a bound for the model that decodes behind a fixed prompt; without a context it is the published
    bound.

    Args:
        denoiser: A model with a chain.
        pairs: What to score.
        seeds: One per pair.
        config: `samples` and `tokens_per_forward` are read.

    Yields:
        One Likelihood per pair, in order, in nats.

    Raises:
        UsageError: The model's logits are NaN.
    """
    values: list[list[float]] = [[] for _ in pairs]
    for rows, terms in Budget(config.tokens_per_forward).run(
        _rows(pairs, seeds, denoiser.chain, config.samples),
        lambda some: _terms(denoiser, [pairs[row.index] for row in some], some),
    ):
        for row, term in zip(rows, terms, strict=True):
            values[row.index].append(term)
    for pair, found in zip(pairs, values, strict=True):
        totals = np.array(found)
        if np.isnan(totals).any():
            raise not_numbers()
        yield Likelihood(
            value=-float(totals.mean()),
            stderr=stderr_of_mean(totals),
            nfe=config.samples,
            positions=config.samples * pair.length,
            exact=False,
            quantity="elbo",
            estimator="discrete_time",
            samples=config.samples,
        )


def _rows(
    pairs: Sequence[Pair], seeds: Sequence[int], chain: TokenChain, samples: int
) -> Iterator[_Row]:
    for index, (pair, seed) in enumerate(zip(pairs, seeds, strict=True)):
        generator = np.random.default_rng(seed)
        # The steps' numbers come first: pairs that differ in length still share them.
        for step in stratified_counts(chain.num_steps, generator.random(samples)).tolist():
            uniforms = torch.from_numpy(generator.random((pair.target_length, 2)))
            yield _Row(index=index, width=pair.length, step=step, uniforms=uniforms)


def _terms(denoiser: ChainDenoiser, pairs: Sequence[Pair], rows: Sequence[_Row]) -> list[float]:
    """T times the divergence at one drawn step, for every row of one forward pass."""
    chain, device = denoiser.chain, denoiser.device
    batch = Padded.build(pairs, denoiser.family.pad_id, device)
    uniforms = batch.spread([row.uniforms for row in rows])
    steps = torch.tensor([row.step for row in rows]).to(device, non_blocking=True)[:, None]
    with torch.inference_mode():
        corrupted = chain.corrupt(batch.tokens, steps, uniforms)
        noisy = torch.where(batch.scored, corrupted, batch.tokens)
        logits = denoiser.logits(
            noisy,
            valid=batch.valid,
            rows=batch.rows,
            time=(steps[:, 0] / chain.num_steps).float(),
        )
        clean = batch.tokens[:, batch.rows]
        divergence = _divergence(chain, logits, clean, noisy[:, batch.rows], steps)
        scored = torch.where(batch.scored[:, batch.rows], divergence, 0.0)
        terms: list[float] = (scored.sum(dim=1) * chain.num_steps).tolist()
    return terms


def _divergence(
    chain: TokenChain, logits: Tensor, clean: Tensor, noisy: Tensor, steps: Tensor
) -> Tensor:
    """KL(q(x_{t-1} | x_t, x_0) || p(x_{t-1} | x_t)) in nats, (batch, rows) float64."""
    size = max(1, _PROBABILITIES_AT_ONCE // chain.vocab_size)
    flat = [
        torch.split(part.reshape(-1), size) for part in (clean, noisy, steps.expand(clean.shape))
    ]
    parts = []
    for belief, x_0, x_t, step in zip(torch.split(logits.flatten(0, 1), size), *flat, strict=True):
        modelled = chain.reverse(belief.double().softmax(dim=-1), x_t, step, step - 1)
        true = chain.reverse(one_hot(x_0, chain.vocab_size).double(), x_t, step, step - 1)
        # A token of probability 0 adds nothing, whatever the model gives it.
        ratio = torch.where(true > 0, true.log() - modelled.log(), 0.0)
        parts.append((true * ratio).sum(dim=-1))
    return torch.cat(parts).view(clean.shape)
