"""Each diffusion setting of a suite against the best AR row, with Holm over all of them.

Chooses the row to compare with, draws paired replicates, asks `paired.py` for verdicts. Called by
`analysis.py` and `best_stack.py`.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from dllm_eval.stats.bounds import may_be_said
from dllm_eval.stats.clusters import unit_means
from dllm_eval.stats.latency_draws import LatencyDraws
from dllm_eval.stats.paired import (
    PARTS,
    Verdict,
    holm,
    mcnemar,
    part_p_values,
    verdicts,
)
from dllm_eval.stats.paired_gap import gap_of
from dllm_eval.stats.points import Points, latency_draws
from dllm_eval.stats.resample import (
    REPLICATES,
    Floats,
    Interval,
    percentile_interval,
    resampled_means,
)
from dllm_eval.stats.speedup import POINT
from dllm_eval.stats.tables import TaskTable

REPLICATES_PER_PART = 40
"""Holm multiplies p by the number of parts; 40 replicates for each keep p < 5 % reachable."""


@dataclass(frozen=True, kw_only=True)
class Comparison:
    """One diffusion setting next to the best AR row. Intervals are 95 %."""

    rival: int
    """The AR row's index in the suite's table."""
    difference: float
    """Quality minus that of AR, over the documents both scored."""
    difference_interval: Interval
    latency_ratio: float
    """AR seconds over this row's: above 1 this row is faster. NaN across machines or stacks, for
    a single timed request, and where the machine was busy."""
    latency_ratio_interval: Interval
    mcnemar_p: float
    """Holm-adjusted; NaN unless scores are 0/1 and documents independent."""
    verdict: Verdict


@dataclass(frozen=True, kw_only=True, eq=False)
class _Draws:
    """Replicates (replicates,) of one pair of rows."""

    row: int
    rival: int
    difference: Floats
    log_speedup: Floats
    busy: bool


def compare_with_autoregressive(
    table: TaskTable, found: Points, *, generator: np.random.Generator
) -> dict[int, Comparison]:
    """Row index -> comparison, for every diffusion row that has an AR row to compare with.

    Args:
        table: The suite.
        found: Where its rows stand; which are busy, and how rounds differ.
        generator: Of the resamples.
    """
    pairs = [
        (i, rival)
        for i, x in enumerate(table.configurations)
        if x.kind == "diffusion" and (rival := rival_of(table, x.group)) is not None
    ]
    return compare_pairs(table, found, pairs, generator=generator)


def compare_pairs(
    table: TaskTable,
    found: Points,
    pairs: Sequence[tuple[int, int]],
    *,
    generator: np.random.Generator,
    across_stacks: bool = False,
) -> dict[int, Comparison]:
    """Row index -> comparison of each pair of a diffusion row and the AR row it is held against.

    Args:
        table: The suite.
        found: Where its rows stand.
        pairs: Both rows' indices.
        generator: Of the resamples.
        across_stacks: Whether seconds compare between stacks of one machine; else within a stack
            alone. They never compare between machines.
    """
    if not pairs:
        return {}
    replicates = max(REPLICATES, REPLICATES_PER_PART * len(PARTS) * len(pairs))
    gaps = np.stack([table.quality[i] - table.quality[rival] for i, rival in pairs])
    differences = resampled_means(
        gaps, replicates=replicates, generator=generator, clusters=table.clusters
    )
    latencies = LatencyDraws(found.rounds, replicates=replicates, generator=generator)
    draws = [
        _draw(
            table,
            (i, rival),
            differences[:, n],
            found,
            latencies,
            same_place=_same_place(table, i, rival, across_stacks=across_stacks),
        )
        for n, (i, rival) in enumerate(pairs)
    ]
    chosen = verdicts(np.stack([_parts(table, x) for x in draws]))
    mcnemar_p = holm(np.array([_mcnemar(table, i, j) for i, j in pairs]))
    return {
        x.row: _comparison(table, x, float(p), verdict)
        for x, p, verdict in zip(draws, mcnemar_p, chosen, strict=True)
    }


def best_autoregressive(table: TaskTable, group: str) -> int | None:
    """The AR row of the highest quality in a group, the fastest of equals.

    Of any group where this one has none: quality still compares, seconds then do not.
    """
    rivals = [i for i, x in enumerate(table.configurations) if x.kind == "autoregressive"]
    near = [i for i in rivals if table.configurations[i].group == group]
    # Seconds of different places decide nothing, not even between equals.
    return _best(table, near, by_seconds=True) if near else _best(table, rivals, by_seconds=False)


def rival_of(table: TaskTable, group: str) -> int | None:
    """The AR row that rows of a group are held against: `best_autoregressive` at its best tier."""
    best = best_autoregressive(table, group)
    if best is None or table.configurations[best].group != group:
        return best
    return best_tier(
        table, best, [i for i, x in enumerate(table.configurations) if x.group == group]
    )


def best_tier(table: TaskTable, best: int, among: Sequence[int]) -> int:
    """The fastest AR row of the same model that scores within a point of `best`.

    Tiers of one model decode the same thing; a document that rounding decided must not bring the
    slow one in. The row itself where its records name no tier.
    """
    x = table.configurations[best]
    if not x.tier:
        return best
    floor = _quality(table, best) - POINT - 1e-9
    alike = [
        i
        for i in among
        if table.configurations[i].kind == x.kind
        and table.configurations[i].model == x.model
        and table.configurations[i].tier
        and len(table.latencies_s[i])
        and _quality(table, i) >= floor
    ]
    return min(alike, key=lambda i: _median(table.latencies_s[i]), default=best)


def best_of(table: TaskTable, rows: Sequence[int]) -> int | None:
    """The row of the highest quality, the fastest of equals, of rows whose seconds compare."""
    return _best(table, rows, by_seconds=True)


def _best(table: TaskTable, rows: Sequence[int], *, by_seconds: bool) -> int | None:
    def rank(i: int) -> tuple[float, float]:
        seconds = table.latencies_s[i]
        known = by_seconds and len(seconds)
        return -_quality(table, i), _median(seconds) if known else np.inf

    return min(rows, key=rank, default=None)


def _quality(table: TaskTable, i: int) -> float:
    return float(np.nanmean(table.quality[i]))


def _same_place(table: TaskTable, row: int, rival: int, *, across_stacks: bool) -> bool:
    own, other = table.configurations[row], table.configurations[rival]
    if across_stacks:
        together = own.of_this_machine and other.of_this_machine
        return together and own.machine == other.machine
    return own.group == other.group


def _draw(
    table: TaskTable,
    pair: tuple[int, int],
    difference: Floats,
    found: Points,
    latencies: LatencyDraws,
    *,
    same_place: bool,
) -> _Draws:
    row, rival = pair
    log_speedup = np.full(len(difference), np.nan)
    held_up = not found.busy.isdisjoint(pair)
    if same_place and not held_up:
        slow, fast = latency_draws(table, (rival, row), latencies)
        log_speedup = np.log(slow) - np.log(fast)
    return _Draws(
        row=row,
        rival=rival,
        difference=difference,
        log_speedup=log_speedup,
        busy=same_place and held_up,
    )


def _parts(table: TaskTable, draws: _Draws) -> Floats:
    gap = unit_means(table.quality[draws.row] - table.quality[draws.rival], table.clusters)
    scores = table.quality[[draws.row, draws.rival]]
    return part_p_values(
        draws.difference,
        draws.log_speedup,
        gap[~np.isnan(gap)],
        shares=not bool(((scores < 0.0) | (scores > 1.0)).any()),
        said=may_be_said(table, draws.row, draws.rival),
    )


def _mcnemar(table: TaskTable, row: int, rival: int) -> float:
    """NaN where documents are not independent, as the test takes them to be."""
    if table.clusters is not None:
        return float("nan")
    return mcnemar(table.quality[row], table.quality[rival])


def _comparison(table: TaskTable, draws: _Draws, p: float, verdict: Verdict) -> Comparison:
    differences = table.quality[draws.row] - table.quality[draws.rival]
    gap = gap_of(differences, draws.difference, table.clusters)
    seconds = [_median(table.latencies_s[i]) for i in (draws.rival, draws.row)]
    comparable = not np.isnan(draws.log_speedup).any()
    return Comparison(
        rival=draws.rival,
        difference=gap.difference,
        difference_interval=gap.interval,
        latency_ratio=seconds[0] / seconds[1] if comparable else np.nan,
        latency_ratio_interval=percentile_interval(np.exp(draws.log_speedup)),
        mcnemar_p=p,
        verdict="machine was busy" if draws.busy else verdict,
    )


def _median(seconds: Floats) -> float:
    return float(np.median(seconds)) if len(seconds) else np.nan
