"""Whether a mean is shown to be above a bound by few documents: an honest one-sided test.

Pure arrays; knows neither settings nor models. Called by the step-count search in `sweep/`, where
one setting's scores are compared with another's, by `recommendation.py` and by `paired.py`.
"""

import math

import numpy as np

from dllm_eval.stats.resample import Floats

DRAWS = 20_000
NUMBERS_AT_ONCE = 4_000_000
"""Of weights in memory at a time."""


def p_above(
    values: Floats, bound: float, *, lowest: float, seed: int = 0, draws: int = DRAWS
) -> float:
    """One-sided p-value of "the mean of what these values were drawn from is above `bound`".

    Gaffke's test (N. Gaffke, Three test statistics for a nonparametric one-sided hypothesis on the
    mean of a nonnegative variable, Mathematical Methods of Statistics 14, 2005; an exposition is
    Learned-Miller and Thomas, arXiv 1905.06208; `gaffke_test` of the R package SBC is another
    implementation). The values and one more at the worst that there can be are weighed by a flat
    Dirichlet draw, and the p-value is the chance that their weighted mean is not above the bound.

    For two-valued data this is the exact binomial test of Clopper and Pearson (1934): n documents
    without a loss show that fewer than a share w are lost with p = (1 - w)^n. That its level holds
    for every bounded distribution is conjectured and not proven; `tests/stats/test_distance.py`
    simulates it on paired 0/1 scores and on fractions. A bootstrap would not be honest here, since
    it never draws a loss that it has not seen.

    Args:
        values: (documents,) without NaN, none below `lowest`.
        bound: What the mean is to be above.
        lowest: The worst value there can be: 0 for scores, -1 for differences of two scores.
        seed: Of the draws, so that equal values always have equal p-values.
        draws: How many; no p-value is below one over these.

    Returns:
        Between 0 and 1; 1 where there is no document.
    """
    if values.size == 0:
        return 1.0
    found, counts = np.unique(np.append(values, lowest), return_counts=True)
    generator = np.random.default_rng(seed)
    # The weights of equal values add up to one Gamma draw, so only different values cost.
    chunk = max(1, NUMBERS_AT_ONCE // len(found))
    below = 0
    for start in range(0, draws, chunk):
        size = (min(chunk, draws - start), len(found))
        weights = generator.standard_gamma(counts.astype(np.float64), size=size)
        means = weights @ found / weights.sum(axis=1)
        below += int((means <= bound).sum())
    return (1 + below) / (1 + draws)


def documents_needed(within: float, level: float) -> int:
    """The fewest documents that can show, none of them lost, a distance of less than `within`."""
    return math.ceil(math.log(level) / math.log1p(-within))
