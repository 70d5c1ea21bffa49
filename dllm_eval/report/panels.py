"""Which small panels a report's figures consist of.

Chooses suites, machines and rows; draws nothing itself. Called by `figures.py`.
"""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial

from matplotlib.axes import Axes

from dllm_eval.report import advantage, load_words, text
from dllm_eval.report.batch_figure import batch_rows, draw_batches
from dllm_eval.report.cost_figure import COSTS, cost_rows, draw_cost
from dllm_eval.report.curve_figures import draw_dial, draw_time, on_panel, worked
from dllm_eval.report.frontier_figure import draw_frontier
from dllm_eval.report.length_figure import draw_lengths, length_rows
from dllm_eval.report.load_figure import NAMES as LOAD_AXES
from dllm_eval.report.load_figure import draw_load, load_curves_of
from dllm_eval.report.stress_figure import draw_stress, stress_rows
from dllm_eval.report.style import Look
from dllm_eval.stats.analysis import TaskAnalysis
from dllm_eval.stats.group import GroupAnalysis
from dllm_eval.stats.load_crossover import Axis, SuiteLoads
from dllm_eval.stats.stress import stress_suite


@dataclass(frozen=True, kw_only=True)
class Panel:
    """One of a figure's small multiples."""

    analysis: TaskAnalysis
    group: GroupAnalysis
    members: tuple[int, ...]
    """The rows drawn."""
    x: str
    """The name of its horizontal axis."""
    draw: Callable[[Axes], None]
    note: str = ""
    """What the panel shows, in words, below its title."""
    y: str = ""
    """The name of its vertical axis, where it is not that of the whole figure."""
    title: str = ""
    """Where it is not the suite, and the machine of several."""


def seconds_name(analysis: TaskAnalysis) -> str:
    """What a frontier's horizontal axis counts."""
    return f"p50 latency per {text.unit(analysis)}"


def _groups(analyses: Sequence[TaskAnalysis]) -> list[tuple[TaskAnalysis, GroupAnalysis]]:
    return [(analysis, group) for analysis in analyses for group in analysis.groups]


def frontiers(analyses: Sequence[TaskAnalysis], look: dict[str, Look]) -> list[Panel]:
    """One for each suite, machine and stack."""

    def panel(a: TaskAnalysis, g: GroupAnalysis) -> Panel:
        draw = partial(draw_frontier, analysis=a, group=g, looks=look, label_size=8.0)
        bounds = text.bounds_note([a.rows[i] for i in g.members])
        x = seconds_name(a)
        return Panel(analysis=a, group=g, members=g.members, x=x, draw=draw, note=bounds)

    return [panel(a, g) for a, g in _groups(analyses) if g.curves]


def times(analyses: Sequence[TaskAnalysis], look: dict[str, Look]) -> list[Panel]:
    """Likewise, seconds against forwards, of the series whose forwards are known."""

    def panel(a: TaskAnalysis, g: GroupAnalysis) -> Panel:
        draw = partial(draw_time, analysis=a, group=g, looks=look)
        x = f"{text.work(a)} per {text.unit(a)}"
        silent = [i for i in g.members if math.isnan(a.rows[i].costs.nfe)]
        drawn = tuple(i for i in g.members if i not in silent) if _served(a) else g.members
        return Panel(analysis=a, group=g, members=drawn, x=x, draw=draw)

    known = [(a, g) for a, g in _groups(analyses) if any(worked(a, c) for c in g.curves)]
    return [panel(a, g) for a, g in known]


def _served(analysis: TaskAnalysis) -> bool:
    return any(row.configuration.placement.served for row in analysis.rows)


def silent_series(analyses: Sequence[TaskAnalysis]) -> str:
    """Which timed series stand in no figure by forwards, because a server does not report them."""
    found = {
        f"{curve.series} ({analysis.rows[curve.members[0]].configuration.placement.words})"
        for analysis, group in _groups(analyses)
        for curve in group.curves
        if len(worked(analysis, curve)) < len(curve.members) and _served(analysis)
    }
    told = ", ".join(sorted(found))
    return f"Not drawn, as their servers report no forward passes: {told}." if told else ""


def dials(analyses: Sequence[TaskAnalysis], look: dict[str, Look]) -> list[Panel]:
    """One panel for each dial of a suite: steps and thresholds share no axis."""

    def panel(a: TaskAnalysis, g: GroupAnalysis, dial: str) -> Panel:
        draw = partial(draw_dial, analysis=a, group=g, looks=look, dial=dial)
        own = tuple(i for i in g.members if on_panel(a.rows[i], dial))
        bounds = text.bounds_note([a.rows[i] for i in own])
        x = dial.replace("_", " ")
        return Panel(analysis=a, group=g, members=own, x=x, draw=draw, note=bounds)

    out = []
    for a, g in _groups(analyses):
        own = {a.rows[i].configuration.dial for i in g.members}
        out += [panel(a, g, dial) for dial in text.dials(a) if dial in own]
    return out


def batches(analyses: Sequence[TaskAnalysis], look: dict[str, Look]) -> list[Panel]:
    """Of the suites that were timed at several batch sizes."""

    def panel(a: TaskAnalysis, g: GroupAnalysis) -> Panel:
        draw = partial(draw_batches, analysis=a, group=g, looks=look)
        note = advantage.batch_note(a, g.place)
        rows = batch_rows(a, g)
        return Panel(analysis=a, group=g, members=rows, x="batch size", draw=draw, note=note)

    return [panel(a, g) for a, g in _groups(analyses) if batch_rows(a, g)]


def lengths(analyses: Sequence[TaskAnalysis], look: dict[str, Look]) -> list[Panel]:
    """Of the suites whose answers differ in length."""

    def panel(a: TaskAnalysis, g: GroupAnalysis) -> Panel:
        draw = partial(draw_lengths, analysis=a, group=g, looks=look)
        note = advantage.length_note(a, g.place)
        rows = length_rows(a, g)
        x = "visible tokens of the answer"
        return Panel(analysis=a, group=g, members=rows, x=x, draw=draw, note=note)

    return [panel(a, g) for a, g in _groups(analyses) if length_rows(a, g)]


def loads(found: Sequence[SuiteLoads], look: dict[str, Look]) -> list[Panel]:
    """Two for each suite and machine that was run under load: in flight, and arriving."""

    def panel(own: SuiteLoads, machine: str, axis: Axis) -> Panel:
        rows = tuple(x.row for x in load_curves_of(own, machine, axis))
        place = own.analysis.rows[rows[0]].configuration.group
        x, y = LOAD_AXES[axis]
        return Panel(
            analysis=own.analysis,
            group=next(g for g in own.analysis.groups if g.place == place),
            members=rows,
            x=x,
            y=y,
            draw=partial(draw_load, loads=own, machine=machine, axis=axis, looks=look),
            note=" ".join(load_words.sentences(own, machine, axis)),
            title=f"{own.analysis.table.suite}\n{machine}",
        )

    return [
        panel(own, machine, axis)
        for own in found
        for machine in own.machines
        for axis in LOAD_AXES
        if load_curves_of(own, machine, axis)
    ]


def costs(analyses: Sequence[TaskAnalysis], look: dict[str, Look]) -> list[Panel]:
    """A panel for each cost that was measured of at least two settings."""
    out = []
    for a, g in _groups(analyses):
        for cost in COSTS.values():
            rows = cost_rows(a, g, cost)
            if len(rows) > 1:
                draw = partial(draw_cost, analysis=a, group=g, looks=look, cost=cost)
                x = cost.title.format(unit=text.unit(a))
                note = text.bounds_note([a.rows[i] for i in rows])
                out.append(Panel(analysis=a, group=g, members=rows, x=x, draw=draw, note=note))
    return out


def stress(analyses: Sequence[TaskAnalysis], look: dict[str, Look]) -> list[Panel]:
    """Of the parallel-decoding suites."""
    out = []
    for a, g in _groups(analyses):
        suite = stress_suite(a.table)
        rows = () if suite is None else stress_rows(suite, g)
        if suite is not None and rows:
            draw = partial(draw_stress, table=a.table, suite=suite, group=g, looks=look)
            x = "tokens per forward pass"
            out.append(Panel(analysis=a, group=g, members=rows, x=x, draw=draw))
    return out
