"""Bootstrap replicates and percentile intervals.

Pure arrays in and out, seeded generators only; knows nothing of tasks or models. Called by
`analysis.py`. Quality is resampled over documents, paired across configurations; latency over
requests, or over questions where their choices are scored together.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]
Flags = NDArray[np.bool_]

REPLICATES = 2000
NORMAL_975 = 1.959963984540054


@dataclass(frozen=True, kw_only=True)
class Interval:
    """A lower and an upper bound; both NaN where nothing can be said."""

    low: float
    high: float


UNKNOWN = Interval(low=float("nan"), high=float("nan"))


def document_weights(
    num_documents: int, *, replicates: int, generator: np.random.Generator
) -> Floats:
    """How often each replicate draws each document: (replicates, documents), rows sum to documents.

    One such matrix serves every configuration, which is what pairs them.
    """
    even = np.full(num_documents, 1.0 / num_documents)
    return generator.multinomial(num_documents, even, size=replicates).astype(np.float64)


def mean_replicates(scores: Floats, weights: Floats) -> Floats:
    """The mean score of every configuration in every replicate.

    Args:
        scores: (configurations, documents), NaN where a document was not scored.
        weights: (replicates, documents) from `document_weights`.

    Returns:
        (replicates, configurations); NaN where a replicate drew no scored document.
    """
    seen = ~np.isnan(scores)
    total = weights @ np.where(seen, scores, 0.0).T  # (replicates, configurations)
    count = weights @ seen.astype(np.float64).T
    out = np.full(total.shape, np.nan)
    np.divide(total, count, out=out, where=count > 0)
    return out


def median_replicates(
    samples: Floats, *, replicates: int, generator: np.random.Generator
) -> Floats:
    """Medians of bootstrap resamples of `samples`: (replicates,), NaN for fewer than two samples.

    One sample says nothing about its spread, and resampling it would claim certainty.
    Drawn from their exact distribution: the k-th smallest of n indices drawn with replacement is
    ceil(n U) with U the k-th uniform order statistic, Beta(k, n - k + 1), so no resample is built.
    """
    ordered = np.sort(samples[~np.isnan(samples)])
    n = len(ordered)
    if n < 2:
        return np.full(replicates, np.nan)
    k = (n + 1) // 2
    lower = generator.beta(k, n - k + 1, size=replicates)
    upper = lower
    if n % 2 == 0:
        # The next order statistic is the smallest of n - k uniforms on (lower, 1).
        upper = lower + (1.0 - lower) * generator.beta(1, n - k, size=replicates)
    picks = [np.clip(np.ceil(n * u).astype(np.int64) - 1, 0, n - 1) for u in (lower, upper)]
    middle: Floats = (ordered[picks[0]] + ordered[picks[1]]) / 2.0
    return middle


def percentile_interval(replicates: Floats, *, level: float = 0.95) -> Interval:
    """The central `level` share of one quantity's replicates; unknown if any replicate is NaN."""
    if replicates.size == 0 or bool(np.isnan(replicates).any()):
        return UNKNOWN
    tail = (1.0 - level) / 2.0
    low, high = np.quantile(replicates, [tail, 1.0 - tail])
    return Interval(low=float(low), high=float(high))


def quality_interval(scores: Floats, replicates: Floats) -> Interval:
    """The 95 % interval of one configuration's mean score.

    The percentile bootstrap, except where every document of a 0/1 metric scored the same: there
    all resamples are equal and the bootstrap would claim certainty, so Wilson's interval is used.

    Args:
        scores: (documents,) of one configuration, NaN where not scored.
        replicates: (replicates,) its column of `mean_replicates`.
    """
    known = scores[~np.isnan(scores)]
    if known.size and (bool(np.all(known == 0.0)) or bool(np.all(known == 1.0))):
        return wilson_interval(successes=int(known.sum()), trials=known.size)
    return percentile_interval(replicates)


def wilson_interval(*, successes: int, trials: int) -> Interval:
    """Wilson's 95 % score interval of a proportion (Wilson 1927, J. Am. Stat. Assoc. 22)."""
    share, z2 = successes / trials, NORMAL_975**2
    centre = (share + z2 / (2 * trials)) / (1 + z2 / trials)
    spread = share * (1 - share) / trials + z2 / (4 * trials**2)
    half = NORMAL_975 * float(np.sqrt(spread)) / (1 + z2 / trials)
    # The ends are exactly 0 and 1 there, up to rounding.
    return Interval(
        low=centre - half if successes else 0.0,
        high=centre + half if successes < trials else 1.0,
    )
