"""The Monte-Carlo ELBO with a fixed number of masked tokens per draw.

Knows mask sets and weights only. `auto` and the registry name it.
"""

import numpy as np

from dllm_eval.likelihood.draws import distinct, stderr_of_mean, stratified_counts, uniform_subsets
from dllm_eval.likelihood.plan import Estimate, Plan, Setting, Table


def monte_carlo(setting: Setting) -> Plan:
    """An unbiased estimate of the ELBO from `samples` mask sets.

    ELBO = E over l ~ U{1..L} and S uniform of size l of (L / l) * sum over i in S of s(S, i)
    (LLaDA, arXiv 2502.09992, Eq. 6 and 14). The counts l are stratified (see `stratified_counts`),
    the subsets independent; nested subsets would be correlated and raise the variance. The
    standard error is `stderr_of_mean`: conservative, and infinite for a single sample.
    """
    length = setting.length
    generator = np.random.default_rng(setting.seed)
    # The counts' numbers come first: pairs that differ in length still share them.
    counts = stratified_counts(length, generator.random(setting.samples))
    masks, inverse = distinct(uniform_subsets(counts, length, generator))

    def estimate(table: Table) -> Estimate:
        draws = length / counts * table.sum(axis=1)[inverse]
        return Estimate(
            value=float(draws.mean()),
            stderr=stderr_of_mean(draws),
            exact=False,
            quantity="elbo",
            estimator="monte_carlo",
            samples=setting.samples,
        )

    return Plan(masks=masks, estimate=estimate)
