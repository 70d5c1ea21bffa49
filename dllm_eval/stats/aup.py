"""AUP, accuracy under parallelism: what the d3LLM leaderboard ranks by, here a column to compare.

Pure numbers; called by `analysis.py`. Nothing is ranked by it: it counts forwards alike whatever
they cost, and it moves when a better model joins the comparison, so `y_max` travels with it.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass

ALPHA = 3.0
KEPT_POINTS = 5.0
"""Percentage points below the first accuracy beyond which a point is dropped."""


@dataclass(frozen=True, kw_only=True)
class Aup:
    """That of one series, with what is needed to compute it again."""

    value: float
    y_max: float
    """Best accuracy of all settings compared, in percent."""
    alpha: float
    kept: int
    """Settings it was computed from."""
    dropped: int
    """Settings left out, more than five points below the one with the fewest tokens a forward."""


def aup(
    tokens_per_forward: Sequence[float],
    accuracy_percent: Sequence[float],
    *,
    y_max: float,
    alpha: float = ALPHA,
) -> Aup | None:
    """AUP of settings with (rho_i, y_i), sorted by rho, those with y_i >= y_1 - 5 alone.

    rho_1 y_1 + sum_{i >= 2} (rho_i - rho_{i-1}) (y_i W(y_i) + y_{i-1} W(y_{i-1})) / 2,
    W(y) = min(exp(-alpha (1 - y / y_max)), 1).

    Source: arXiv 2601.07568; hao-ai-lab/d3LLM e5bfcac, AUP_leaderboard/aup_utils.py, get_aup. That
    code stops with an assertion where the setting of the most tokens a forward lies more than five
    points below the first; such a setting is dropped here, as the formula says of any other. Equal
    rho are ordered by accuracy, which there is the order of input.

    Args:
        tokens_per_forward: rho, visible tokens over forward passes.
        accuracy_percent: y, from 0 to 100.
        y_max: Best accuracy of all that is compared, in percent.
        alpha: Of the weight.

    Returns:
        None where nothing is known, a rho is not positive, or y_max is zero.
    """
    points = sorted(zip(tokens_per_forward, accuracy_percent, strict=True))
    known = all(math.isfinite(rho) and rho > 0 and math.isfinite(y) for rho, y in points)
    if not points or not known or not y_max > 0:
        return None
    kept = [(rho, y) for rho, y in points if y >= points[0][1] - KEPT_POINTS]
    weighted = [y * min(math.exp(-alpha * (1.0 - y / y_max)), 1.0) for _, y in kept]
    value = kept[0][0] * kept[0][1]
    for i in range(1, len(kept)):
        value += 0.5 * (kept[i][0] - kept[i - 1][0]) * (weighted[i] + weighted[i - 1])
    return Aup(
        value=value, y_max=y_max, alpha=alpha, kept=len(kept), dropped=len(points) - len(kept)
    )
