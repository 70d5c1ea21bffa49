"""The dial figure (quality against steps) and the time figure (seconds against forwards).

Draws what `stats/` computed and computes nothing itself. Called by `figures.py`.
"""

import math
from collections import defaultdict
from collections.abc import Sequence

import numpy as np
from matplotlib.axes import Axes
from matplotlib.ticker import FixedLocator, FuncFormatter, NullFormatter, NullLocator

from dllm_eval.report import text
from dllm_eval.report.quality_axis import set_quality_axis
from dllm_eval.report.style import FAINT, FEW, Look
from dllm_eval.report.ticks import set_log_ticks
from dllm_eval.stats.analysis import TaskAnalysis
from dllm_eval.stats.group import Curve, GroupAnalysis
from dllm_eval.stats.row import Row
from dllm_eval.stats.series import TEXT_DIALS

DODGE = 0.36
"""Over how many octaves of a dial many series are spread at one value."""


def on_panel(row: Row, dial: str) -> bool:
    """Whether a row stands in the panel of a dial: it turns it, or is an AR level."""
    return row.configuration.dial == dial or row.configuration.kind == "autoregressive"


def draw_dial(
    axes: Axes, *, analysis: TaskAnalysis, group: GroupAnalysis, looks: dict[str, Look], dial: str
) -> None:
    """Quality with 95 % intervals against one dial, on a log2 axis where it counts; AR as lines."""
    series: dict[str, list[Row]] = defaultdict(list)
    levels: set[tuple[str, float]] = set()
    for i in group.members:
        row = analysis.rows[i]
        x, told = row.configuration, (row.configuration.model, row.quality)
        if x.dial == dial:
            series[x.series].append(row)
        elif x.kind == "autoregressive" and not (x.tier and told in levels):
            # Tiers that answer alike are one level: their bands would lie on each other.
            levels.add(told)
            _level(axes, row, looks[x.series])
    crowded = len(series) > FEW
    for number, (name, rows) in enumerate(series.items()):
        # Side by side, so that a dozen intervals at one value can be told apart.
        aside = DODGE * (number / (len(series) - 1) - 0.5) if crowded else 0.0
        _line(axes, rows, looks[name], aside=2.0**aside)
    values = sorted({r.configuration.dial_value for rows in series.values() for r in rows})
    if dial in TEXT_DIALS:
        _word_axis(axes, values, TEXT_DIALS[dial])
    else:
        _dial_axis(axes, values, counted=dial in text.COUNTED)
    set_quality_axis(axes, [analysis.rows[i] for i in group.members])


def _word_axis(axes: Axes, values: list[float], words: Sequence[str]) -> None:
    """Categories in their order; how far apart they lie means nothing."""
    axes.set_xlim(values[0] - 0.5, values[-1] + 0.5)
    axes.xaxis.set_major_locator(FixedLocator(values))
    axes.xaxis.set_major_formatter(FuncFormatter(lambda value, _: words[round(value)]))
    axes.xaxis.set_minor_locator(NullLocator())


def _dial_axis(axes: Axes, values: list[float], *, counted: bool) -> None:
    """Ticks at the values that were run; logarithmic where they count or span a decade."""
    if counted:
        axes.set_xscale("log", base=2)
        axes.set_xlim(values[0] / 1.25, values[-1] * 1.25)
        values = _apart(values)
    elif values[0] > 0 and values[-1] >= 10 * values[0]:
        axes.set_xscale("log")
        values = _apart(values)
    axes.xaxis.set_major_locator(FixedLocator(values))
    axes.xaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
    axes.xaxis.set_minor_locator(NullLocator())


def _apart(values: list[float]) -> list[float]:
    """The dial values whose tick labels have room: at least a third of an octave apart."""
    kept: list[float] = []
    for value in values:
        if not kept or value / kept[-1] > 2**0.34:
            kept.append(value)
    return kept


def _line(axes: Axes, rows: list[Row], look: Look, *, aside: float) -> None:
    ordered = sorted(rows, key=lambda r: r.configuration.dial_value)
    centre = [100 * r.quality for r in ordered]
    # A mean lies inside its interval but for rounding.
    below = [max(0.0, 100 * (r.quality - r.quality_interval.low)) for r in ordered]
    above = [max(0.0, 100 * (r.quality_interval.high - r.quality)) for r in ordered]
    axes.errorbar(
        [r.configuration.dial_value * aside for r in ordered],
        centre,
        yerr=[below, above],
        color=look.colour,
        marker=look.marker,
        markersize=5.5,
        linestyle=look.line,
        linewidth=1.5,
        elinewidth=1.1,
        capsize=2.5,
        zorder=3,
    )


def _level(axes: Axes, row: Row, look: Look) -> None:
    axes.axhline(100 * row.quality, color=look.colour, linewidth=1.4, linestyle=(0, (1, 2)))
    interval = row.quality_interval
    if not math.isnan(interval.low):
        axes.axhspan(
            100 * interval.low, 100 * interval.high, color=look.colour, alpha=0.10, linewidth=0
        )


def worked(analysis: TaskAnalysis, curve: Curve) -> list[Row]:
    """The rows of a series whose forwards are known, which a server's often are not."""
    rows = [analysis.rows[i] for i in curve.members]
    return sorted((r for r in rows if not math.isnan(r.costs.nfe)), key=lambda r: r.costs.nfe)


def draw_time(
    axes: Axes, *, analysis: TaskAnalysis, group: GroupAnalysis, looks: dict[str, Look]
) -> None:
    """p50 seconds against forwards, or against the canvases of a likelihood request.

    On two logarithmic axes a constant cost of each forward is a line of slope one, drawn in grey as
    a guide; canvases share forwards, so no guide is drawn for them.
    """
    timed = [row for curve in group.curves for row in worked(analysis, curve)]
    axes.set_xscale("log")
    axes.set_yscale("log")
    for curve in group.curves:
        rows = worked(analysis, curve)
        look = looks[curve.series]
        axes.plot(
            [r.costs.nfe for r in rows],
            [r.latency_s for r in rows],
            color=look.colour,
            marker=look.marker,
            linestyle=look.line,
            markersize=5.5 if curve.kind == "diffusion" else 8,
            linewidth=1.4,
        )
    if not timed:
        return
    for row in timed:
        _mark_busy(axes, row)
    _limits(axes, timed)
    if not analysis.likelihood:
        _guide(axes, timed)
    forwards, seconds = [r.costs.nfe for r in timed], [r.latency_s for r in timed]
    for axis, values in ((axes.xaxis, forwards), (axes.yaxis, seconds)):
        set_log_ticks(axis, max(values) / min(values))
        axis.set_minor_formatter(NullFormatter())
    axes.xaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
    axes.yaxis.set_major_formatter(FuncFormatter(lambda value, _: text.tick(value)))
    axes.tick_params(which="both", length=3, color=FAINT)


def _mark_busy(axes: Axes, row: Row) -> None:
    """Nothing is claimed of such seconds, wherever they stand."""
    if row.busy:
        axes.annotate(
            text.BUSY_MARK,
            (row.costs.nfe, row.latency_s),
            xytext=(4, 3),
            textcoords="offset points",
            fontsize=8,
            color=FAINT,
        )


def _guide(axes: Axes, rows: list[Row]) -> None:
    """Slope one, below all points: the cheapest forward of all, and a little less."""
    nfe = np.array([min(r.costs.nfe for r in rows), max(r.costs.nfe for r in rows)])
    cheapest = 0.85 * min(r.latency_s / r.costs.nfe for r in rows)
    axes.plot(nfe, nfe * cheapest, color=FAINT, linewidth=1.0, alpha=0.6, zorder=1)


def _limits(axes: Axes, rows: list[Row]) -> None:
    forwards, latencies = [r.costs.nfe for r in rows], [r.latency_s for r in rows]
    axes.set_xlim(min(forwards) / 1.4, max(forwards) * 1.4)
    axes.set_ylim(min(latencies) / 1.5, max(latencies) * 1.5)
