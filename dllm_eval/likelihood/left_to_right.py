"""The chain rule from left to right: what decoding in reading order, one token a step, would give.

Knows mask sets and arithmetic only. The registry names it; `auto` chooses it for families whose
attention is made for that order.
"""

import numpy as np
from numpy.typing import NDArray

from dllm_eval.likelihood.plan import Estimate, Masks, Plan, Setting, Table

Line = NDArray[np.bool_]


def left_to_right(setting: Setting) -> Plan:
    """Sum over k of s({k, ..., L}, k): the log-probability of decoding from left to right.

    The canvas has the target's length: token k is predicted with the tokens before it in place and
    itself and all behind it masked. That is the exact log-likelihood of one-token-per-step decoding
    at temperature 1 in this order, on a canvas of this length (the fixed-order chain of any-order
    models, arXiv 2502.09992, Eq. 15, for one permutation); of no other order, and no bound of one.
    """
    length = setting.length

    def estimate(table: Table) -> Estimate:
        return Estimate(
            value=float(table.trace()),
            stderr=0.0,
            exact=True,
            quantity="log_likelihood",
            estimator="left_to_right",
        )

    behind, one = np.zeros((2, 2 * length - 1), dtype=np.bool_)
    behind[length - 1 :] = one[length - 1] = True
    return Plan(masks=_rows(behind, length), estimate=estimate, read=_rows(one, length))


def _rows(line: Line, length: int) -> Masks:
    """Row k is `line` from length - 1 - k on: a view, so that long targets need no square table."""
    rows: Masks = np.lib.stride_tricks.sliding_window_view(line, length)[::-1]
    return rows
