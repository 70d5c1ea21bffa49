"""Quality against what a request costs the device: joules, or peak memory.

Draws what `stats/` computed and computes nothing itself; nothing is drawn where nothing was
measured. Called by `figures.py`.
"""

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass

from matplotlib.axes import Axes
from matplotlib.ticker import FuncFormatter, LogLocator, MaxNLocator, NullFormatter, NullLocator

from dllm_eval.report import text
from dllm_eval.report.labels import Label, draw
from dllm_eval.report.quality_axis import set_quality_axis
from dllm_eval.report.style import FAINT, Look
from dllm_eval.stats.analysis import TaskAnalysis
from dllm_eval.stats.group import GroupAnalysis
from dllm_eval.stats.row import Row


@dataclass(frozen=True, kw_only=True)
class Cost:
    """One thing that a request costs."""

    title: str
    of: Callable[[Row], float]
    on_frontier: Callable[[Row], bool]
    scale: float
    """What one unit of the axis is."""
    shown: Callable[[float], str]
    """A value of the axis as text."""


COSTS: Mapping[str, Cost] = {
    "energy": Cost(
        title="energy per {unit}",
        of=lambda row: row.joules,
        on_frontier=lambda row: row.on_energy_frontier,
        scale=1.0,
        shown=lambda value: f"{value:g} J" if value >= 1 else f"{1e3 * value:g} mJ",
    ),
    "memory": Cost(
        title="peak memory",
        of=lambda row: row.peak_memory_bytes,
        on_frontier=lambda row: row.on_memory_frontier,
        scale=2.0**20,
        shown=lambda value: f"{value:g} MiB" if value < 1000 else f"{value / 1024:.3g} GiB",
    ),
}


def cost_rows(analysis: TaskAnalysis, group: GroupAnalysis, cost: Cost) -> tuple[int, ...]:
    """The rows for which it was measured."""
    return tuple(i for i in group.members if not math.isnan(cost.of(analysis.rows[i])))


def draw_cost(
    axes: Axes,
    *,
    analysis: TaskAnalysis,
    group: GroupAnalysis,
    looks: dict[str, Look],
    cost: Cost,
) -> None:
    """Filled: beaten by none in quality and this cost, or a bound, which is called beaten by none.

    The axes' size must be final.
    """
    rows = [analysis.rows[i] for i in cost_rows(analysis, group, cost)]
    values = [cost.of(row) / cost.scale for row in rows]
    set_quality_axis(axes, rows)
    axes.set_xscale("log")
    axes.set_xlim(min(values) / 1.3, max(values) * 1.3)
    near = max(values) < 4 * min(values)
    axes.xaxis.set_major_locator(
        MaxNLocator(3, steps=[1, 2, 5, 10]) if near else LogLocator(base=10, subs=(1.0, 3.0))
    )
    axes.xaxis.set_minor_locator(NullLocator())
    axes.xaxis.set_major_formatter(FuncFormatter(lambda value, _: cost.shown(value)))
    axes.xaxis.set_minor_formatter(NullFormatter())
    axes.tick_params(which="both", length=3, color=FAINT)
    for row, value in zip(rows, values, strict=True):
        _point(axes, row, value, looks[row.configuration.series], filled=_unbeaten(row, cost))
    labels = [
        Label(
            text=text.dial_value(row.configuration),
            x=value,
            y=100 * row.quality,
            colour=looks[row.configuration.series].colour,
            size=8.0,
        )
        for row, value in zip(rows, values, strict=True)
        if row.configuration.dial
    ]
    silent = [
        (value, 100 * row.quality)
        for row, value in zip(rows, values, strict=True)
        if not row.configuration.dial
    ]
    draw(axes, labels, extra=silent, lines=[], only_where_clear=True)


def _unbeaten(row: Row, cost: Cost) -> bool:
    """On the frontier, or a score that may not be called beaten: a bound, or no likelihood."""
    return cost.on_frontier(row) or row.likelihood in ("bound", "neither")


def _point(axes: Axes, row: Row, value: float, look: Look, *, filled: bool) -> None:
    axes.plot(
        [value],
        [100 * row.quality],
        marker=look.marker,
        markersize=8.0 if row.configuration.kind == "autoregressive" else 6.0,
        markerfacecolor=look.colour if filled else "white",
        markeredgecolor=look.colour,
        markeredgewidth=1.4,
        linestyle="none",
        zorder=5,
        clip_on=False,
    )
