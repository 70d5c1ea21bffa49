"""The ELBO in continuous time: a time per draw, and every token masked with that probability.

Knows mask sets and weights only. The registry names it, for comparison: `auto` never chooses it,
because the number of masked tokens varies on top of which they are.
"""

import numpy as np
from numpy.typing import NDArray

from dllm_eval.likelihood.draws import effective_degrees, spread_order, stderr_of_mean
from dllm_eval.likelihood.plan import Draws, Masks, Plan, Setting
from dllm_eval.likelihood.weighted import independent, weighted

Probabilities = NDArray[np.float64]


def bernoulli_time(setting: Setting) -> Plan:
    """An unbiased estimate of the ELBO in its continuous form, from one time t in each stratum.

    ELBO = E over t ~ U(0, 1), and S with each position in it with probability t, of
    (1 / t) * sum over i in S of s(S, i) (LLaDA, arXiv 2502.09992, Eq. 12; MDLM, arXiv 2406.07524).
    A set of l tokens has weight integral of t^(l-1) (1-t)^(L-l) dt = 1 / (l C(L, l)), as in
    `enumeration`. A draw that masks nothing counts as 0, which that expectation includes.

    The times are MDLM's: one from each of n equal strata, each with a random number of its own
    (kuleshov-group/mdlm commit c112c526, diffusion.py `_sample_t`). SMDM's evaluation shares one
    number among a batch (ML-GSAI/SMDM commit 583aa471, evaluate_diff.py `_forward_process`, 1024
    draws in batches of 16): its draws are not independent. MDLM trains and evaluates with
    t >= 1e-3, here as in SMDM's evaluation t > 0; what a lower end changes, `dream_mc` says.

    The variance is infinite: S = {i} has probability of about t and the value s({i}, i) / t, so the
    second moment is at least that of the sum of squared s({i}, i) times the integral of dt / t. The
    standard error (`stderr_of_mean`) is the sample's, then, and no estimate of a finite one: 95 %
    intervals by Student's t covered 94 to 95 % of the time with 32 and 128 draws for 7 tokens and
    1024 for 10 (random s(S, i), 1500 seeds), but nothing bounds how far the others are off.
    """
    num_draws = setting.samples
    generator = np.random.default_rng(setting.seed)
    strata = spread_order(num_draws, generator.random())
    # 1 - u lies in (0, 1]: no time is 0.
    times = (1.0 - generator.random(num_draws) + np.arange(num_draws))[strata] / num_draws

    def spread(values: Draws) -> tuple[float, float | None]:
        in_order = values[strata[: len(values)].argsort()]
        return stderr_of_mean(in_order), effective_degrees(in_order)

    return weighted(
        bernoulli_masks(times, generator.random((setting.length, num_draws)).T),
        1.0 / times,
        batch=1,
        spread=spread,
        estimator="bernoulli_time",
    )


def bernoulli_time_independent(setting: Setting) -> Plan:
    """`bernoulli_time` with times drawn on their own, as in SMDM's perplexity.

    ML-GSAI/SMDM commit 583aa471, evaluate_fineweb.py `forward_process`, but for its t >= 1e-3.
    """
    num_draws = setting.samples
    generator = np.random.default_rng(setting.seed)
    times = 1.0 - generator.random(num_draws)
    return weighted(
        bernoulli_masks(times, generator.random((setting.length, num_draws)).T),
        1.0 / times,
        batch=1,
        spread=independent,
        estimator="bernoulli_time_independent",
    )


def bernoulli_masks(probabilities: Probabilities, uniforms: NDArray[np.float64]) -> Masks:
    """(draws, length): each position masked where its number is below its draw's probability."""
    masks: Masks = uniforms < probabilities[:, None]
    return masks
