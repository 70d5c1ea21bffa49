"""Bootstrap replicates and percentile intervals.

Pure arrays in and out, seeded generators only; knows nothing of tasks or models. Called by
`analysis.py`. Quality is resampled over documents, or over whole clusters of them, paired across
configurations; latency over requests, or over questions where their choices are scored together.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.special import ndtr, ndtri, stdtrit

from dllm_eval.stats.clusters import Clusters, cluster_stderr, cluster_totals, effective_documents

Floats = NDArray[np.float64]
Flags = NDArray[np.bool_]

REPLICATES = 2000
WEIGHTS_AT_ONCE = 4_000_000
"""Numbers of resampled documents in memory at a time."""
COUNTS_AT_ONCE = 65_536
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
    # The multinomial distribution, counted draw by draw, which is much quicker than numpy's own.
    # So many replicates at a time that their counts stay in a processor's cache.
    weights = np.empty((replicates, num_documents))
    at_once = max(1, COUNTS_AT_ONCE // max(num_documents, 1))
    first = np.arange(at_once)[:, None] * num_documents
    for start in range(0, replicates, at_once):
        rows = weights[start : start + at_once]
        drawn = generator.integers(num_documents, size=rows.shape) + first[: len(rows)]
        rows[:] = np.bincount(drawn.ravel(), minlength=rows.size).reshape(rows.shape)
    return weights


def mean_replicates(scores: Floats, weights: Floats) -> Floats:
    """The mean score of every configuration in every replicate.

    Args:
        scores: (configurations, documents), NaN where a document was not scored.
        weights: (replicates, documents) from `document_weights`.

    Returns:
        (replicates, configurations); NaN where a replicate drew no scored document.
    """
    return _ratios(*_of_documents(scores), weights)


def _of_documents(scores: Floats) -> tuple[Floats, Floats]:
    """Sums and counts of every document's scores, (configurations, documents) each."""
    seen = ~np.isnan(scores)
    return np.where(seen, scores, 0.0), seen.astype(np.float64)


def _ratios(sums: Floats, counts: Floats, weights: Floats) -> Floats:
    """(replicates, configurations) means; NaN where a replicate drew nothing that was scored."""
    total = weights @ sums.T
    whole = bool((counts == 1.0).all())
    count = (
        np.broadcast_to(weights.sum(axis=1)[:, None], total.shape) if whole else weights @ counts.T
    )
    out = np.full(total.shape, np.nan)
    np.divide(total, count, out=out, where=count > 0)
    return out


def resampled_means(
    scores: Floats,
    *,
    replicates: int,
    generator: np.random.Generator,
    clusters: Clusters | None = None,
) -> Floats:
    """`mean_replicates` under fresh `document_weights`, which are never in memory all at once.

    Args:
        scores: (configurations, documents), NaN where a document was not scored.
        replicates: How many.
        generator: Of the resamples.
        clusters: (documents,) of documents that are drawn together; the mean of a resample is over
            all documents of the clusters that it drew.

    Returns:
        (replicates, configurations); NaN where a replicate drew no scored document.
    """
    found = _of_documents(scores) if clusters is None else cluster_totals(scores, clusters)
    units = found[0].shape[1]
    chunk = max(1, WEIGHTS_AT_ONCE // max(units, 1))
    parts = []
    for start in range(0, replicates, chunk):
        count = min(chunk, replicates - start)
        weights = document_weights(units, replicates=count, generator=generator)
        parts.append(_ratios(*found, weights))
    return np.concatenate(parts)


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


def bias_corrected_interval(
    replicates: Floats, estimate: float, *, level: float = 0.95
) -> Interval:
    """Efron's bias-corrected percentile interval; unknown if any replicate is NaN.

    The best of several noisy points looks better than it is, and its resamples better still; the
    percentiles are moved by twice the share of resamples below the estimate, in standard normal
    units (Efron 1981, Can. J. Stat. 9).

    Args:
        replicates: (replicates,).
        estimate: The same quantity of the data themselves.
        level: Stated coverage.
    """
    if replicates.size == 0 or bool(np.isnan(replicates).any()):
        return UNKNOWN
    below = float((replicates < estimate).mean() + 0.5 * (replicates == estimate).mean())
    least = 1.0 / (1 + replicates.size)
    shift = float(ndtri(min(max(below, least), 1.0 - least)))
    tail = float(ndtri((1.0 - level) / 2.0))
    low, high = np.quantile(replicates, ndtr([2.0 * shift + tail, 2.0 * shift - tail]))
    return Interval(low=float(low), high=float(high))


def quality_interval(
    scores: Floats, replicates: Floats, clusters: Clusters | None = None
) -> Interval:
    """The 95 % interval of one configuration's mean score.

    Scores between 0 and 1: Wilson's interval, which covers as it says also where few documents or
    scores near 0 or 1 leave the bootstrap with next to nothing to resample. Where scores are not
    0 or 1 alone, as with several seeds, they count as the number of 0/1 scores that would have
    their variance (Dean and Pagano 2015, J. Surv. Stat. Methodol. 3, on Wilson's interval with an
    effective sample size), never fewer than there are. Other scores: the percentile bootstrap,
    unknown for a single document, which has nothing to resample.

    Clusters: Wilson's interval with the effective number of documents of `effective_trials`; of
    other scores Student's t with the clusters' standard error, unknown for fewer than two clusters.

    Args:
        scores: (documents,) of one configuration, NaN where not scored.
        replicates: (replicates,) its column of `mean_replicates`.
        clusters: (documents,) of documents that are not independent; None where all are.
    """
    seen = ~np.isnan(scores)
    known = scores[seen]
    if known.size == 1 and not 0.0 <= known[0] <= 1.0:
        return UNKNOWN
    own = None if clusters is None else clusters[seen]
    if not known.size or bool(((known < 0.0) | (known > 1.0)).any()):
        return percentile_interval(replicates) if own is None else t_interval(known, own)
    trials = effective_trials(known, own)
    return wilson_interval(successes=float(known.mean()) * trials, trials=trials)


def t_interval(scores: Floats, clusters: Clusters) -> Interval:
    """Student's t interval, 95 %, of the mean of clustered scores; unknown for one cluster.

    Args:
        scores: (documents,) without NaN.
        clusters: (documents,).
    """
    stderr, groups = cluster_stderr(scores, clusters)
    if groups < 2:
        return UNKNOWN
    half, middle = float(stdtrit(groups - 1, 0.975)) * stderr, float(scores.mean())
    return Interval(low=middle - half, high=middle + half)


def effective_trials(scores: Floats, clusters: Clusters | None = None) -> float:
    """How many 0/1 scores have the variance of these between 0 and 1; at least as many.

    With clusters, how many independent documents they are worth (`effective_documents`), fewer
    still by the degrees of freedom of so few clusters (Korn and Graubard 1998, Survey Methodology
    24: times the square of the normal quantile over Student's), never fewer than there are clusters
    and never more than without clusters.

    Args:
        scores: (documents,) without NaN, at least one.
        clusters: (documents,).
    """
    share = float(scores.mean())
    variance = float(scores.var(ddof=1)) if scores.size > 1 else 0.0
    effective = scores.size * share * (1.0 - share) / variance if variance > 0 else 0.0
    alone = max(float(scores.size), effective)
    if clusters is None:
        return alone
    documents, groups = effective_documents(scores, clusters)
    if groups < 2:
        return 1.0
    documents *= (NORMAL_975 / float(stdtrit(groups - 1, 0.975))) ** 2
    return min(max(float(groups), documents), alone)


def wilson_interval(*, successes: float, trials: float, z: float = NORMAL_975) -> Interval:
    """Wilson's score interval of a proportion (Wilson 1927, J. Am. Stat. Assoc. 22).

    95 %, unless another number of standard errors `z` is given.
    """
    share, z2 = successes / trials, z**2
    centre = (share + z2 / (2 * trials)) / (1 + z2 / trials)
    spread = share * (1 - share) / trials + z2 / (4 * trials**2)
    half = z * float(np.sqrt(spread)) / (1 + z2 / trials)
    # The ends are exactly 0 and 1 there, up to rounding.
    return Interval(
        low=centre - half if successes else 0.0,
        high=centre + half if successes < trials else 1.0,
    )
