"""From which load on AR is ahead: a diffusion setting beside the best AR row, level by level.

Only settings that match the AR quality, only rows of one machine that ran there for this sweep,
and only at levels that both were run at. Called by the report; `load.py` has the numbers.
"""

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Literal

import pandas as pd

from dllm_eval.stats.analysis import TaskAnalysis
from dllm_eval.stats.load import LoadCurve, load_curves
from dllm_eval.stats.load_point import LoadPoint
from dllm_eval.stats.resample import Interval
from dllm_eval.stats.speedup import POINT

Axis = Literal["in_flight", "arrivals"]
"""Compared by visible tokens per second, or by p90 seconds at equal offered rates."""
Lead = Literal["ahead", "behind", "open"]
"""Of the diffusion setting; "open" where the two cannot be told apart."""
ROUNDING = 1e-9
"""Far below any difference in quality: 1 - 0.01 is not quite 0.99 in floating point."""


@dataclass(frozen=True, kw_only=True)
class LoadLevel:
    """Both at one load."""

    at: float
    """Requests in flight, or arrivals per second."""
    own: LoadPoint
    rival: LoadPoint
    rival_curve: LoadCurve
    """The best AR row at this load: tiers of AR may change places."""
    lead: Lead


@dataclass(frozen=True, kw_only=True)
class LoadCrossover:
    """One diffusion setting beside AR along one axis."""

    curve: LoadCurve
    axis: Axis
    levels: tuple[LoadLevel, ...]
    """Ascending."""
    first: bool
    """Whether, of its model's settings on this machine, it is the best at its lowest load."""

    @property
    def behind_from(self) -> float | None:
        """The load from which AR is ahead at every level; None where it is not at the highest."""
        start = None
        for level in reversed(self.levels):
            if level.lead != "behind":
                break
            start = level.at
        return start


@dataclass(frozen=True, kw_only=True, eq=False)
class SuiteLoads:
    """One suite under load."""

    analysis: TaskAnalysis
    curves: tuple[LoadCurve, ...]
    crossovers: tuple[LoadCrossover, ...]

    @property
    def machines(self) -> tuple[str, ...]:
        """Those that ran models for this sweep first, then servers."""
        found = {(not x.placement.started_here, x.machine) for x in self.curves}
        return tuple(dict.fromkeys(name for _, name in sorted(found)))

    def lead(self, curve: LoadCurve, point: LoadPoint) -> LoadLevel | None:
        """What is said of a diffusion setting at one load; None where nothing is compared."""
        own = (x for x in self.crossovers if x.curve is curve)
        return next((y for x in own for y in x.levels if y.own is point), None)


def suite_loads(
    analyses: Sequence[TaskAnalysis], cells: pd.DataFrame, requests: pd.DataFrame
) -> tuple[SuiteLoads, ...]:
    """The suites that were run under load; () where none was."""
    found = [(analysis, load_curves(analysis, cells, requests)) for analysis in analyses]
    return tuple(
        SuiteLoads(analysis=analysis, curves=curves, crossovers=load_crossovers(analysis, curves))
        for analysis, curves in found
        if curves
    )


def load_crossovers(
    analysis: TaskAnalysis, curves: Sequence[LoadCurve]
) -> tuple[LoadCrossover, ...]:
    """Of every diffusion setting that matches the best AR quality on its machine.

    Rows that were timed on a busy machine, as their latency cells say, are left out: runs under
    load do not say themselves.
    """
    idle = [x for x in curves if not analysis.rows[x.row].busy]
    here = [x for x in idle if x.placement.started_here and x.machine]
    return tuple(
        crossover
        for machine in sorted({x.machine for x in here})
        for axis in _AXES
        for crossover in _of_machine(analysis, [x for x in here if x.machine == machine], axis)
    )


_AXES: tuple[Axis, ...] = ("in_flight", "arrivals")


def _of_machine(
    analysis: TaskAnalysis, curves: Sequence[LoadCurve], axis: Axis
) -> list[LoadCrossover]:
    rows = analysis.rows
    kinds = {x: rows[x.row].configuration.kind for x in curves}
    rivals = [x for x in curves if kinds[x] == "autoregressive" and rows[x.row].above_chance]
    if not rivals:
        return []
    floor = max(rows[x.row].quality for x in rivals) - POINT - ROUNDING
    matched = [x for x in rivals if rows[x.row].quality >= floor]
    own = [x for x in curves if kinds[x] == "diffusion" and rows[x.row].quality >= floor]
    found = [(x, _levels(x, matched, axis)) for x in own]
    found = [(x, levels) for x, levels in found if levels]
    best: dict[str, LoadCurve] = {}
    for curve, _ in sorted(found, key=lambda x: (x[1][0].at, _worse(x[1][0].own, axis))):
        best.setdefault(rows[curve.row].configuration.model, curve)
    return [
        LoadCrossover(curve=x, axis=axis, levels=levels, first=x in best.values())
        for x, levels in found
    ]


def points_of(curve: LoadCurve, axis: Axis) -> tuple[LoadPoint, ...]:
    """Those of one axis, ascending."""
    return curve.closed if axis == "in_flight" else curve.arrivals


def _levels(curve: LoadCurve, rivals: Iterable[LoadCurve], axis: Axis) -> tuple[LoadLevel, ...]:
    out = []
    marks = [(x, y) for x in rivals for y in points_of(x, axis) if not math.isnan(_worse(y, axis))]
    for own in points_of(curve, axis):
        beside = [(x, y) for x, y in marks if y.level == own.level]
        if not beside or math.isnan(_worse(own, axis)):
            continue
        other, rival = min(beside, key=lambda x: (x[1].saturated, _worse(x[1], axis)))
        lead = _lead(own, rival, axis)
        out.append(LoadLevel(at=own.level, own=own, rival=rival, rival_curve=other, lead=lead))
    return tuple(out)


def _worse(point: LoadPoint, axis: Axis) -> float:
    """The amount compared; less is better."""
    return -point.visible_tokens_per_s if axis == "in_flight" else point.p90_s


def _lead(own: LoadPoint, rival: LoadPoint, axis: Axis) -> Lead:
    if axis == "in_flight":
        return _apart(rival.tokens_interval, own.tokens_interval)
    if own.saturated != rival.saturated:
        return "behind" if own.saturated else "ahead"
    return _apart(own.p90_interval, rival.p90_interval)


def _apart(own: Interval, other: Interval) -> Lead:
    """By intervals of which the lower one is better; unknown ones are apart from nothing."""
    if own.high < other.low:
        return "ahead"
    return "behind" if other.high < own.low else "open"
