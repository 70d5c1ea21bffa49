"""Visible tokens per second against batch size, both paradigms on one machine and stack.

Draws what `stats/` computed and computes nothing itself. Called by `figures.py`.
"""

import math
from collections.abc import Sequence

from matplotlib.axes import Axes
from matplotlib.ticker import FixedLocator, FuncFormatter, LogLocator, NullFormatter, NullLocator

from dllm_eval.report import text
from dllm_eval.report.labels import Label
from dllm_eval.report.style import FAINT, Look
from dllm_eval.stats.analysis import TaskAnalysis
from dllm_eval.stats.batching import BatchCurve
from dllm_eval.stats.crossover import Crossover
from dllm_eval.stats.group import GroupAnalysis

APART = 9.0
"""Points between two texts one above the other."""


def batch_rows(analysis: TaskAnalysis, group: GroupAnalysis) -> tuple[int, ...]:
    """The rows of a panel: those timed at several batch sizes."""
    return tuple(curve.row for curve in analysis.batches if curve.row in group.members)


def draw_batches(
    axes: Axes, *, analysis: TaskAnalysis, group: GroupAnalysis, looks: dict[str, Look]
) -> None:
    """95 % intervals as bars; settings that do not match the AR quality are faint."""
    curves = [curve for curve in analysis.batches if curve.row in group.members]
    axes.set_xscale("log", base=2)
    axes.set_yscale("log")
    compared = compared_rows(analysis.batch_crossovers)
    ends = [
        _line(axes, analysis, curve, looks, clear=not compared or curve.row in compared)
        for curve in curves
    ]
    sizes = sorted({point.batch_size for curve in curves for point in curve.points})
    axes.set_xlim(sizes[0] / 1.2, sizes[-1] * 1.7)
    # The interval of two rounds may span decades, in which no line could be told from another.
    heights = [point.visible_tokens_per_s for curve in curves for point in curve.points]
    axes.set_ylim(min(heights) / 2.0, max(heights) * 2.0)
    axes.xaxis.set_major_locator(FixedLocator(sizes))
    axes.xaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
    axes.xaxis.set_minor_locator(NullLocator())
    axes.yaxis.set_major_locator(LogLocator(base=10, subs=(1.0, 2.0, 5.0)))
    axes.yaxis.set_major_formatter(FuncFormatter(lambda value, _: text.significant(value)))
    axes.yaxis.set_minor_formatter(NullFormatter())
    axes.tick_params(which="both", length=3, color=FAINT)
    write_ends(axes, ends)


def write_ends(axes: Axes, ends: Sequence[Label]) -> None:
    """Texts to the right of the lines' last points, apart from one another; limits are final."""
    said = sorted((x for x in ends if x.text), key=lambda x: (x.y, x.x))
    figure = axes.figure.get_figure(root=True)
    if figure is None:
        raise ValueError("texts need axes that belong to a figure")
    scale = 72.0 / figure.dpi
    heights = [float(axes.transData.transform((x.x, x.y))[1]) * scale for x in said]
    highest = -math.inf
    for label, height in zip(said, heights, strict=True):
        highest = max(height, highest + APART)
        axes.annotate(
            label.text,
            (label.x, label.y),
            xytext=(7.0, highest - height),
            textcoords="offset points",
            ha="left",
            va="center",
            fontsize=label.size,
            color=label.colour,
            zorder=6,
        )


def compared_rows(found: tuple[Crossover, ...]) -> frozenset[int]:
    """The rows that a statement about an advantage speaks of."""
    return frozenset(i for x in found for i in (x.row, x.rival))


def _line(
    axes: Axes,
    analysis: TaskAnalysis,
    curve: BatchCurve,
    looks: dict[str, Look],
    *,
    clear: bool,
) -> Label:
    """Draws one setting; returns the dial's value, to be written at its last point."""
    x = analysis.rows[curve.row].configuration
    look, points = looks[x.series], curve.points
    heights = [p.visible_tokens_per_s for p in points]
    # An unknown interval is no bar.
    below = [max(0.0, p.visible_tokens_per_s - p.interval.low) for p in points]
    above = [max(0.0, p.interval.high - p.visible_tokens_per_s) for p in points]
    sizes = [p.batch_size for p in points]
    axes.errorbar(
        sizes,
        heights,
        yerr=[below, above],
        color=look.colour,
        marker=look.marker,
        linestyle=look.line,
        markersize=5.5,
        linewidth=1.6 if clear else 1.0,
        elinewidth=1.0,
        capsize=2.5,
        alpha=1.0 if clear else 0.45,
        zorder=4 if clear else 3,
    )
    return Label(
        text=text.dial_value(x) if x.dial else "",
        x=float(sizes[-1]),
        y=heights[-1],
        colour=look.colour,
        size=8.0,
    )
