"""Under load: visible tokens per second over requests in flight, p90 seconds over arrivals.

Draws what `stats/load.py` computed and computes nothing itself. Called by `panels.py`.
"""

import math
from collections.abc import Sequence

from matplotlib.axes import Axes
from matplotlib.ticker import FixedLocator, FuncFormatter, LogLocator, NullFormatter, NullLocator

from dllm_eval.report import text
from dllm_eval.report.batch_figure import write_ends
from dllm_eval.report.labels import Label
from dllm_eval.report.style import FAINT, Look
from dllm_eval.stats.load import LoadCurve
from dllm_eval.stats.load_crossover import Axis, SuiteLoads, points_of
from dllm_eval.stats.load_point import LoadPoint
from dllm_eval.stats.resample import Interval

NAMES: dict[Axis, tuple[str, str]] = {
    "in_flight": ("requests in flight", "visible tokens per second"),
    "arrivals": ("requests offered per second", "p90 seconds, waiting included"),
}
"""Of the two axes of a panel."""


def load_curves_of(loads: SuiteLoads, machine: str, axis: Axis) -> list[LoadCurve]:
    """The settings of a panel: those with something to draw."""
    here = [x for x in loads.curves if x.machine == machine]
    return [x for x in here if _drawn(x, axis)]


def draw_load(
    axes: Axes, *, loads: SuiteLoads, machine: str, axis: Axis, looks: dict[str, Look]
) -> None:
    """95 % intervals as bars, AR dashed, what is compared with nothing faint; × is saturated."""
    curves = load_curves_of(loads, machine, axis)
    compared = _compared(loads, machine, axis)
    ends = [
        _line(axes, loads, curve, axis, looks, clear=not compared or curve in compared)
        for curve in curves
    ]
    points = [y for x in curves for y in _drawn(x, axis)]
    _scales(axes, points, axis)
    write_ends(axes, ends)


def _drawn(curve: LoadCurve, axis: Axis) -> list[LoadPoint]:
    return [x for x in points_of(curve, axis) if not math.isnan(_height(x, axis))]


def _height(point: LoadPoint, axis: Axis) -> float:
    return point.visible_tokens_per_s if axis == "in_flight" else point.p90_s


def _compared(loads: SuiteLoads, machine: str, axis: Axis) -> set[LoadCurve]:
    own = [x for x in loads.crossovers if x.curve.machine == machine and x.axis == axis]
    return {curve for x in own for curve in (x.curve, *(y.rival_curve for y in x.levels))}


def _line(
    axes: Axes,
    loads: SuiteLoads,
    curve: LoadCurve,
    axis: Axis,
    looks: dict[str, Look],
    *,
    clear: bool,
) -> Label:
    """Draws one setting; returns the dial's value, to be written at its last point."""
    x = loads.analysis.rows[curve.row].configuration
    look, points = looks[x.series], _drawn(curve, axis)
    at, heights = [p.level for p in points], [_height(p, axis) for p in points]
    below, above = _bars(points, axis)
    axes.errorbar(
        at,
        heights,
        yerr=[below, above],
        color=look.colour,
        marker=look.marker,
        linestyle="--" if x.kind == "autoregressive" else look.line,
        markersize=5.5,
        linewidth=1.6 if clear else 1.0,
        elinewidth=1.0,
        capsize=2.5,
        alpha=1.0 if clear else 0.45,
        zorder=4 if clear else 3,
    )
    _open_ends(axes, points, axis, look.colour)
    full = [p for p in points if p.saturated]
    axes.plot(
        [p.level for p in full],
        [_height(p, axis) for p in full],
        linestyle="none",
        marker="x",
        markersize=10.0,
        color=look.colour,
        zorder=5,
    )
    dial = text.dial_value(x) if x.dial else ""
    return Label(text=dial, x=at[-1], y=heights[-1], colour=look.colour, size=8.0)


def _bars(points: Sequence[LoadPoint], axis: Axis) -> tuple[list[float], list[float]]:
    """Lengths of the bars below and above; an end that is unknown or open is no bar."""
    below, above = [], []
    for point in points:
        interval, height = _interval(point, axis), _height(point, axis)
        below.append(0.0 if math.isnan(interval.low) else max(0.0, height - interval.low))
        above.append(max(0.0, interval.high - height) if math.isfinite(interval.high) else 0.0)
    return below, above


def _interval(point: LoadPoint, axis: Axis) -> Interval:
    return point.tokens_interval if axis == "in_flight" else point.p90_interval


def _open_ends(axes: Axes, points: Sequence[LoadPoint], axis: Axis, colour: str) -> None:
    """Arrows upwards at the points whose interval has no upper end."""
    own = [p for p in points if math.isinf(_interval(p, axis).high)]
    heights = [_height(p, axis) for p in own]
    axes.errorbar(
        [p.level for p in own],
        heights,
        yerr=[0.35 * height for height in heights],
        lolims=True,
        linestyle="none",
        color=colour,
        elinewidth=0.8,
        capsize=2.5,
        alpha=0.6,
        zorder=3,
    )


def _scales(axes: Axes, points: Sequence[LoadPoint], axis: Axis) -> None:
    axes.set_xscale("log", base=2)
    axes.set_yscale("log")
    at = sorted({point.level for point in points})
    heights = [_height(point, axis) for point in points]
    axes.set_xlim(at[0] / 1.2, at[-1] * 1.7)
    # A bar without an end, or over decades, must not decide what is seen.
    axes.set_ylim(min(heights) / 2.0, max(heights) * 2.0)
    axes.xaxis.set_major_locator(FixedLocator(at))
    axes.xaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
    axes.xaxis.set_minor_locator(NullLocator())
    axes.yaxis.set_major_locator(LogLocator(base=10, subs=(1.0, 2.0, 5.0)))
    shown = text.significant if axis == "in_flight" else text.tick
    axes.yaxis.set_major_formatter(FuncFormatter(lambda value, _: shown(value)))
    axes.yaxis.set_minor_formatter(NullFormatter())
    axes.tick_params(which="both", length=3, color=FAINT)
