"""Two scores that are exact numbers and neither a likelihood nor a bound of one.

Know mask sets only. The registry names them, for comparison; their quantity says what they are.
"""

import numpy as np

from dllm_eval.likelihood.plan import Estimate, Plan, Setting, Table


def pseudo_likelihood(setting: Setting) -> Plan:
    """Sum over i of s({i}, i): each token given all others (Besag 1975; arXiv 1910.14659).

    L canvases. exp of it need not sum to 1 over strings: every token is predicted from the others
    as if they were known already, which as a rule says too much.
    """

    def estimate(table: Table) -> Estimate:
        return Estimate(
            value=float(table.trace()),
            stderr=0.0,
            exact=True,
            quantity="pseudo_log_likelihood",
            estimator="pseudo_likelihood",
        )

    return Plan(masks=np.eye(setting.length, dtype=np.bool_), estimate=estimate)


def one_step(setting: Setting) -> Plan:
    """Sum over i of s(all, i): all tokens at once, each as if the others were not there.

    One canvas. It is the log-probability of decoding in a single step at temperature 1, and sums to
    1 as such; no likelihood of a sampler that takes more steps, and for those no bound either.
    """

    def estimate(table: Table) -> Estimate:
        return Estimate(
            value=float(table[0].sum()),
            stderr=0.0,
            exact=True,
            quantity="one_step",
            estimator="one_step",
        )

    return Plan(masks=np.ones((1, setting.length), dtype=np.bool_), estimate=estimate)
