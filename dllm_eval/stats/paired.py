"""Paired comparison of one setting with the AR row: who dominates, or "not separable".

Pure arrays; called by `analysis.py`. Claims are one-sided bootstrap tests on paired replicates,
corrected by Holm (1979); McNemar's exact test stands beside as a cross-check on 0/1 scores.
"""

from typing import Literal

import numpy as np
from scipy.stats import binomtest

from dllm_eval.stats.resample import Floats

Verdict = Literal[
    "dominates AR", "dominated by AR", "faster, worse", "slower, better", "not separable"
]

LEVEL = 0.05
TOLERANCE = 0.01
"""A quality within one point counts as no worse."""


def holm(p_values: Floats) -> Floats:
    """Holm's step-down adjusted p-values; NaN entries stay NaN and do not count."""
    adjusted = np.full(p_values.shape, np.nan)
    known = np.flatnonzero(~np.isnan(p_values))
    order = known[np.argsort(p_values[known], kind="stable")]
    factors = np.arange(len(order), 0, -1)
    adjusted[order] = np.minimum(np.maximum.accumulate(p_values[order] * factors), 1.0)
    return adjusted


def mcnemar(first: Floats, second: Floats) -> float:
    """Exact two-sided McNemar p-value over documents scored in both; NaN unless scores are 0/1.

    Args:
        first: (documents,) 0/1 scores, NaN where not scored.
        second: (documents,) likewise, same documents.
    """
    both = ~(np.isnan(first) | np.isnan(second))
    one, two = first[both], second[both]
    if not both.any() or not np.isin(np.concatenate([one, two]), (0.0, 1.0)).all():
        return float("nan")
    gained, lost = int(((one == 1) & (two == 0)).sum()), int(((one == 0) & (two == 1)).sum())
    if gained + lost == 0:
        return 1.0
    return float(binomtest(gained, gained + lost, 0.5).pvalue)


def paired_difference(first: Floats, second: Floats, weights: Floats) -> Floats:
    """Replicates of mean(first - second) over documents scored in both.

    Args:
        first: (documents,) scores, NaN where not scored.
        second: (documents,) likewise.
        weights: (replicates, documents).

    Returns:
        (replicates,); NaN where a replicate drew no common document.
    """
    difference = first - second
    both = ~np.isnan(difference)
    count = weights @ both.astype(np.float64)
    out = np.full(len(weights), np.nan)
    np.divide(weights @ np.where(both, difference, 0.0), count, out=out, where=count > 0)
    return out


def not_above(replicates: Floats, bound: float) -> float:
    """One-sided p-value of "the quantity is above `bound`": the share of replicates against it."""
    if bool(np.isnan(replicates).any()):
        return float("nan")
    return float((1 + (replicates <= bound).sum()) / (1 + replicates.size))


def _no_worse(difference: Floats, num_documents: int) -> float:
    """One-sided p-value of "the difference is above minus the tolerance".

    Where no document differs, every resample is equal and the bootstrap would claim certainty
    from any number of documents. The p-value is then at least the chance of seeing no loss in
    so many documents if one in a hundred (the tolerance) were lost.
    """
    p = not_above(difference, -TOLERANCE)
    if not bool(np.isnan(difference).any()) and bool(np.all(difference == 0.0)):
        p = max(p, (1.0 - TOLERANCE) ** num_documents)
    return p


def claim_p_values(difference: Floats, log_speedup: Floats, num_documents: int) -> Floats:
    """p-values of the four claims about one setting, (4,), NaN where a side was not measured.

    Each claim has two parts and holds only if both hold, so its p-value is the larger one.

    Args:
        difference: (replicates,) quality of the setting minus that of AR.
        log_speedup: (replicates,) log of AR seconds over the setting's seconds.
        num_documents: How many documents both were scored on.

    Returns:
        In the order dominates, dominated, faster but worse, slower but better.
    """
    faster, slower = not_above(log_speedup, 0.0), not_above(-log_speedup, 0.0)
    parts = [
        (_no_worse(difference, num_documents), faster),
        (_no_worse(-difference, num_documents), slower),
        (not_above(-difference, 0.0), faster),
        (not_above(difference, 0.0), slower),
    ]
    return np.array([np.nan if np.isnan(pair).any() else max(pair) for pair in parts])


def verdicts(p_values: Floats) -> list[Verdict]:
    """The claim that survives Holm's correction over all settings and claims, for each setting.

    Args:
        p_values: (settings, 4) from `claim_p_values`.
    """
    names: tuple[Verdict, ...] = (
        "dominates AR",
        "dominated by AR",
        "faster, worse",
        "slower, better",
    )
    adjusted = holm(p_values.ravel()).reshape(p_values.shape)
    chosen: list[Verdict] = []
    for row in adjusted:
        holding = [name for name, p in zip(names, row, strict=True) if p <= LEVEL]
        chosen.append(holding[0] if holding else "not separable")
    return chosen
