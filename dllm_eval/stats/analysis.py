"""Everything the report says about one suite, computed once.

Puts the pieces of this package together: one row per setting, and per machine and stack the
frontier, its band, hypervolume and matched-quality speed-up. Knows no file format and no figure.
Called by `report/`.
"""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import pandas as pd

from dllm_eval.stats.compare import Comparison, compare_with_autoregressive
from dllm_eval.stats.contention import busy_rows
from dllm_eval.stats.costs import costs
from dllm_eval.stats.frontier import attained_band, frontier_probability, on_frontier
from dllm_eval.stats.hypervolume import ReferencePoint, hypervolume
from dllm_eval.stats.looseness import looseness
from dllm_eval.stats.noise import noise
from dllm_eval.stats.resample import (
    REPLICATES,
    UNKNOWN,
    Flags,
    Floats,
    Interval,
    document_weights,
    mean_replicates,
    median_replicates,
    percentile_interval,
    quality_interval,
)
from dllm_eval.stats.row import Row
from dllm_eval.stats.speedup import MatchedSpeedup, matched_speedup
from dllm_eval.stats.tables import TaskTable, place

GRID_POINTS = 160


@dataclass(frozen=True, kw_only=True, eq=False)
class Curve:
    """The frontier of one series on one machine and stack."""

    series: str
    composition: str
    model: str
    kind: str
    members: tuple[int, ...]
    """Its rows in the suite's table."""
    grid_s: Floats
    band_low: Floats
    """(budgets,) 90 % pointwise band of the attained quality; NaN where nothing is attained, and
    throughout where a row was timed on one request."""
    band_high: Floats
    hypervolume: float
    hypervolume_interval: Interval


@dataclass(frozen=True, kw_only=True, eq=False)
class GroupAnalysis:
    """The settings whose seconds may be compared: one machine, one stack."""

    machine: str
    stack: str
    members: tuple[int, ...]
    """Its rows in the suite's table."""
    reference: ReferencePoint | None
    """Of the hypervolumes; None where no AR model was timed."""
    curves: tuple[Curve, ...]
    speedups: Mapping[str, MatchedSpeedup]
    """Of each diffusion model with all its series; without those where no AR model was timed on
    this machine and stack, or AR or all of the model's rows were timed on a busy machine."""

    @property
    def place(self) -> str:
        """The machine and stack in one line."""
        return place(self.machine, self.stack)


@dataclass(frozen=True, kw_only=True, eq=False)
class TaskAnalysis:
    """One suite: its table, one row per configuration, and its groups."""

    table: TaskTable
    rows: tuple[Row, ...]
    groups: tuple[GroupAnalysis, ...]

    @property
    def likelihood(self) -> bool:
        """Whether requests were scored, not generated."""
        return any(row.costs.estimator for row in self.rows)


@dataclass(frozen=True, kw_only=True, eq=False)
class _Points:
    """Point estimates (configurations,) and replicates (replicates, configurations)."""

    latency_s: Floats
    quality: Floats
    latency_replicates: Floats
    quality_replicates: Floats
    busy: frozenset[int]
    """Configurations that a busy machine held up."""


def analyse(table: TaskTable, *, seed: int = 0, replicates: int = REPLICATES) -> TaskAnalysis:
    """All statistics of one suite; the same table and seed give the same numbers."""
    generator = np.random.default_rng(seed)
    points = _points(table, replicates, generator)
    names = sorted({x.group for x in table.configurations})
    groups = tuple(_group(table, name, points) for name in names)
    compared = compare_with_autoregressive(table, busy=points.busy, generator=generator)
    flags = _frontier_flags(groups, points)
    by_cell = {str(cell): part for cell, part in table.requests.groupby("cell_id")}
    rows = tuple(
        _row(table, i, points, flags, compared.get(i), by_cell)
        for i in range(len(table.configurations))
    )
    return TaskAnalysis(table=table, rows=rows, groups=groups)


def _points(table: TaskTable, replicates: int, generator: np.random.Generator) -> _Points:
    weights = document_weights(len(table.documents), replicates=replicates, generator=generator)
    draws = [
        median_replicates(x, replicates=replicates, generator=generator) for x in table.latencies_s
    ]
    return _Points(
        latency_s=np.array([np.median(x) if len(x) else np.nan for x in table.latencies_s]),
        quality=np.nanmean(table.quality, axis=1),
        latency_replicates=np.stack(draws, axis=1),
        quality_replicates=mean_replicates(table.quality, weights),
        busy=busy_rows(table),
    )


@dataclass(frozen=True, kw_only=True, eq=False)
class _FrontierFlags:
    """Where each row stands among all series of its group and among its own series' rows."""

    overall: Flags
    own: Flags
    probability: Floats


def _frontier_flags(groups: tuple[GroupAnalysis, ...], points: _Points) -> _FrontierFlags:
    overall = np.zeros(points.quality.shape, dtype=np.bool_)
    own, probability = overall.copy(), np.full(points.quality.shape, np.nan)
    for group in groups:
        timed = [i for curve in group.curves for i in curve.members if i not in points.busy]
        overall[timed] = on_frontier(points.latency_s[timed], points.quality[timed])
        sure = [i for i in timed if not np.isnan(points.latency_replicates[:, i]).any()]
        probability[sure] = frontier_probability(
            points.latency_replicates[:, sure], points.quality_replicates[:, sure]
        )
        for curve in group.curves:
            members = list(curve.members)
            own[members] = on_frontier(points.latency_s[members], points.quality[members])
    return _FrontierFlags(overall=overall, own=own, probability=probability)


def _row(
    table: TaskTable,
    i: int,
    points: _Points,
    flags: _FrontierFlags,
    comparison: Comparison | None,
    by_cell: Mapping[str, pd.DataFrame],
) -> Row:
    seconds, configuration = table.latencies_s[i], table.configurations[i]
    own = table.requests[table.requests["cell_id"].isin(configuration.quality_cells)]
    return Row(
        configuration=configuration,
        num_documents=int((~np.isnan(table.quality[i])).sum()),
        quality=float(points.quality[i]),
        quality_interval=quality_interval(table.quality[i], points.quality_replicates[:, i]),
        noise=noise(own, table.quality[i], table.gold, table.metric),
        looseness=looseness(own),
        num_timed=len(seconds),
        latency_s=float(points.latency_s[i]),
        latency_interval=percentile_interval(points.latency_replicates[:, i]),
        busy=i in points.busy,
        on_frontier=bool(flags.overall[i]),
        on_own_frontier=bool(flags.own[i]),
        p_frontier=float(flags.probability[i]),
        costs=costs(configuration, by_cell, table.unit),
        comparison=comparison,
    )


def _group(table: TaskTable, name: str, points: _Points) -> GroupAnalysis:
    configurations = table.configurations
    members = [i for i, x in enumerate(configurations) if x.group == name]
    timed = [i for i in members if not np.isnan(points.latency_s[i])]
    rivals = [i for i in timed if configurations[i].kind == "autoregressive"]
    reference = None
    if rivals and points.busy.isdisjoint(rivals):
        slowest = float(points.latency_s[rivals].max())
        reference = ReferencePoint(latency_s=2.0 * slowest, quality=table.chance)
    curves = []
    for series in sorted({configurations[i].series for i in timed}):
        own = [i for i in timed if configurations[i].series == series]
        curves.append(_curve(table, own, points, reference))
    speedups = {}
    for model in sorted({configurations[i].model for i in set(timed) - set(rivals)}):
        own = [i for i in timed if configurations[i].model == model]
        speedup = _speedup(points, own, rivals)
        if speedup is not None:
            speedups[model] = speedup
    return GroupAnalysis(
        machine=configurations[members[0]].machine,
        stack=configurations[members[0]].stack,
        members=tuple(members),
        reference=reference,
        curves=tuple(curves),
        speedups=speedups,
    )


def _speedup(points: _Points, own: list[int], rivals: list[int]) -> MatchedSpeedup | None:
    idle = [i for i in own if i not in points.busy]
    # Leaving out an AR row could lower the quality to match, so all of them must be idle.
    if not rivals or not idle or not points.busy.isdisjoint(rivals):
        return None
    return matched_speedup(
        latency_s=points.latency_s,
        quality=points.quality,
        latency_replicates=points.latency_replicates,
        quality_replicates=points.quality_replicates,
        diffusion=idle,
        autoregressive=rivals,
    )


def _curve(
    table: TaskTable,
    own: list[int],
    points: _Points,
    reference: ReferencePoint | None,
) -> Curve:
    first = table.configurations[own[0]]
    latency, quality = points.latency_s[own], points.quality[own]
    draws = points.latency_replicates[:, own], points.quality_replicates[:, own]
    grid = np.geomspace(latency.min() * 0.8, latency.max() * 1.5, GRID_POINTS)
    low = high = np.full(GRID_POINTS, np.nan)
    area, interval = np.nan, UNKNOWN
    spread_known = not bool(np.isnan(draws[0]).any())
    if spread_known:
        low, high = attained_band(*draws, grid)
    if reference is not None and points.busy.isdisjoint(own):
        area = float(hypervolume(latency, quality, reference))
        if spread_known:
            interval = percentile_interval(hypervolume(*draws, reference))
    return Curve(
        series=first.series,
        composition=first.composition,
        model=first.model,
        kind=first.kind,
        members=tuple(own),
        grid_s=grid,
        band_low=low,
        band_high=high,
        hypervolume=area,
        hypervolume_interval=interval,
    )
