"""Quality against latency: one staircase per series, with its band, on one machine and stack.

Draws what `stats/` computed and computes nothing itself. Called by `figures.py`.
"""

from dataclasses import replace

import numpy as np
from matplotlib.axes import Axes
from matplotlib.colors import to_hex, to_rgb
from matplotlib.ticker import FuncFormatter, NullFormatter

from dllm_eval.report import text
from dllm_eval.report.labels import Label, Segment, draw
from dllm_eval.report.quality_axis import set_quality_axis
from dllm_eval.report.standing import faded, standing
from dllm_eval.report.style import FAINT, FEW, Look
from dllm_eval.report.ticks import set_log_ticks
from dllm_eval.stats.analysis import TaskAnalysis
from dllm_eval.stats.frontier import staircase
from dllm_eval.stats.group import Curve, GroupAnalysis
from dllm_eval.stats.resample import Floats
from dllm_eval.stats.row import Row

PALE = 0.35
"""The share of a series' colour in the fill of a point that is compared with nothing."""
LONGEST_NAME = 24
"""Characters of a series' name beside its point; the legend has the longer ones."""


def draw_frontier(
    axes: Axes,
    *,
    analysis: TaskAnalysis,
    group: GroupAnalysis,
    looks: dict[str, Look],
    label_size: float = 9.0,
) -> None:
    """One suite on one machine and stack; the axes' size must be final, labels depend on it."""
    rows = [analysis.rows[i] for curve in group.curves for i in curve.members]
    crowded = len(group.curves) > FEW
    _axes(axes, analysis, rows)
    for curve in group.curves:
        _curve(axes, analysis, curve, looks[curve.series], crowded=crowded)
    for row in rows:
        _point(axes, row, looks[row.configuration.series], size=5.5 if crowded else 6.5)
    labels = _crowded_labels(analysis, group, looks) if crowded else _labels(rows, looks)
    labels = [replace(label, size=label_size - 1.0 * crowded) for label in labels]
    said = {(label.x, label.y) for label in labels}
    points = [(row.latency_s, 100 * row.quality) for row in rows]
    silent = [point for point in points if point not in said]
    lines = _lines(axes, analysis, group)
    draw(axes, labels, extra=silent, lines=lines, only_where_clear=crowded)


def _labels(rows: list[Row], looks: dict[str, Look]) -> list[Label]:
    """Every setting's dial value, grey where another setting of its series beats it."""
    return [
        Label(
            text=text.dial_mark(row),
            x=row.latency_s,
            y=100 * row.quality,
            colour=FAINT if faded(row) else looks[row.configuration.series].colour,
        )
        for row in rows
        if text.dial_mark(row)
    ]


def _crowded_labels(
    analysis: TaskAnalysis, group: GroupAnalysis, looks: dict[str, Look]
) -> list[Label]:
    """Each series' name at its best point, then the dial values along its staircase."""
    names, values = [], []
    for curve in group.curves:
        rows = [analysis.rows[i] for i in curve.members]
        best = max(rows, key=lambda row: (row.on_own_frontier, row.quality))
        for row in rows:
            value = text.dial_mark(row)
            label = Label(
                text=value,
                x=row.latency_s,
                y=100 * row.quality,
                colour=looks[curve.series].colour,
            )
            if row is best and 0 < len(curve.composition) <= LONGEST_NAME:
                name = f"{curve.composition} {value}".strip()
                names.append(replace(label, text=name, short=value))
            elif value and (row.on_own_frontier or row.busy):
                values.append(label)
    return [*names, *values]


def _lines(axes: Axes, analysis: TaskAnalysis, group: GroupAnalysis) -> list[Segment]:
    """The drawn staircases and AR levels, which labels should not cover."""
    start, end = axes.get_xlim()
    crowded = len(group.curves) > FEW
    out: list[Segment] = []
    for curve in group.curves:
        x, y = _stairs(analysis, curve)
        if curve.kind == "autoregressive":
            out.append((start, float(y.max()), end, float(y.max())))
            continue
        nexts = np.append(x[1:], x[-1] if crowded else end)
        out += [
            (float(a), float(q), float(b), float(q)) for a, b, q in zip(x, nexts, y, strict=True)
        ]
        out += [
            (float(at), float(low), float(at), float(high))
            for at, low, high in zip(x[1:], y[:-1], y[1:], strict=True)
        ]
    return out


def _stairs(analysis: TaskAnalysis, curve: Curve) -> tuple[Floats, Floats]:
    """Corners of one series' staircase: seconds and percent."""
    rows = [analysis.rows[i] for i in curve.members]
    x, y = staircase(np.array([r.latency_s for r in rows]), np.array([r.quality for r in rows]))
    return x, 100 * y


def _axes(axes: Axes, analysis: TaskAnalysis, rows: list[Row]) -> None:
    latencies = [row.latency_s for row in rows]
    axes.set_xscale("log")
    if latencies:
        axes.set_xlim(min(latencies) / 1.35, max(latencies) * 1.45)
    set_quality_axis(axes, rows)
    set_log_ticks(axes.xaxis, max(latencies) / min(latencies) if latencies else 1.0)
    axes.xaxis.set_major_formatter(FuncFormatter(lambda value, _: text.tick(value)))
    axes.xaxis.set_minor_formatter(NullFormatter())
    axes.tick_params(which="both", length=3, color=FAINT)
    if analysis.table.chance > 0:
        axes.axhline(100 * analysis.table.chance, color=FAINT, linewidth=0.8, linestyle=(0, (1, 3)))
        axes.annotate(
            "chance",
            (1.0, 100 * analysis.table.chance),
            xycoords=("axes fraction", "data"),
            xytext=(-3, -3),
            textcoords="offset points",
            ha="right",
            va="top",
            fontsize=7.5,
            color=FAINT,
        )


def _curve(axes: Axes, analysis: TaskAnalysis, curve: Curve, look: Look, *, crowded: bool) -> None:
    x, y = _stairs(analysis, curve)
    if curve.kind == "autoregressive":
        axes.axhline(y.max(), color=look.colour, linewidth=1.1, linestyle=(0, (1, 2)), zorder=2)
        return
    if crowded:
        # A dozen bands, and a dozen lines to the margin, would hide one another.
        axes.step(
            x, y, where="post", color=look.colour, linestyle=look.line, linewidth=1.1, zorder=3
        )
        return
    # The band begins where enough resamples attain anything at all.
    seen = ~np.isnan(curve.band_low)
    axes.fill_between(
        curve.grid_s[seen],
        100 * curve.band_low[seen],
        100 * curve.band_high[seen],
        step="post",
        color=look.colour,
        alpha=0.14,
        linewidth=0,
        zorder=1,
    )
    end = axes.get_xlim()[1]
    axes.step(
        np.append(x, end),
        np.append(y, y[-1]),
        where="post",
        color=look.colour,
        linewidth=1.7,
        zorder=3,
    )


def _point(axes: Axes, row: Row, look: Look, *, size: float) -> None:
    """Filled on the overall frontier, hollow if another series beats it, faded if its own does.

    Pale where nothing may be said of that, and crossed where it is not clearly above chance:
    guessing is not on a frontier.
    """
    paper = {"frontier": look.colour, "beaten": "white", "open": to_hex(_mixed(look.colour))}
    autoregressive = row.configuration.kind == "autoregressive"
    axes.plot(
        [row.latency_s],
        [100 * row.quality],
        marker=look.marker if row.above_chance else "x",
        markersize=8.5 if autoregressive else size,
        markerfacecolor=paper[standing(row)],
        markeredgecolor=look.colour,
        markeredgewidth=1.5,
        alpha=0.4 if faded(row) else 1.0,
        linestyle="none",
        zorder=5,
        clip_on=False,
    )


def _mixed(colour: str) -> tuple[float, float, float]:
    """A colour that is mostly white."""
    red, green, blue = (1 - PALE * (1 - channel) for channel in to_rgb(colour))
    return red, green, blue
