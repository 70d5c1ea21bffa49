"""All figures of a report: files in svg and png.

Lays out panels and legends; the panels themselves are in `frontier_figure.py` and
`curve_figures.py`. Called by `write.py`.
"""

import re
from collections.abc import Callable, Sequence
from pathlib import Path

from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from dllm_eval.report import text
from dllm_eval.report.curve_figures import draw_dial, draw_time
from dllm_eval.report.frontier_figure import draw_frontier
from dllm_eval.report.style import FAINT, INK, Look, applied, looks, save
from dllm_eval.stats.analysis import GroupAnalysis, TaskAnalysis
from dllm_eval.stats.tables import OWN_PROTOCOL

Panel = tuple[TaskAnalysis, GroupAnalysis]
AxisName = Callable[[TaskAnalysis], str]
DrawPanel = Callable[[Axes, TaskAnalysis, GroupAnalysis, dict[str, Look]], None]

READING = (
    "Numbers are values of the dial. Filled: on the frontier of all models; hollow: "
    "beaten by another model;\nfaded: beaten by its own. Band: 90 % bootstrap over documents and "
    "requests. Dotted: the AR score."
)


def write_figures(analyses: Sequence[TaskAnalysis], out: Path) -> list[Path]:
    """Draws frontier_<task> for every suite, then frontiers, dial and time; returns the files."""
    look = looks(
        [(x.model, x.kind) for analysis in analyses for x in analysis.table.configurations]
    )
    paths = []
    with applied():
        for analysis in analyses:
            for number, group in enumerate(analysis.groups):
                if group.curves:
                    name = frontier_name(analysis, number)
                    paths += save(_single(analysis, group, look), out, name)
        timed = [(a, g) for a in analyses for g in a.groups if g.curves]
        panels = [(a, g) for a in analyses for g in a.groups]
        dials = [(a, g) for a, g in panels if any(a.rows[i].configuration.dial for i in g.members)]
        if timed:
            figure = _grid(timed, look, _small_frontier, _seconds, "quality")
            paths += save(figure, out, "frontiers")
            time = _grid(timed, look, draw_time, _work, "p50 seconds")
            paths += save(time, out, "time")
        if dials:
            paths += save(_grid(dials, look, draw_dial, text.dial_name, "quality"), out, "dial")
    return paths


def frontier_name(analysis: TaskAnalysis, number: int) -> str:
    """The file name, without its ending, of a suite's figure for its n-th machine and stack."""
    asked = "" if analysis.table.protocol == OWN_PROTOCOL else f"_{analysis.table.protocol}"
    safe = re.sub(r"[^A-Za-z0-9_.-]+", "_", analysis.table.task + asked)
    return f"frontier_{safe}" if number == 0 else f"frontier_{safe}_{number + 1}"


def _small_frontier(
    axes: Axes, analysis: TaskAnalysis, group: GroupAnalysis, look: dict[str, Look]
) -> None:
    draw_frontier(axes, analysis, group, look, label_size=8.0)


def _single(analysis: TaskAnalysis, group: GroupAnalysis, look: dict[str, Look]) -> Figure:
    figure = Figure(figsize=(7.4, 4.9))
    FigureCanvasAgg(figure)
    axes = figure.add_axes((0.115, 0.225, 0.86, 0.645))
    axes.set_xlabel(f"{_seconds(analysis)}, batch size 1 ({group.machine})")
    axes.set_ylabel(f"quality ({analysis.table.metric})")
    draw_frontier(axes, analysis, group, look)
    figure.text(0.115, 0.945, analysis.table.suite, fontsize=13, weight="bold", color=INK)
    figure.text(0.115, 0.02, READING, fontsize=7.6, color=FAINT, va="bottom", linespacing=1.4)
    models = [curve.model for curve in group.curves]
    figure.legend(
        handles=_handles(models, look), loc="lower left", ncols=4, bbox_to_anchor=(0.105, 0.868)
    )
    return figure


def _grid(
    panels: Sequence[Panel], look: dict[str, Look], draw: DrawPanel, x: AxisName, y: str
) -> Figure:
    """Small multiples, at most three to a row; `x` names a panel's axis."""
    columns = min(3, len(panels))
    rows = -(-len(panels) // columns)
    width, height = 3.55 * columns + 0.2, 2.95 * rows + 0.75
    figure = Figure(figsize=(max(width, 4.6), height))
    FigureCanvasAgg(figure)
    models = sorted({a.rows[i].configuration.model for a, g in panels for i in g.members})
    figure.legend(
        handles=_handles(models, look),
        loc="upper center",
        ncols=4,
        bbox_to_anchor=(0.5, 1.0),
    )
    figure.subplots_adjust(
        left=0.72 / width,
        right=1 - 0.2 / width,
        top=1 - 0.72 / height,
        bottom=0.6 / height,
        wspace=0.3,
        hspace=0.46,
    )
    for number, (analysis, group) in enumerate(panels):
        axes = figure.add_subplot(rows, columns, number + 1)
        axes.tick_params(labelsize=8)
        draw(axes, analysis, group, look)
        axes.set_title(_title(analysis, group), fontsize=10, loc="left", color=INK)
        axes.set_xlabel(x(analysis), fontsize=8.5)
        if number % columns == 0:
            axes.set_ylabel(y, fontsize=8.5)
    return figure


def _seconds(analysis: TaskAnalysis) -> str:
    return f"p50 seconds per {text.unit(analysis)}"


def _work(analysis: TaskAnalysis) -> str:
    return f"{text.work(analysis)} per {text.unit(analysis)}"


def _title(analysis: TaskAnalysis, group: GroupAnalysis) -> str:
    if len(analysis.groups) == 1:
        return analysis.table.suite
    return f"{analysis.table.suite}\n{group.machine}"


def _handles(models: Sequence[str], look: dict[str, Look]) -> list[Line2D]:
    return [
        Line2D([], [], color=look[m].colour, marker=look[m].marker, label=m, linewidth=1.6)
        for m in models
    ]
