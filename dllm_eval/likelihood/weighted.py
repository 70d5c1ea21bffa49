"""Plans whose estimate is the mean of batches of weighted sums over drawn mask sets.

Knows mask sets and weights only; a drawn set may be empty, and then costs nothing. The estimators
that are here for comparison call it: `bernoulli_time` and `published`.
"""

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from dllm_eval.likelihood.draws import completed, in_order_of_use, rows_after
from dllm_eval.likelihood.plan import Draws, Estimate, Masks, Plan, Sampling, Table

Spread = Callable[[Draws], tuple[float, float | None]]
"""From the values of the draws so far: the standard error of their mean, and its degrees."""


def weighted(
    masks: Masks, weights: NDArray[np.float64], *, batch: int, spread: Spread, estimator: str
) -> Plan:
    """The mean over sets S of weight(S) * sum over i in S of s(S, i), an ELBO or close to one.

    Args:
        masks: (samples, length), as drawn: sets may repeat, and be empty, which counts as 0.
        weights: (samples,) or, one for all, ().
        batch: Sets that make one draw; divides their number.
        spread: How far the mean of the draws may be off.
        estimator: The name in the record.
    """
    rows, inverse = _rows(masks)
    weights = np.broadcast_to(weights, len(masks))
    # A table has at least one row.
    needed = np.maximum(rows_after(inverse), 1)[batch - 1 :: batch]

    def draws(table: Table) -> Draws:
        done = batch * completed(needed, len(table))
        sums = np.append(table.sum(axis=1), 0.0)  # the last is the empty set's
        values: Draws = (weights[:done] * sums[inverse[:done]]).reshape(-1, batch).mean(axis=1)
        return values

    def estimate(table: Table) -> Estimate:
        values = draws(table)
        stderr, degrees = spread(values)
        return Estimate(
            value=float(values.mean()),
            stderr=stderr,
            exact=False,
            quantity="elbo",
            estimator=estimator,
            samples=batch * len(values),
            degrees=degrees,
        )

    return Plan(masks=rows, estimate=estimate, sampling=Sampling(rows_after=needed, draws=draws))


def independent(values: Draws) -> tuple[float, float | None]:
    """Of draws with one law, none knowing of another: sd / sqrt(n), with n - 1 degrees of freedom.

    A single draw says nothing of its error, nor do draws of which one is infinite, or that are all
    equal because the same few mask sets came again and again: it is infinite.
    """
    num_draws = len(values)
    if num_draws == 1 or not np.isfinite(values).all():
        return float("inf"), None
    spread = float(values.std(ddof=1))
    if spread == 0:
        return float("inf"), None
    return spread / num_draws**0.5, float(num_draws - 1)


def _rows(masks: Masks) -> tuple[Masks, NDArray[np.int64]]:
    """The different sets as they come, without the empty one, and each drawn set's row; -1: none.

    Where all are empty there is the full set, which no draw reads: a plan asks for something.
    """
    drawn = masks.any(axis=1)
    inverse = np.full(len(masks), -1, dtype=np.int64)
    if not drawn.any():
        return np.ones((1, masks.shape[1]), dtype=np.bool_), inverse
    rows, inverse[drawn] = in_order_of_use(masks[drawn])
    return rows, inverse
