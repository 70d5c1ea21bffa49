"""p50 latency against the length of the answer, both paradigms on one machine and stack.

Draws what `stats/` computed and computes nothing itself. Called by `figures.py`.
"""

from matplotlib.axes import Axes
from matplotlib.ticker import FuncFormatter, MaxNLocator, NullFormatter

from dllm_eval.report import text
from dllm_eval.report.batch_figure import compared_rows, write_ends
from dllm_eval.report.labels import Label
from dllm_eval.report.style import FAINT, Look
from dllm_eval.report.ticks import set_log_ticks
from dllm_eval.stats.analysis import TaskAnalysis
from dllm_eval.stats.group import GroupAnalysis
from dllm_eval.stats.lengths import LengthCurve


def length_rows(analysis: TaskAnalysis, group: GroupAnalysis) -> tuple[int, ...]:
    """The rows of a panel: those whose timed answers differ in length."""
    return tuple(curve.row for curve in analysis.lengths if curve.row in group.members)


def draw_lengths(
    axes: Axes, *, analysis: TaskAnalysis, group: GroupAnalysis, looks: dict[str, Look]
) -> None:
    """95 % intervals as bars; settings that do not match the AR quality are faint."""
    curves = [curve for curve in analysis.lengths if curve.row in group.members]
    compared = compared_rows(analysis.length_crossovers)
    axes.set_yscale("log")
    ends = [
        _line(axes, analysis, curve, looks, clear=not compared or curve.row in compared)
        for curve in curves
    ]
    lengths = [point.visible_tokens for curve in curves for point in curve.points]
    # Room at the right for the dial's values.
    span = max(max(lengths) - min(lengths), 1.0)
    axes.set_xlim(max(0.0, min(lengths) - 0.1 * span), max(lengths) + 0.16 * span)
    axes.xaxis.set_major_locator(MaxNLocator(6, integer=True))
    heights = [point.latency_s for curve in curves for point in curve.points]
    set_log_ticks(axes.yaxis, max(heights) / min(heights))
    axes.yaxis.set_major_formatter(FuncFormatter(lambda value, _: text.tick(value)))
    axes.yaxis.set_minor_formatter(NullFormatter())
    axes.tick_params(which="both", length=3, color=FAINT)
    write_ends(axes, ends)


def _line(
    axes: Axes,
    analysis: TaskAnalysis,
    curve: LengthCurve,
    looks: dict[str, Look],
    *,
    clear: bool,
) -> Label:
    """Draws one setting; returns the dial's value, to be written at its last point."""
    x = analysis.rows[curve.row].configuration
    look, points = looks[x.series], curve.points
    heights = [p.latency_s for p in points]
    below = [max(0.0, p.latency_s - p.interval.low) for p in points]
    above = [max(0.0, p.interval.high - p.latency_s) for p in points]
    tokens = [p.visible_tokens for p in points]
    axes.errorbar(
        tokens,
        heights,
        yerr=[below, above],
        color=look.colour,
        marker=look.marker,
        linestyle=look.line,
        markersize=5.0,
        linewidth=1.6 if clear else 1.0,
        elinewidth=1.0,
        capsize=2.5,
        alpha=1.0 if clear else 0.45,
        zorder=4 if clear else 3,
    )
    return Label(
        text=text.dial_value(x) if x.dial else "",
        x=float(tokens[-1]),
        y=heights[-1],
        colour=look.colour,
        size=8.0,
    )
