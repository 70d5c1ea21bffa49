"""Steps to acceptable quality: the cheapest setting of a series that is surely near its best.

Pure arrays; called by `analysis.py`, and by a search over a dial. A setting is tested against every
other of its series, never against the observed best alone: that one was chosen because it did well,
and testing against it would inherit its luck (Hsu 1984, multiple comparisons with the best).
"""

from dataclasses import dataclass

import numpy as np

from dllm_eval.stats.paired import sign_test
from dllm_eval.stats.resample import REPLICATES, Floats, document_weights

WITHIN = 0.01
CONFIDENCE = 0.95


@dataclass(frozen=True, kw_only=True)
class Acceptable:
    """The answer for one series; indices are the caller's."""

    row: int | None
    """The cheapest setting within the distance of the best; None where no setting surely is."""
    best: int
    """The setting of the highest observed quality, the cheapest of equals."""
    within: float
    """The distance allowed, a share of 1."""
    confidence: float
    """Simultaneous over all settings of the series: that none named is further below the best."""
    difference_low: float
    """Lower bound of the quality of `row`, or of `best` where there is no row, minus that of the
    best other setting."""


def acceptable(
    quality: Floats,
    cost: Floats,
    *,
    within: float = WITHIN,
    confidence: float = CONFIDENCE,
    generator: np.random.Generator,
    replicates: int = REPLICATES,
) -> Acceptable | None:
    """Which of a series' settings is the cheapest whose quality is within a distance of the best.

    Setting i is within the distance if it is no further below any setting j. The bootstrap, paired
    by document, gives the errors of all differences at once; each j has its own critical value, the
    quantile of the largest error of any i against it. Whichever j is truly the best, the statements
    about all i then hold together with the confidence asked for.

    Two settings without a lost document leave no spread to resample. The distance must then be more
    than the losses that so many documents could have missed: (1 - within)^n below 1 - confidence.

    Args:
        quality: (settings, documents) scores, NaN where a document was not scored by a setting;
            documents not scored by all settings are left out.
        cost: (settings,) what cheap means, for example forward passes; no NaN.
        within: Distance from the best, a share of 1.
        confidence: Of the answer.
        generator: Of the resamples.
        replicates: Resamples.

    Returns:
        None without a document that all settings scored.
    """
    common = quality[:, ~np.isnan(quality).any(axis=0)]  # (settings, documents)
    if common.size == 0:
        return None
    mean = common.mean(axis=1)
    best = min(range(len(mean)), key=lambda i: (-mean[i], cost[i]))
    low = _lower_bounds(common, within, confidence, replicates, generator).min(axis=1)
    passing = [i for i in range(len(mean)) if low[i] >= -within]
    row = min(passing, key=lambda i: (cost[i], -mean[i]), default=None)
    return Acceptable(
        row=row,
        best=best,
        within=within,
        confidence=confidence,
        difference_low=float(low[best if row is None else row]),
    )


def _lower_bounds(
    quality: Floats,
    within: float,
    confidence: float,
    replicates: int,
    generator: np.random.Generator,
) -> Floats:
    """(settings, settings) lower bounds of quality[i] - quality[j]; inf on the diagonal."""
    settings, documents = quality.shape
    weights = document_weights(documents, replicates=replicates, generator=generator)
    drawn = weights @ quality.T / documents  # (replicates, settings)
    out = np.full((settings, settings), np.inf)
    for j in range(settings):
        others = [i for i in range(settings) if i != j]
        if not others:
            continue
        gaps = quality[others] - quality[j]  # (settings - 1, documents)
        # Without spread a difference would be certain; the floor is one lost document's.
        spread = np.maximum(gaps.std(axis=1, ddof=min(1, documents - 1)), 1.0 / np.sqrt(documents))
        error = (drawn[:, others] - drawn[:, [j]] - gaps.mean(axis=1)) / spread
        critical = float(np.quantile(error.max(axis=1), confidence))
        out[others, j] = gaps.mean(axis=1) - critical * spread
        for i, gap in zip(others, gaps, strict=True):
            if not _seen_enough(gap, within, confidence):
                out[i, j] = min(out[i, j], -1.0 + (1.0 - confidence) ** (1.0 / documents))
    return out


def _seen_enough(gap: Floats, within: float, confidence: float) -> bool:
    """Whether documents without a loss are many enough to rule out losses worth the distance."""
    if bool((gap < 0.0).any()):
        return True
    unseen = (1.0 - within) ** len(gap)
    return min(unseen, sign_test(gap)) <= 1.0 - confidence
