"""How many answers another seed would change, from what each question's own errors predict.

A record's flip probability supposes nothing of the gaps between choices, as if any gap were as
likely as any other. A suite's questions tell which are. Pure arrays; called by `noise.py`.
"""

import numpy as np
from scipy.special import ndtr, ndtri

from dllm_eval.stats.resample import Flags, Floats

FARTHEST = 8.0
"""Standard errors beyond which no margin is told from another."""
GRID = 81
STEPS = 20
"""Of expectation and maximisation: few, so that the margins found stay smooth."""
NORMAL_PEAK = float(1.0 / np.sqrt(2.0 * np.pi))


def expected_changes(flips: Floats) -> Floats:
    """(questions,) the chance of each answer to change, as the other questions make it likely.

    A flip probability f is that of a margin x = -sqrt(2) ndtri(f) in standard errors of the
    difference of two choices. Margins measured are true ones with a standard normal error. Which
    true ones there are, is estimated from all questions of the suite: weights on a grid, symmetric
    because which choice is ahead is not known, by `STEPS` steps of the EM algorithm from equal
    weights (nonparametric empirical Bayes; Robbins 1956, Laird 1978, J. Am. Stat. Assoc. 73). One
    question more, of which nothing is known, keeps a few questions from being sure. The
    chance is that of another run's margin to fall on the other side, given x. Student's t in place
    of the normal error was tried and is worse, `benchmarks/likelihood_flips.py`: it makes every
    chance larger, and with few draws they are too large already.

    Above 1/2 there are more than two choices about equal: such a chance is left as it is.

    Args:
        flips: (questions,) by the records; NaN stays NaN.
    """
    out = flips.copy()
    known: Flags = ~np.isnan(flips) & (flips <= 0.5)
    if not known.any():
        return out
    margins = np.minimum(-np.sqrt(2.0) * ndtri(np.maximum(flips[known], 1e-15)), FARTHEST)
    grid = np.linspace(-FARTHEST, FARTHEST, GRID)
    # (questions, grid); a margin on the other side is the same with the grid turned around.
    likely = NORMAL_PEAK * np.exp(-0.5 * (margins[:, None] - grid) ** 2)
    weights = np.full(GRID, 1.0 / GRID)
    for _ in range(STEPS):
        told = likely * weights
        found = (told / told.sum(axis=1, keepdims=True)).sum(axis=0) + 1.0 / GRID
        weights = (found + found[::-1]) / (2.0 * found.sum())
    told = likely * weights
    out[known] = (told @ ndtr(-grid)) / told.sum(axis=1)
    return out
