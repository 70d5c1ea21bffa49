"""The Monte-Carlo ELBO with a fixed number of masked tokens per draw.

Knows mask sets and weights only. The registry names it; `auto` takes it for a single canvas.
"""

import numpy as np

from dllm_eval.likelihood.plan import Plan, Setting, Table
from dllm_eval.likelihood.stratified import Terms, stratified


def monte_carlo(setting: Setting) -> Plan:
    """An unbiased estimate of the ELBO from `samples` mask sets.

    ELBO = E over l ~ U{1..L} and S uniform of size l of (L / l) * sum over i in S of s(S, i)
    (LLaDA, arXiv 2502.09992, Eq. 6 and 14). The counts l are stratified (see `stratified_counts`),
    the subsets independent; nested subsets would be correlated and raise the variance. The
    standard error is `stderr_of_mean`: conservative, and infinite for a single sample.
    """
    length = setting.length
    nothing = np.zeros(length)

    def control(_: Table) -> tuple[Terms, Terms]:
        return nothing, nothing

    return stratified(
        setting,
        num_draws=setting.samples,
        sizes=range(1, length + 1),
        fixed=np.zeros((0, length), dtype=np.bool_),
        control=control,
        estimator="monte_carlo",
    )
