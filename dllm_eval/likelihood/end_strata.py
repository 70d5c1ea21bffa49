"""The Monte-Carlo ELBO with both ends exact: everything masked, and one token masked.

Knows mask sets and weights only. `auto` and the registry name it.
"""

import numpy as np

from dllm_eval.likelihood.control_variate import control_variate
from dllm_eval.likelihood.plan import Estimate, Plan, Setting, Table
from dllm_eval.likelihood.stratified import Terms, stratified

NAME = "end_strata"
FEWEST_DRAWS = 6
"""Random canvases that must be left: fewer say too little of their error."""


def end_strata(setting: Setting) -> Plan:
    """An unbiased estimate of the ELBO from L + 1 exact canvases and random ones of sizes 2..L-1.

    With c_i = s(all, i) and e_i = s({i}, i), the control of a set of size l is
    h(l, i) = c_i + (L - l) / (L - 1) * (e_i - c_i): the term itself at both ends, linear in the
    size between them. So ELBO = sum over i of (c_i + e_i) / 2 + E over l ~ U{2..L-1} and S uniform
    of size l of ((L - 2) / l) * sum over i in S of (s(S, i) - h(l, i)); it holds since each i is in
    S with probability l / L, h is (c_i + e_i) / 2 on average over l = 1..L, and the ELBO's terms of
    sizes 1 and L are those of h. In words: the mean of the one-step and the pseudo-likelihood,
    corrected by what they miss.

    Linear in the size is right where the visible tokens add up independently. On the reference
    model other powers of (L - l) / (L - 1) gained a tenth at some lengths and lost as much at
    others, and draws shared out by each size's variance gained less than a tenth. Coefficients
    fitted to the draws themselves (ridge regression on which tokens are visible, cross-fitted so
    that the estimate stays unbiased) gained up to 7 tokens, where enumeration is near, and lost or
    changed nothing beyond.

    The fixed canvases come first. Where they leave fewer than 6 random ones it is
    `control_variate`, and is called so.

    Raises:
        UsageError: Fewer than 2 samples for a target of more than one token.
    """
    length = setting.length
    num_draws = setting.samples - length - 1
    if length == 1 or num_draws < FEWEST_DRAWS:
        return control_variate(setting)
    everything = np.ones((1, length), dtype=np.bool_)
    fixed = np.concatenate([everything, np.eye(length, dtype=np.bool_)])
    if length == 2:  # no size lies between
        return Plan(masks=fixed, estimate=_both_ends)

    def control(table: Table) -> tuple[Terms, Terms]:
        return table[1:].diagonal(), table[0]

    return stratified(
        setting,
        num_draws=num_draws,
        sizes=range(2, length),
        fixed=fixed,
        control=control,
        estimator=NAME,
    )


def _both_ends(table: Table) -> Estimate:
    """All mask sets of two tokens."""
    return Estimate(
        value=float(table.sum()) / 2,
        stderr=0.0,
        exact=True,
        quantity="elbo",
        estimator=NAME,
    )
