"""The chain rule in reading order, and against it: decoding one token a step in a fixed order.

Knows mask sets and arithmetic only. The registry names both; `auto` chooses `left_to_right` for
families whose attention is made for that order.
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
    behind = np.zeros(2 * setting.length - 1, dtype=np.bool_)
    behind[setting.length - 1 :] = True
    return _chain(behind, "left_to_right")


def right_to_left(setting: Setting) -> Plan:
    """Sum over k of s({1, ..., k}, k): the same against the reading order, last token first."""
    before = np.zeros(2 * setting.length - 1, dtype=np.bool_)
    before[: setting.length] = True
    return _chain(before, "right_to_left")


def _chain(masked: Line, estimator: str) -> Plan:
    """Row k masks what `masked` says around its middle, put at position k, and reads k."""
    length = (len(masked) + 1) // 2
    one = np.zeros_like(masked)
    one[length - 1] = True

    def estimate(table: Table) -> Estimate:
        return Estimate(
            value=float(table.trace()),
            stderr=0.0,
            exact=True,
            quantity="log_likelihood",
            estimator=estimator,
        )

    return Plan(masks=_rows(masked, length), estimate=estimate, read=_rows(one, length))


def _rows(line: Line, length: int) -> Masks:
    """Row k is `line` from length - 1 - k on: a view, so that long targets need no square table."""
    rows: Masks = np.lib.stride_tricks.sliding_window_view(line, length)[::-1]
    return rows
