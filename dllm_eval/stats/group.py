"""The settings of one suite whose seconds may be compared: curves, areas and speed-ups.

One machine and stack at a time. Pure numbers; called by `analysis.py`.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from dllm_eval.stats.acceptable import Acceptable
from dllm_eval.stats.aup import Aup
from dllm_eval.stats.band import attained_band
from dllm_eval.stats.hypervolume import ReferencePoint, hypervolume
from dllm_eval.stats.points import Points
from dllm_eval.stats.resample import UNKNOWN, Floats, Interval, bias_corrected_interval
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
    """(budgets,) 90 % pointwise confidence band of the attained quality; NaN where nothing is
    attained, and throughout where a row was timed on one request."""
    band_high: Floats
    hypervolume: float
    hypervolume_interval: Interval
    aup: Aup | None = None
    """Of generation; its y_max is over all settings of the suite."""
    acceptable: Acceptable | None = None
    """Its rows are those of the suite's table; None for a series of one setting."""


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


def group_analysis(table: TaskTable, name: str, points: Points) -> GroupAnalysis:
    """That of the configurations whose machine and stack have this name."""
    members = [i for i, x in enumerate(table.configurations) if x.group == name]
    return group_of(table, members, table.configurations[members[0]].stack, points)


def group_of(table: TaskTable, members: Sequence[int], stack: str, points: Points) -> GroupAnalysis:
    """That of these configurations, whose seconds compare.

    Args:
        table: The suite.
        members: Rows of one machine.
        stack: What the group calls its stack.
        points: Where the rows stand.
    """
    configurations = table.configurations
    timed = [i for i in members if not np.isnan(points.latency_s[i])]
    rivals = [i for i in timed if configurations[i].kind == "autoregressive"]
    reference = None
    # An area needs a corner, and where there is no level of chance quality has none.
    if rivals and points.busy.isdisjoint(rivals) and np.isfinite(table.chance):
        slowest = float(points.latency_s[rivals].max())
        reference = ReferencePoint(latency_s=2.0 * slowest, quality=table.chance)
    curves = []
    for series in sorted({configurations[i].series for i in timed}):
        own = [i for i in timed if configurations[i].series == series]
        curves.append(_curve(table, own, points, reference))
    speedups = {}
    for model in sorted({configurations[i].model for i in set(timed) - set(rivals)}):
        own = [i for i in timed if configurations[i].model == model]
        speedup = speedup_of(points, own, rivals)
        if speedup is not None:
            speedups[model] = speedup
    return GroupAnalysis(
        machine=configurations[members[0]].machine,
        stack=stack,
        members=tuple(members),
        reference=reference,
        curves=tuple(curves),
        speedups=speedups,
    )


def speedup_of(points: Points, own: list[int], rivals: list[int]) -> MatchedSpeedup | None:
    """That of one diffusion model's timed rows over the timed AR rows; None where nothing is said.

    Args:
        points: Of the suite.
        own: Rows of the diffusion model.
        rivals: AR rows, whose seconds compare with these.
    """
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
    points: Points,
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
        band = attained_band(table.quality[own], draws[1], draws[0], grid, clusters=table.clusters)
        low, high = band.low, band.high
    if reference is not None and points.busy.isdisjoint(own):
        area = float(hypervolume(latency, quality, reference))
        if spread_known:
            interval = bias_corrected_interval(hypervolume(*draws, reference), area)
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
