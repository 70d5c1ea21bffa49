"""All figures of a report: files in svg and png.

Lays out panels and legends; the panels themselves are in `frontier_figure.py` and
`curve_figures.py`. Called by `write.py`.
"""

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

from dllm_eval.report import legend, text
from dllm_eval.report.curve_figures import draw_dial, draw_time, on_panel
from dllm_eval.report.frontier_figure import draw_frontier
from dllm_eval.report.style import FAINT, INK, Look, applied, looks, save
from dllm_eval.stats.analysis import GroupAnalysis, TaskAnalysis
from dllm_eval.stats.tables import OWN_PROTOCOL

READING = (
    "Numbers are values of the dial. Filled: on the frontier of all models; hollow: "
    "beaten by another model;\nfaded: beaten by its own. Band: 90 % bootstrap over documents and "
    "requests. Dotted: the AR score."
)
READING_MANY = (
    "Numbers are values of a series' dial, written where there is room. Filled: on the frontier of "
    "all series; hollow: beaten by another series;\nfaded: beaten by its own. Dotted: the AR "
    "score. With so many series no bands are drawn: the leaderboard has the intervals."
)
_MARGIN_INCHES = (0.72, 0.6, 0.2, 0.72)
"""Left, bottom, right and top of a grid of panels."""


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


def write_figures(analyses: Sequence[TaskAnalysis], out: Path) -> list[Path]:
    """Draws frontier_<task> for every suite, then frontiers, dial and time; returns the files."""
    look = looks(
        [(x.series, x.kind) for analysis in analyses for x in analysis.table.configurations]
    )
    paths = []
    with applied():
        for analysis in analyses:
            for number, group in enumerate(analysis.groups):
                if group.curves:
                    name = frontier_name(analysis, number)
                    paths += save(_single(analysis, group, look), out, name)
        for name, panels, y in (
            ("frontiers", _frontiers(analyses, look), "quality"),
            ("time", _times(analyses, look), "p50 latency"),
            ("dial", _dials(analyses, look), "quality"),
        ):
            if panels:
                paths += save(_grid(panels, look, y), out, name)
    return paths


def _groups(analyses: Sequence[TaskAnalysis]) -> list[tuple[TaskAnalysis, GroupAnalysis]]:
    return [(analysis, group) for analysis in analyses for group in analysis.groups]


def _frontiers(analyses: Sequence[TaskAnalysis], look: dict[str, Look]) -> list[Panel]:
    def panel(a: TaskAnalysis, g: GroupAnalysis) -> Panel:
        draw = partial(draw_frontier, analysis=a, group=g, looks=look, label_size=8.0)
        return Panel(analysis=a, group=g, members=g.members, x=_seconds(a), draw=draw)

    return [panel(a, g) for a, g in _groups(analyses) if g.curves]


def _times(analyses: Sequence[TaskAnalysis], look: dict[str, Look]) -> list[Panel]:
    def panel(a: TaskAnalysis, g: GroupAnalysis) -> Panel:
        draw = partial(draw_time, analysis=a, group=g, looks=look)
        x = f"{text.work(a)} per {text.unit(a)}"
        return Panel(analysis=a, group=g, members=g.members, x=x, draw=draw)

    return [panel(a, g) for a, g in _groups(analyses) if g.curves]


def _dials(analyses: Sequence[TaskAnalysis], look: dict[str, Look]) -> list[Panel]:
    """One panel for each dial of a suite: steps and thresholds share no axis."""

    def panel(a: TaskAnalysis, g: GroupAnalysis, dial: str) -> Panel:
        draw = partial(draw_dial, analysis=a, group=g, looks=look, dial=dial)
        own = tuple(i for i in g.members if on_panel(a.rows[i], dial))
        return Panel(analysis=a, group=g, members=own, x=dial.replace("_", " "), draw=draw)

    out = []
    for a, g in _groups(analyses):
        own = {a.rows[i].configuration.dial for i in g.members}
        out += [panel(a, g, dial) for dial in text.dials(a) if dial in own]
    return out


def frontier_name(analysis: TaskAnalysis, number: int) -> str:
    """The file name, without its ending, of a suite's figure for its n-th machine and stack."""
    asked = "" if analysis.table.protocol == OWN_PROTOCOL else f"_{analysis.table.protocol}"
    safe = re.sub(r"[^A-Za-z0-9_.-]+", "_", analysis.table.task + asked)
    return f"frontier_{safe}" if number == 0 else f"frontier_{safe}_{number + 1}"


def _single(analysis: TaskAnalysis, group: GroupAnalysis, look: dict[str, Look]) -> Figure:
    shown = legend.listed(group.curves)
    axes_width, least = (7.6, 6.2) if legend.many(shown) else (6.364, 4.9)
    beside, tall = legend.side_inches(shown, look, room=axes_width)
    width, height = axes_width + 1.036 + beside, max(least, tall)
    figure = Figure(figsize=(width, height))
    FigureCanvasAgg(figure)
    left, bottom, top = 0.851 / width, 1.1025 / height, 1 - 0.637 / height
    axes = figure.add_axes((left, bottom, axes_width / width, top - bottom))
    axes.set_xlabel(f"{_seconds(analysis)}, {text.alone(analysis)} ({group.machine})")
    axes.set_ylabel(f"quality ({analysis.table.metric})")
    draw_frontier(axes, analysis=analysis, group=group, looks=look)
    reading = READING_MANY if legend.many(shown) else READING
    title = 1 - 0.2695 / height
    figure.text(left, title, analysis.table.suite, fontsize=13, weight="bold", color=INK)
    figure.text(left, 0.02, reading, fontsize=7.6, color=FAINT, va="bottom", linespacing=1.4)
    legend.add(figure, shown, look, beside=beside > 0, loc="lower left", at=(0.105, 0.868))
    return figure


def _grid(panels: Sequence[Panel], look: dict[str, Look], y: str) -> Figure:
    """Small multiples, at most three to a row, and larger where many series are drawn."""
    shown = legend.listed(p.analysis.rows[i].configuration for p in panels for i in p.members)
    several = legend.many(shown)
    columns = min(2 if several and len(panels) <= 4 else 3, len(panels))
    rows = -(-len(panels) // columns)
    panel_width, panel_height = (4.7, 3.8) if several else (3.55, 2.95)
    inner = max(panel_width * columns + 0.2, 4.6)
    beside, tall = legend.side_inches(shown, look, room=inner)
    width, height = inner + beside, max(panel_height * rows + 0.75, tall)
    figure = Figure(figsize=(width, height))
    FigureCanvasAgg(figure)
    legend.add(figure, shown, look, beside=beside > 0, loc="upper center", at=(0.5, 1.0))
    left, bottom, right, top = _MARGIN_INCHES
    figure.subplots_adjust(
        left=left / width,
        right=1 - (right + beside) / width,
        top=1 - top / height,
        bottom=bottom / height,
        wspace=0.3,
        hspace=0.46,
    )
    for number, panel in enumerate(panels):
        axes = figure.add_subplot(rows, columns, number + 1)
        axes.tick_params(labelsize=8)
        panel.draw(axes)
        axes.set_title(_title(panel), fontsize=10, loc="left", color=INK)
        axes.set_xlabel(panel.x, fontsize=8.5)
        if number % columns == 0:
            axes.set_ylabel(y, fontsize=8.5)
    return figure


def _seconds(analysis: TaskAnalysis) -> str:
    return f"p50 latency per {text.unit(analysis)}"


def _title(panel: Panel) -> str:
    if len(panel.analysis.groups) == 1:
        return panel.analysis.table.suite
    return f"{panel.analysis.table.suite}\n{panel.group.machine}"
