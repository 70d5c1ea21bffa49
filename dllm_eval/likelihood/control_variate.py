"""The Monte-Carlo ELBO with the fully masked canvas as control variate.

Knows mask sets and weights only. The registry names it; `auto` does not choose it, because it
lowers the variance only where s(S, i) follows s(all, i), which depends on the model.
"""

import numpy as np

from dllm_eval.errors import UsageError
from dllm_eval.likelihood.draws import distinct, stderr_of_mean, stratified_counts, uniform_subsets
from dllm_eval.likelihood.plan import Estimate, Plan, Setting, Table


def control_variate(setting: Setting) -> Plan:
    """An unbiased estimate of the ELBO from the fully masked canvas and `samples` - 1 mask sets.

    With c_i = s(all, i), the term of LLaDA's estimator (arXiv 2502.09992, Eq. 6 and 14) for a set S
    of size l becomes g(S) = (L / l) * sum over i in S of (s(S, i) - c_i) + sum over i of c_i. Its
    mean over sets of size l is unchanged for every l, since each i is in S with probability l / L.
    The count l = L needs no draw, so ELBO = g(all) / L + (1 - 1 / L) * E over l ~ U{1..L-1} of g.

    Raises:
        UsageError: Fewer than 2 samples for a target of more than one token.
    """
    length, num_draws = setting.length, setting.samples - 1
    if length == 1:
        num_draws = 0
    elif num_draws < 1:
        raise UsageError(
            f"samples is {setting.samples}; accepted by estimator 'control_variate': at least 2"
        )
    generator = np.random.default_rng(setting.seed)
    counts = stratified_counts(length - 1, generator.random(num_draws))
    subsets, inverse = distinct(uniform_subsets(counts, length, generator))
    masks = np.concatenate([np.ones((1, length), dtype=np.bool_), subsets])

    def estimate(table: Table) -> Estimate:
        control = table[0]
        value, stderr = float(control.sum()), 0.0
        if num_draws and np.isfinite(value):
            share = 1.0 - 1.0 / length
            gains = np.where(subsets, table[1:] - control, 0.0).sum(axis=1)[inverse]
            draws = share * length / counts * gains
            value, stderr = value + float(draws.mean()), stderr_of_mean(draws)
        return Estimate(
            value=value,
            stderr=stderr,
            exact=False,
            quantity="elbo",
            estimator="control_variate",
            samples=num_draws + 1,
        )

    return Plan(masks=masks, estimate=estimate)
