"""Quality against latency: one staircase per model, with its band, on one machine and stack.

Draws what `stats/` computed and computes nothing itself. Called by `figures.py`.
"""

import numpy as np
from matplotlib.axes import Axes
from matplotlib.ticker import FuncFormatter, LogLocator, MaxNLocator, NullFormatter, NullLocator

from dllm_eval.report import text
from dllm_eval.report.labels import Label, Segment, draw
from dllm_eval.report.style import FAINT, Look
from dllm_eval.stats.analysis import GroupAnalysis, ModelCurve, TaskAnalysis
from dllm_eval.stats.frontier import staircase
from dllm_eval.stats.resample import Floats
from dllm_eval.stats.row import Row


def draw_frontier(
    axes: Axes,
    analysis: TaskAnalysis,
    group: GroupAnalysis,
    looks: dict[str, Look],
    *,
    label_size: float = 9.0,
) -> None:
    """One suite on one machine and stack; the axes' size must be final, labels depend on it."""
    rows = [analysis.rows[i] for curve in group.curves for i in curve.members]
    _axes(axes, analysis, rows)
    for curve in group.curves:
        _curve(axes, analysis, curve, looks[curve.model])
    labels = []
    for row in rows:
        look = looks[row.configuration.model]
        _point(axes, row, look)
        if row.configuration.dial:
            colour = look.colour if row.on_own_frontier else FAINT
            label = text.dial_value(row.configuration)
            labels.append(
                Label(
                    text=label,
                    x=row.latency_s,
                    y=100 * row.quality,
                    colour=colour,
                    size=label_size,
                )
            )
    plain = [(r.latency_s, 100 * r.quality) for r in rows if not r.configuration.dial]
    draw(axes, labels, extra=plain, lines=_lines(axes, analysis, group))


def _lines(axes: Axes, analysis: TaskAnalysis, group: GroupAnalysis) -> list[Segment]:
    """The drawn staircases and AR levels, which labels should not cover."""
    start, end = axes.get_xlim()
    out: list[Segment] = []
    for curve in group.curves:
        x, y = _stairs(analysis, curve)
        if curve.kind == "autoregressive":
            out.append((start, float(y.max()), end, float(y.max())))
            continue
        nexts = np.append(x[1:], end)
        out += [
            (float(a), float(q), float(b), float(q)) for a, b, q in zip(x, nexts, y, strict=True)
        ]
        out += [
            (float(at), float(low), float(at), float(high))
            for at, low, high in zip(x[1:], y[:-1], y[1:], strict=True)
        ]
    return out


def _stairs(analysis: TaskAnalysis, curve: ModelCurve) -> tuple[Floats, Floats]:
    """Corners of one model's staircase: seconds and percent."""
    rows = [analysis.rows[i] for i in curve.members]
    x, y = staircase(np.array([r.latency_s for r in rows]), np.array([r.quality for r in rows]))
    return x, 100 * y


def _latency_ticks(axes: Axes, spread: float) -> None:
    """Ticks that have room, whether the latencies lie within a factor of two or a thousand."""
    if spread < 4:
        axes.xaxis.set_major_locator(MaxNLocator(4, steps=[1, 2, 5, 10]))
        axes.xaxis.set_minor_locator(NullLocator())
    else:
        subs = (1.0,) if spread > 60 else (1.0, 2.0, 5.0)
        axes.xaxis.set_major_locator(LogLocator(base=10, subs=subs))


def _axes(axes: Axes, analysis: TaskAnalysis, rows: list[Row]) -> None:
    latencies = [row.latency_s for row in rows]
    axes.set_xscale("log")
    if latencies:
        axes.set_xlim(min(latencies) / 1.35, max(latencies) * 1.45)
    axes.set_ylim(-4, 106)
    axes.set_yticks(range(0, 101, 20))
    axes.yaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:.0f} %"))
    _latency_ticks(axes, max(latencies) / min(latencies) if latencies else 1.0)
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


def _curve(axes: Axes, analysis: TaskAnalysis, curve: ModelCurve, look: Look) -> None:
    x, y = _stairs(analysis, curve)
    if curve.kind == "autoregressive":
        axes.axhline(y.max(), color=look.colour, linewidth=1.1, linestyle=(0, (1, 2)), zorder=2)
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


def _point(axes: Axes, row: Row, look: Look) -> None:
    """Filled on the overall frontier, hollow if another model beats it, faded if its own does."""
    faded = not row.on_own_frontier
    autoregressive = row.configuration.kind == "autoregressive"
    axes.plot(
        [row.latency_s],
        [100 * row.quality],
        marker=look.marker,
        markersize=8.5 if autoregressive else 6.5,
        markerfacecolor=look.colour if row.on_frontier else "white",
        markeredgecolor=look.colour,
        markeredgewidth=1.5,
        alpha=0.4 if faded else 1.0,
        linestyle="none",
        zorder=5,
        clip_on=False,
    )
