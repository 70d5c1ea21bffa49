"""Paired comparison of one setting with the AR row: who dominates, or "not separable".

Pure arrays; called by `compare.py`. The parts of a verdict are one-sided bootstrap tests on paired
replicates, held back by exact bounds where documents are few, corrected by Holm (1979) over all
parts of all settings. A verdict is false only if one of its parts is, so the chance of any false
verdict is no larger than that of any false part. McNemar's exact test stands beside as a
cross-check on 0/1 scores.
"""

from typing import Literal

import numpy as np
from scipy.special import stdtr
from scipy.stats import binomtest

from dllm_eval.stats.distance import p_above
from dllm_eval.stats.resample import Floats

Verdict = Literal[
    "dominates AR",
    "dominated by AR",
    "faster, worse",
    "slower, better",
    "worse, speed open",
    "better, speed open",
    "faster, quality open",
    "slower, quality open",
    "not separable",
    "machine was busy",
]

PARTS = ("no worse", "no better", "worse", "better", "faster", "slower")
"""The hypotheses that are tested of a setting; a verdict is stated where all its parts hold."""

CLAIMS: dict[Verdict, frozenset[str]] = {
    "dominates AR": frozenset({"no worse", "faster"}),
    "dominated by AR": frozenset({"no better", "slower"}),
    "faster, worse": frozenset({"faster", "worse"}),
    "slower, better": frozenset({"slower", "better"}),
    "worse, speed open": frozenset({"worse"}),
    "better, speed open": frozenset({"better"}),
    "faster, quality open": frozenset({"faster"}),
    "slower, quality open": frozenset({"slower"}),
}
"""The first whose parts hold is the verdict, so that what says more comes first."""

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


def not_above(replicates: Floats, bound: float) -> float:
    """One-sided p-value of "the quantity is above `bound`": the share of replicates against it."""
    if bool(np.isnan(replicates).any()):
        return float("nan")
    return float((1 + (replicates <= bound).sum()) / (1 + replicates.size))


def sign_test(differences: Floats) -> float:
    """Exact one-sided p-value of "more documents are won than lost"; ties are left out.

    Args:
        differences: (documents,) without NaN.
    """
    won, lost = int((differences > 0.0).sum()), int((differences < 0.0).sum())
    if won + lost == 0:
        return 1.0
    return float(binomtest(won, won + lost, 0.5, alternative="greater").pvalue)


def t_test(differences: Floats, bound: float) -> float:
    """One-sided p-value of "the mean is above the bound" by Student's t; at least 1 / 2^n.

    For differences without a worst value, which nothing exact can be said of. So many all alike
    fall on one side by chance with 1 / 2^n, as random signs do.
    """
    n = len(differences)
    if n < 2:
        return 1.0
    error = float(differences.std(ddof=1)) / np.sqrt(n)
    lead = float(differences.mean()) - bound
    tail = float(stdtr(n - 1, -lead / error)) if error > 0 else float(lead <= 0.0)
    return max(tail, 0.5**n)


def _better(replicates: Floats, differences: Floats, *, shares: bool) -> float:
    """One-sided p-value of "the difference is above zero"; NaN where not measured.

    A bootstrap of few documents never draws a loss that it has not seen; the sign test knows how
    easily so few of them all fall on one side.
    """
    p = not_above(replicates, 0.0)
    if np.isnan(p):
        return p
    return max(p, sign_test(differences) if shares else t_test(differences, 0.0))


def _no_worse(replicates: Floats, differences: Floats, *, shares: bool) -> float:
    """One-sided p-value of "the difference is above minus the tolerance"; NaN where not measured.

    A bootstrap knows only the losses that it has seen: none of 300 documents, and it claims
    certainty; one, and it says 8 % where as few are lost in 20 % of samples from one in a hundred
    (the tolerance). So the p-value is at least that of `distance.p_above`, with which n documents
    and no loss have (1 - tolerance)^n. What is shown to be better needs no such proof: it is no
    worse. Scores that are no shares have no worst value, which that test needs; theirs is Student's
    t.
    """
    p = not_above(replicates, -TOLERANCE)
    if np.isnan(p):
        return p
    if not shares:
        return max(p, t_test(differences, -TOLERANCE))
    unseen = p_above(differences, -TOLERANCE, lowest=-1.0, draws=replicates.size)
    return max(p, min(unseen, _better(replicates, differences, shares=True)))


def part_p_values(
    replicates: Floats,
    log_speedup: Floats,
    differences: Floats,
    *,
    shares: bool = True,
    said: frozenset[str] = frozenset(PARTS),
) -> Floats:
    """p-values of `PARTS` for one setting, (6,), NaN where that side was not measured.

    Args:
        replicates: (replicates,) mean quality of the setting minus that of AR.
        log_speedup: (replicates,) log of AR seconds over the setting's seconds.
        differences: (documents,) quality of the setting minus that of AR, scored documents only;
            where documents come in clusters, (clusters,) their means.
        shares: Whether the scores lie between 0 and 1.
        said: The parts on quality that these scores can show at all; the others are NaN.
    """
    found = {
        "no worse": _no_worse(replicates, differences, shares=shares),
        "no better": _no_worse(-replicates, -differences, shares=shares),
        "worse": _better(-replicates, -differences, shares=shares),
        "better": _better(replicates, differences, shares=shares),
    }
    quality = [p if part in said else np.nan for part, p in found.items()]
    return np.array([*quality, not_above(log_speedup, 0.0), not_above(-log_speedup, 0.0)])


def verdicts(p_values: Floats) -> list[Verdict]:
    """What the parts that survive Holm's correction, over all settings and parts, say of each.

    Args:
        p_values: (settings, 6) from `part_p_values`.
    """
    adjusted = holm(p_values.ravel()).reshape(p_values.shape)
    chosen: list[Verdict] = []
    for row in adjusted:
        holding = {part for part, p in zip(PARTS, row, strict=True) if p <= LEVEL}
        said = (name for name, parts in CLAIMS.items() if parts <= holding)
        chosen.append(next(said, "not separable"))
    return chosen
