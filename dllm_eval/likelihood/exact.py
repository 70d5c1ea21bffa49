"""Estimators without Monte-Carlo error: one masked token, and all mask sets of a short target.

Know mask sets and weights only. `auto` and the registry name them.
"""

from math import comb

import numpy as np

from dllm_eval.errors import UsageError
from dllm_eval.likelihood.config import ENUMERATION_LIMIT
from dllm_eval.likelihood.plan import Estimate, Plan, Setting, Table


def single_token(setting: Setting) -> Plan:
    """The log-likelihood of a one-token target: s({1}, 1), one forward.

    The case l = L = 1 of LLaDA (arXiv 2502.09992, Eq. 14), where the bound is an equality and every
    Monte-Carlo sample would be the same.

    Raises:
        UsageError: A longer target.
    """
    if setting.length != 1:
        raise UsageError(
            f"estimator 'single_token' was given a target of {setting.length} tokens; accepted: 1"
            " token (estimator 'auto' takes any length)"
        )

    def estimate(table: Table) -> Estimate:
        return Estimate(
            value=float(table[0, 0]),
            stderr=0.0,
            exact=True,
            quantity="log_likelihood",
            estimator="single_token",
        )

    return Plan(masks=np.ones((1, 1), dtype=np.bool_), estimate=estimate)


def enumeration(setting: Setting) -> Plan:
    """The exact ELBO, over all 2^L - 1 non-empty mask sets of the target.

    ELBO = sum over S of 1 / (|S| C(L, |S|)) * sum over i in S of s(S, i), which is the expectation
    of LLaDA's estimator (arXiv 2502.09992, Eq. 6 and 14): a set of size l has probability
    1 / (L C(L, l)) and weight L / l.

    Raises:
        UsageError: A target of more than 16 tokens.
    """
    length = setting.length
    if length > ENUMERATION_LIMIT:
        raise UsageError(
            f"estimator 'enumeration' was given a target of {length} tokens, i.e. 2^{length}"
            f" forwards; accepted: up to {ENUMERATION_LIMIT} tokens"
        )
    codes = np.arange(1, 2**length)
    masks = (codes[:, None] >> np.arange(length)) % 2 == 1
    by_size = np.array([1.0 / (size * comb(length, size)) for size in range(1, length + 1)])
    weights = by_size[masks.sum(axis=1) - 1]

    def estimate(table: Table) -> Estimate:
        return Estimate(
            value=float(weights @ table.sum(axis=1)),
            stderr=0.0,
            exact=True,
            quantity="elbo",
            estimator="enumeration",
        )

    return Plan(masks=masks, estimate=estimate)
