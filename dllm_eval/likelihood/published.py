"""The estimators of LLaDA's and Dream's released evaluations, as they are, flaws included.

Know mask sets and weights only. The registry names them, so that a published protocol can be run
and its noise seen; `auto` never chooses them. Each follows the law of its release, canvas by
canvas; random numbers are ours. Two things differ by intent: the choices of a question share random
numbers, where the releases draw anew for each choice, and log-probabilities are not rounded to the
bfloat16 that the releases run in.
"""

from math import gcd

import numpy as np
from numpy.typing import NDArray

from dllm_eval.likelihood.bernoulli_time import Probabilities, bernoulli_masks
from dllm_eval.likelihood.draws import Counts, uniform_subsets
from dllm_eval.likelihood.plan import Estimate, Plan, Setting, Table
from dllm_eval.likelihood.weighted import independent, weighted

LLADA_BATCH = 8
"""`--batch_size` of every multi-token task in eval_llada_lm_eval.sh; defaults elsewhere in the
repository are 32 (eval_llada.py) and 16 (get_log_likelihood.py), and the law depends on it."""
DREAM_BATCH = 32
"""`--batch_size` of eval/eval_dream_mc.sh."""
DREAM_EPSILON = 1e-3
"""`sampling_eps` of Dream's eval/eval.py."""


def llada_mc(setting: Setting) -> Plan:
    """LLaDA's released estimate: fixed mask counts on a rounded grid, a little biased.

    ML-GSAI/LLaDA commit b7e6c356, get_log_likelihood.py `get_log_likelihood` and eval_llada.py
    `get_loglikelihood` (one law), run with 128 samples. Per batch of b = gcd(samples, 8): a whole
    k ~ U{1..L}, the counts of `grid_counts`, for each a uniform set S of so many positions, and the
    mean of (L / l) * sum over i in S of s(S, i). In the paper (arXiv 2502.09992, Eq. 6 and 14) l is
    uniform. The release stops where b does not divide the samples; the gcd always does.

    Its expectation is the sum over l of q(l) * L * m(l): m(l) is the mean of s(S, i) over sets of
    size l, and q(l) how often the grid gives l, k being uniform. It is the ELBO, with q = 1 / L,
    only where b divides L or L = 1. The grid's halves are rounded to even numbers: with b = 8 and
    L = 4, 12, 20, ... odd l have q = 0.5 / L, even ones 1.5 / L.

    Draws of a batch share k, so a draw here is a batch, and the standard error is that of
    independent batches: 128 samples are 16, and up to 8 samples have an infinite one.
    One token has one mask set: that is exact, whatever is drawn, and costs one forward.
    """
    length, batch = setting.length, gcd(setting.samples, LLADA_BATCH)
    if length == 1:
        return Plan(masks=np.ones((1, 1), dtype=np.bool_), estimate=_nothing_drawn)
    generator = np.random.default_rng(setting.seed)
    # The counts' numbers come first: pairs that differ in length still share them.
    first = 1 + (length * generator.random(setting.samples // batch)).astype(np.int64)
    counts = grid_counts(first, length, batch).ravel()
    return weighted(
        uniform_subsets(counts, length, generator),
        length / counts,
        batch=batch,
        spread=independent,
        estimator="llada_mc",
    )


def grid_counts(first: Counts, length: int, batch: int) -> Counts:
    """LLaDA's counts l_j = k + j L / b for j < b, halves rounded to even, wrapped to 1..L.

    Whole numbers throughout: with b a power of two, the release's 32-bit grid is exact as well.

    Args:
        first: (batches,) the k of each batch, in 1..length.
        length: Target tokens, L.
        batch: Counts per batch, b.

    Returns:
        (batches, batch) counts in 1..length.
    """
    whole, rest = np.divmod(first[:, None] * batch + np.arange(batch) * length, batch)
    up = (2 * rest > batch) | ((2 * rest == batch) & (whole % 2 == 1))
    counts: Counts = (whole + up - 1) % length + 1
    return counts


def _nothing_drawn(table: Table) -> Estimate:
    return Estimate(
        value=float(table.sum()),
        stderr=0.0,
        exact=True,
        quantity="log_likelihood",
        estimator="llada_mc",
        samples=1,
    )


def dream_mc(setting: Setting) -> Plan:
    """Dream's released estimate: a masking probability per canvas, each token masked on its own.

    DreamLM/Dream commit fac0a7f2, eval/eval.py `_eval_target_nll_mc` and `_forward_process` with
    `nll_type=mc` and `log_type=ftb`, its defaults, run with 128 samples. Per batch of
    b = gcd(samples, 32): the probabilities of `grid_probabilities`, and the mean of (1 / p) * sum
    over i in S of s(S, i); an empty S counts as 0. The released canvas ends in a visible
    end-of-text token that is never scored: that is `target_end=eos`. The prompt is never masked.
    Dream's other types: `ar_ftb` and `ar_btf` are the chains of `left_to_right` and
    `right_to_left` over target and end-of-text, which is masked and scored there as well; `btf`
    scores the prompt in front of a visible target; `union` scores both, divided by their length.

    As p is at least e = 0.001, a set of l tokens has 1 / (l C(L, l)), its weight in the ELBO, times
    (1 - I(e; l, L - l + 1)) / (1 - e), with I the regularised incomplete beta function: sets of one
    token have (1 - e)^(L-1) of their weight, larger ones nearly 1 / (1 - e). Where s(S, i) does not
    depend on S, the expectation is the ELBO all the same. A single token is no exact score here:
    it is masked or not, and its log-probability is multiplied by the mean of 1 / p where it is,
    whose standard deviation is about 0.22 with 128 samples.

    Draws of a batch share a random number, so a draw here is a batch, and the standard error is
    that of independent batches: 128 samples are 4, and up to 32 samples have an infinite one. Of
    four skewed draws, 95 % intervals by Student's t covered 91 to 95 % of the time (1, 4, 7 and 10
    tokens, random s(S, i), 1000 seeds or more).
    """
    length, batch = setting.length, gcd(setting.samples, DREAM_BATCH)
    generator = np.random.default_rng(setting.seed)
    offsets = generator.random(setting.samples // batch)
    probabilities = grid_probabilities(offsets, batch).ravel()
    return weighted(
        bernoulli_masks(probabilities, generator.random((length, setting.samples)).T),
        1.0 / probabilities,
        batch=batch,
        spread=independent,
        estimator="dream_mc",
    )


def grid_probabilities(offsets: NDArray[np.float64], batch: int) -> Probabilities:
    """Dream's p_j = (1 - e) t_j + e with t_j = u + j / b, wrapped to [0, 1).

    Args:
        offsets: (batches,) the u of each batch, in [0, 1).
        batch: Probabilities per batch, b.

    Returns:
        (batches, batch) probabilities in [0.001, 1).
    """
    times = (offsets[:, None] + np.arange(batch) / batch) % 1.0
    probabilities: Probabilities = (1.0 - DREAM_EPSILON) * times + DREAM_EPSILON
    return probabilities
