"""The bound of SEDD, whose model gives scores that need not sum to one and is told the noise.

Knows pairs, mask sets and batches; knows no estimator of the masked families, no lm-eval and no
file. `score` calls it for families whose likelihood is "score_entropy".
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from dllm_eval.api import Denoiser, Likelihood
from dllm_eval.errors import UsageError
from dllm_eval.likelihood.batch import Batch, Canvases, Request, pack
from dllm_eval.likelihood.budget import Budget
from dllm_eval.likelihood.config import LikelihoodConfig
from dllm_eval.likelihood.draws import stderr_of_mean, stratified_counts, uniform_subsets
from dllm_eval.likelihood.pair import Pair
from dllm_eval.likelihood.plan import Masks

EPSILON = 1e-3
"""A time t masks with probability (1 - EPSILON) t; the same as in `samplers/noise_schedules.py`."""

_LOGITS_AT_ONCE = 2**22
"""Bounds the float64 copy of the logits to 32 MiB."""


@dataclass(frozen=True, kw_only=True, eq=False)
class _Draws:
    """The noise of one pair."""

    masks: Masks
    """(samples, target length)"""
    times: NDArray[np.float64]
    """(samples,)"""
    weights: NDArray[np.float64]
    """(samples,): what the sum over a draw's masked positions is multiplied by."""


def score_entropy(
    denoiser: Denoiser, pairs: Sequence[Pair], seeds: Sequence[int], config: LikelihoodConfig
) -> Iterator[Likelihood]:
    """A Monte-Carlo estimate of SEDD's evidence lower bound of log p(target | context).

    The bound is minus the integral of sigma'(t) times the score entropy, the sum over masked
    positions i of (sum_j s_j) - r log s_x + r (log r - 1), with x the true token and
    r = 1 / (exp(sigma) - 1) (arXiv 2310.16834, Eq. 8 and 9; `score_entropy` of graph_lib.py and
    losses.py in louaaron/Score-Entropy-Discrete-Diffusion, commit 0605786d). Put s = r w, where
    w = exp(logits) and W is its sum, and let l = 1 - exp(-sigma) be the probability of a mask:

        ELBO = integral over l in [0, 1] of (1 / l) E over mask sets S of
               sum over i in S of log w_i(x_i) - (W_i - 1),

    the bound of masked diffusion, less what the weights' sum is off one. A set of c out of L tokens
    has (1 / l) times probability Beta(c, L - c + 1) in l, over c C(L, c): so c is drawn uniformly
    from 1..L, stratified, S uniformly of that size, l from that Beta, and the sum multiplied by
    L / c. This has the integral as its expectation exactly.

    The released code averages over t in [1e-3, 1] instead and leaves out how little is masked, and
    how much is not, outside of it; here l goes from 0 to 1, so that the value is a bound of the
    sampler that starts from masks alone, and above l = 1 - EPSILON the model is told time 1.

    Noise falls on the target alone; the context stays.

    Args:
        denoiser: A model whose exp(logits) estimate p(x_0 | x_t), told the time.
        pairs: What to score.
        seeds: One per pair.
        config: `samples` and `tokens_per_forward` are read.

    Yields:
        One Likelihood per pair, in order, in nats.

    Raises:
        UsageError: The model's logits are NaN.
    """
    draws = [
        _draw(pair.target_length, seed, config.samples)
        for pair, seed in zip(pairs, seeds, strict=True)
    ]
    requests = [
        Request(pair=pair, masks=drawn.masks) for pair, drawn in zip(pairs, draws, strict=True)
    ]
    times = np.concatenate([drawn.times for drawn in draws])
    sums = _sums(denoiser, requests, times, config.tokens_per_forward)
    for pair, drawn in zip(pairs, draws, strict=True):
        values = drawn.weights * np.array([next(sums) for _ in drawn.times])
        yield _likelihood(pair, values)


def _likelihood(pair: Pair, values: NDArray[np.float64]) -> Likelihood:
    """The mean of (samples,) values of the bound, one forward pass each."""
    if np.isnan(values).any():
        raise UsageError(
            "the model's logits are NaN; accepted: finite logits (a wider dtype, such as"
            " float32, may give them)"
        )
    return Likelihood(
        value=float(values.mean()),
        stderr=stderr_of_mean(values),
        nfe=len(values),
        positions=len(values) * pair.length,
        exact=False,
        quantity="elbo",
        estimator="score_entropy",
        samples=len(values),
    )


def _draw(length: int, seed: int, samples: int) -> _Draws:
    generator = np.random.default_rng(seed)
    # The counts' numbers come first: pairs that differ in length still share them.
    counts = stratified_counts(length, generator.random(samples))
    masks = uniform_subsets(counts, length, generator)
    masked = generator.beta(counts, length - counts + 1)
    return _Draws(
        masks=masks, times=np.minimum(masked / (1 - EPSILON), 1.0), weights=length / counts
    )


def _sums(
    denoiser: Denoiser, requests: Sequence[Request], times: NDArray[np.float64], tokens: int
) -> Iterator[float]:
    """Per mask set, in order: the sum over its positions of log w(x) - (W - 1)."""
    done = 0

    def attempt(pieces: list[Canvases]) -> NDArray[np.float64]:
        batch = pack(pieces, denoiser.family)
        count = len(batch.token_ids)
        terms = _terms(denoiser, batch, times[done : done + count])
        row_of = batch.masked // (batch.rows.stop - batch.rows.start)
        return np.bincount(row_of, weights=terms, minlength=count).astype(np.float64)

    # No canvas is shared: each is told a time of its own.
    for _, sums in Budget(tokens).run(map(Canvases.of, requests), attempt):
        done += len(sums)
        yield from sums.tolist()


def _terms(denoiser: Denoiser, batch: Batch, times: NDArray[np.float64]) -> NDArray[np.float64]:
    """(masked positions,) log w(x) - (W - 1)."""

    def move(array: NDArray[np.int64] | NDArray[np.bool_] | NDArray[np.float64]) -> Tensor:
        return torch.from_numpy(array).to(denoiser.device, non_blocking=True)

    with torch.inference_mode():
        logits = denoiser.logits(
            move(batch.token_ids),
            valid=None if batch.valid is None else move(batch.valid),
            rows=batch.rows,
            time=move(times).float(),
        ).flatten(0, 1)  # (batch * rows, vocab)
        size = max(1, _LOGITS_AT_ONCE // logits.shape[1])
        parts = []
        for where, targets in zip(
            torch.split(move(batch.masked), size),
            torch.split(move(batch.targets), size),
            strict=True,
        ):
            wide = logits.index_select(0, where).double()
            excess = wide.exp().sum(dim=-1) - 1
            parts.append(wide.gather(1, targets[:, None])[:, 0] - excess)
        terms: NDArray[np.float64] = torch.cat(parts).cpu().numpy()
    return terms
