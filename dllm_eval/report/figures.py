"""All figures of a report: files in svg and png.

Lays out panels and legends; the panels themselves are in `frontier_figure.py` and
`curve_figures.py`. Called by `write.py`.
"""

import math
import textwrap
from collections.abc import Sequence
from pathlib import Path

from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

from dllm_eval.report import legend, panels, text
from dllm_eval.report.figure_names import best_stack_name, frontier_name
from dllm_eval.report.frontier_figure import draw_frontier
from dllm_eval.report.panels import Panel
from dllm_eval.report.standing import standing
from dllm_eval.report.style import FAINT, INK, Look, applied, looks, save
from dllm_eval.stats.analysis import TaskAnalysis
from dllm_eval.stats.best_stack import BEST_STACK
from dllm_eval.stats.group import GroupAnalysis
from dllm_eval.stats.load_crossover import SuiteLoads
from dllm_eval.stats.row import Row

READING = (
    "Numbers: values of the dial, where they fit. Filled: on the frontier of all models; hollow: "
    "beaten by another model;\nfaded: beaten by its own; ×: at chance, not clearly above it. "
    "Band: 90 % confidence. Dotted: the AR score."
)
READING_MANY = (
    "Numbers are values of a series' dial, written where there is room. Filled: on the frontier of "
    "all series; hollow: beaten by another series;\nfaded: beaten by its own; ×: at chance. "
    "Dotted: the AR score. With so many series no bands are drawn: the leaderboard has the "
    "intervals."
)
READING_GRID = (
    "Numbers: values of the dial, where they fit. Filled: on the frontier of all models; hollow: "
    "beaten by "
    "another model; faded: beaten by a setting of its own; ×: at chance, not clearly above it. "
    "Band, where drawn: 90 % confidence. Dotted: the AR score."
)
READING_BUSY = f"{text.BUSY_MARK}: timed on a busy machine; nothing is claimed of it."
READING_PALE = "Pale: compared with nothing (busy machine, or a bound beside an exact score)."
READING_TIME = (
    "Latency against forward passes. Parallel to the grey line: every forward costs the same."
)
READING_LENGTH = (
    "Answers are put into five bins by length, common to all settings. A point takes five timed "
    "answers in its bin, and a setting with points in one bin alone is not drawn."
)
READING_STRESS = (
    "Grey line: the ceiling, a closed form for exact conditional distributions at temperature 1 "
    "and positions in random order; other orders are drawn beside it for comparison. Dotted: the "
    "AR score, one token at a time. Bars and band: 95 % confidence."
)
READING_LOAD = (
    "AR is dashed. Bars: 95 % confidence over blocks of requests; an arrow has no "
    "upper end. ×: saturated, the queue grew during the run. Faint: compared with nothing. p90 "
    "holds the wait."
)
_MARGIN_INCHES = (0.72, 0.6, 0.2, 0.72)
"""Left, bottom, right and top of a grid of panels."""


def write_figures(
    analyses: Sequence[TaskAnalysis], out: Path, loads: Sequence[SuiteLoads] = ()
) -> list[Path]:
    """Draws frontier_<task> for every suite, then the grids of panels; returns the files."""
    look = looks(
        [(x.series, x.kind) for analysis in analyses for x in analysis.table.configurations]
    )
    # Canvases that are scored share forwards, so their panels have no grey line.
    guided = any(not analysis.likelihood for analysis in analyses)
    told = [READING_TIME] if guided else []
    busy = [READING_BUSY] if any(row.busy for a in analyses for row in a.rows) else []
    pale = [READING_PALE] if any(_pale(a.rows) for a in analyses) else []
    by_forwards = " ".join([*told, *filter(None, [panels.silent_series(analyses)]), *busy])
    in_grid = " ".join([READING_GRID, *pale, *busy])
    paths = []
    with applied():
        for analysis in analyses:
            for number, group in enumerate(analysis.groups):
                if group.curves:
                    name = frontier_name(analysis, number)
                    paths += save(_single(analysis, group, look), out, name)
            for number, found in enumerate(analysis.best_stacks):
                drawn_on = analysis.on_best_stack(found)
                name = best_stack_name(analysis, number)
                paths += save(_single(drawn_on, found.group, look), out, name)
        for name, drawn, y, reading in (
            ("frontiers", panels.frontiers(analyses, look), "quality", in_grid),
            ("time", panels.times(analyses, look), "p50 latency", by_forwards),
            ("dial", panels.dials(analyses, look), "quality", ""),
            ("batch", panels.batches(analyses, look), "visible tokens per second", ""),
            ("length", panels.lengths(analyses, look), "p50 latency, batch size 1", READING_LENGTH),
            ("stress", panels.stress(analyses, look), "right answers", READING_STRESS),
            ("load", panels.loads(loads, look), "", READING_LOAD),
            ("cost", panels.costs(analyses, look), "quality", ""),
        ):
            if drawn:
                paths += save(_grid(drawn, look, y, reading), out, name)
    return paths


def _single(analysis: TaskAnalysis, group: GroupAnalysis, look: dict[str, Look]) -> Figure:
    shown = legend.listed(group.curves)
    axes_width, least = (7.6, 6.2) if legend.many(shown) else (6.364, 4.9)
    beside, tall = legend.side_inches(shown, look, room=axes_width)
    width, height = axes_width + 1.036 + beside, max(least, tall)
    figure = Figure(figsize=(width, height))
    FigureCanvasAgg(figure)
    left, bottom, top = 0.851 / width, 1.1025 / height, 1 - 0.637 / height
    axes = figure.add_axes((left, bottom, axes_width / width, top - bottom))
    axes.set_xlabel(
        f"{panels.seconds_name(analysis)}, {text.alone(analysis)} ({_where(analysis, group)})"
    )
    axes.set_ylabel(f"quality ({analysis.table.metric})")
    draw_frontier(axes, analysis=analysis, group=group, looks=look)
    rows = [analysis.rows[i] for curve in group.curves for i in curve.members]
    several = READING_MANY if legend.many(shown) else READING
    marks = [READING_PALE] * _pale(rows) + [READING_BUSY] * any(row.busy for row in rows)
    reading = "\n".join(filter(None, [several, " ".join(marks)]))
    title = 1 - 0.2695 / height
    figure.text(left, title, analysis.table.suite, fontsize=13, weight="bold", color=INK)
    bounds = text.bounds_note(rows)
    end = left + axes_width / width
    figure.text(end, title, bounds, fontsize=7.6, color=FAINT, ha="right")
    figure.text(left, 0.02, reading, fontsize=7.6, color=FAINT, va="bottom", linespacing=1.4)
    legend.add(figure, shown, look, beside=beside > 0, loc="lower left", at=(0.105, 0.868))
    return figure


def _pale(rows: Sequence[Row]) -> bool:
    """Whether some point is drawn as compared with nothing."""
    timed = [row for row in rows if not math.isnan(row.latency_s)]
    return any(standing(row) == "open" for row in timed)


def _grid(drawn: Sequence[Panel], look: dict[str, Look], y: str, reading: str) -> Figure:
    """Small multiples, at most three to a row, and larger where many series are drawn."""
    shown = legend.listed(p.analysis.rows[i].configuration for p in drawn for i in p.members)
    several = legend.many(shown)
    in_pairs = any(panel.y for panel in drawn)
    columns = min(2 if in_pairs or (several and len(drawn) <= 4) else 3, len(drawn))
    rows = -(-len(drawn) // columns)
    panel_width, panel_height = (4.7, 3.8) if several else (3.55, 2.95)
    inner = max(panel_width * columns + 0.2, 4.6)
    beside, tall = legend.side_inches(shown, look, room=inner)
    notes = [textwrap.wrap(p.note, int(panel_width * NOTE_CHARACTERS_PER_INCH)) for p in drawn]
    noted = NOTE_INCHES * max(map(len, notes))
    read = textwrap.wrap(reading, int(inner * CHARACTERS_PER_INCH))
    below = NOTE_INCHES * (len(read) + 1) if read else 0.0
    width, height = inner + beside, max((panel_height + noted) * rows + 0.75, tall) + below
    figure = Figure(figsize=(width, height))
    FigureCanvasAgg(figure)
    legend.add(figure, shown, look, beside=beside > 0, loc="upper center", at=(0.5, 1.0))
    left, bottom, right, top = _MARGIN_INCHES
    top, bottom = top + noted, bottom + below
    figure.text(
        left / width, 0.06 / height, "\n".join(read), fontsize=7.4, color=FAINT, va="bottom"
    )
    figure.subplots_adjust(
        left=left / width,
        right=1 - (right + beside) / width,
        top=1 - top / height,
        bottom=bottom / height,
        wspace=0.3,
        hspace=0.46 + noted / (panel_height - 1.0),
    )
    for number, panel in enumerate(drawn):
        axes = figure.add_subplot(rows, columns, number + 1)
        axes.tick_params(labelsize=8)
        panel.draw(axes)
        # Points between a title and its panel.
        pad = 6.0 + 9.5 * len(notes[number])
        axes.set_title(_title(panel), fontsize=10, loc="left", color=INK, pad=pad)
        _write_note(axes, notes[number])
        axes.set_xlabel(panel.x, fontsize=8.5)
        if panel.y or number % columns == 0:
            axes.set_ylabel(panel.y or y, fontsize=8.5)
    return figure


def _title(panel: Panel) -> str:
    if panel.title:
        return panel.title
    if len(panel.analysis.groups) == 1:
        return panel.analysis.table.suite
    return f"{panel.analysis.table.suite}\n{_where(panel.analysis, panel.group)}"


def _where(analysis: TaskAnalysis, group: GroupAnalysis) -> str:
    """The machine; of several stacks on it the stack, or that they stand together."""
    if group.stack == BEST_STACK:
        return f"{group.machine}, {BEST_STACK}"
    alike = [other for other in analysis.groups if other.machine == group.machine]
    return group.stack if len(alike) > 1 and group.stack else group.machine


CHARACTERS_PER_INCH = 17
"""Of the line below a grid."""
NOTE_CHARACTERS_PER_INCH = 13
"""Of a panel, with what stands left of it, that fit above it at the note's size."""
NOTE_INCHES = 0.135
"""Height of one of its lines."""


def _write_note(axes: Axes, lines: list[str]) -> None:
    axes.annotate(
        "\n".join(lines),
        (0.0, 1.0),
        xycoords="axes fraction",
        xytext=(0, 4),
        textcoords="offset points",
        fontsize=7.4,
        color=FAINT,
        va="bottom",
    )
