"""Right answers against tokens per forward pass, with the closed form as a line.

Draws what `stats/stress.py` computed and computes nothing itself. Called by `panels.py`.
"""

from matplotlib.axes import Axes
from matplotlib.ticker import FixedLocator, FuncFormatter, NullLocator

from dllm_eval.report.style import FAINT, INK, Look
from dllm_eval.stats.group import GroupAnalysis
from dllm_eval.stats.stress import StressPoint, StressSuite
from dllm_eval.stats.tables import TaskTable

CEILING_COLOUR = "#9a9a9a"
TICKS = (1.0, 2.0, 3.0, 4.0, 6.0, 8.0, 16.0, 32.0, 64.0, 128.0, 256.0)


def stress_rows(suite: StressSuite, group: GroupAnalysis) -> tuple[int, ...]:
    """The rows of a panel, autoregressive ones included; () without a diffusion row.

    A diffusion row whose server reports no forwards has no place on the axis.
    """
    own = [p.row for p in suite.diffusion if p.row in group.members and p.placed]
    beside = [p.row for p in suite.autoregressive if p.row in group.members]
    return (*own, *beside) if own else ()


def draw_stress(
    axes: Axes,
    *,
    table: TaskTable,
    suite: StressSuite,
    group: GroupAnalysis,
    looks: dict[str, Look],
) -> None:
    """95 % intervals as bars, of autoregressive models as bands."""
    own = [p for p in suite.diffusion if p.row in group.members and p.placed]
    _axes(axes, suite, own)
    if suite.curve:
        x, y = zip(*suite.curve, strict=True)
        axes.plot(x, y, color=CEILING_COLOUR, linewidth=5.0, alpha=0.55, zorder=1.5)
    for point in suite.autoregressive:
        if point.row in group.members:
            look = looks[table.configurations[point.row].series]
            axes.axhspan(
                point.interval.low, point.interval.high, color=look.colour, alpha=0.13, linewidth=0
            )
            axes.axhline(point.quality, color=look.colour, linestyle=":", linewidth=1.4)
    names = list(dict.fromkeys(table.configurations[p.row].series for p in own))
    for name in names:
        _series(axes, [p for p in own if table.configurations[p.row].series == name], looks[name])


def _axes(axes: Axes, suite: StressSuite, own: list[StressPoint]) -> None:
    ends = [x for x, _ in suite.curve] + [p.tokens_per_step for p in own]
    low, high = min(ends), max(ends)
    axes.set_xscale("log", base=2)
    axes.set_xlim(low / 1.15, high * 1.15)
    axes.set_ylim(-0.04, 1.06)
    axes.xaxis.set_major_locator(FixedLocator([x for x in TICKS if low <= x <= high]))
    axes.xaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
    axes.xaxis.set_minor_locator(NullLocator())
    axes.yaxis.set_major_locator(FixedLocator([0.0, 0.25, 0.5, 0.75, 1.0]))
    axes.yaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{100 * value:g} %"))
    axes.tick_params(which="both", length=3, color=FAINT, labelcolor=INK)


def _series(axes: Axes, own: list[StressPoint], look: Look) -> None:
    heights = [p.quality for p in own]
    axes.errorbar(
        [p.tokens_per_step for p in own],
        heights,
        yerr=[
            [max(0.0, p.quality - p.interval.low) for p in own],
            [max(0.0, p.interval.high - p.quality) for p in own],
        ],
        color=look.colour,
        marker=look.marker,
        linestyle=look.line,
        markersize=5.0,
        linewidth=1.4,
        elinewidth=1.0,
        capsize=2.5,
        zorder=4,
    )
