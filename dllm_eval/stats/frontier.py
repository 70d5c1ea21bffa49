"""The quality-latency frontier: which points no other point beats, and how sure that is.

Latency counts down, quality counts up. Pure arrays; called by `analysis.py` and the figures.
"""

import numpy as np

from dllm_eval.stats.resample import Flags, Floats


def on_frontier(latency_s: Floats, quality: Floats) -> Flags:
    """Which points are not dominated; leading axes are replicates.

    A point is dominated if another is no slower and no worse, and better in one of the two.
    Equal points do not dominate each other: all of them are on the frontier or none. A point with
    a NaN is never on the frontier and dominates nothing.

    Args:
        latency_s: (..., points) seconds.
        quality: (..., points).

    Returns:
        (..., points) bool.
    """
    known = ~(np.isnan(latency_s) | np.isnan(quality))
    latency = np.where(known, latency_s, np.inf)
    score = np.where(known, quality, -np.inf)
    beaten = np.zeros(known.shape, dtype=np.bool_)
    for other in range(known.shape[-1]):
        rival_latency, rival_score = latency[..., other, None], score[..., other, None]
        no_worse = (rival_latency <= latency) & (rival_score >= score)
        better = (rival_latency < latency) | (rival_score > score)
        beaten |= no_worse & better
    result: Flags = known & ~beaten
    return result


def frontier_probability(latency_s: Floats, quality: Floats, chance: float = -np.inf) -> Floats:
    """Share of replicates with each point on the frontier: (replicates, points) -> (points,).

    A point whose quality is not above `chance` in a replicate is not on its frontier: guessing
    quickly is always undominated.
    """
    share: Floats = (on_frontier(latency_s, quality) & (quality > chance)).mean(axis=0)
    return share


def staircase(latency_s: Floats, quality: Floats) -> tuple[Floats, Floats]:
    """The frontier's corners, fastest first, equal points once: two arrays (corners,)."""
    keep = on_frontier(latency_s, quality)
    corners = np.unique(np.stack([latency_s[keep], quality[keep]], axis=1), axis=0)
    return corners[:, 0], corners[:, 1]


def attained_quality(latency_s: Floats, quality: Floats, grid_s: Floats) -> Floats:
    """The best quality within each latency budget: (..., points) and (budgets,) -> (..., budgets).

    -inf where no point is that fast. This is the step function that the staircase draws.
    """
    known = ~(np.isnan(latency_s) | np.isnan(quality))
    score = np.where(known, quality, -np.inf)
    latency = np.where(known, latency_s, np.inf)
    columns = [
        np.where(latency <= budget, score, -np.inf).max(axis=-1, initial=-np.inf)
        for budget in grid_s
    ]
    return np.stack(columns, axis=-1)
