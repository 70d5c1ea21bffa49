"""The vertical axis of qualities: percent, or the metric's own numbers with the best on top.

Knows scales and axes; computes no statistic. Called by the figures of quality and by `payload.py`.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from matplotlib.axes import Axes
from matplotlib.ticker import FixedFormatter, FixedLocator, FuncFormatter, LogLocator, MaxNLocator

from dllm_eval.stats.row import Row

AROUND = 0.08
"""Of the range of qualities that is left free above and below."""
LEAST = 0.02
"""A range of qualities that is never drawn narrower."""


@dataclass(frozen=True, kw_only=True)
class QualityAxis:
    """From the worst to the best quality drawn, with ticks in the metric's own numbers."""

    low: float
    high: float
    ticks: tuple[tuple[float, str], ...]
    """(quality, what is written there)."""


def own_axis(rows: Sequence[Row]) -> QualityAxis | None:
    """That of rows whose metric is no share; None of shares, and without rows."""
    if not rows or not rows[0].scale.lower_is_better:
        return None
    scale = rows[0].scale
    known = [r.quality for r in rows] + [
        end for r in rows for end in (r.quality_interval.low, r.quality_interval.high)
    ]
    drawn = np.array([q for q in known if np.isfinite(q)])
    around = max(LEAST, AROUND * float(np.ptp(drawn)))
    low, high = float(drawn.min()) - around, float(drawn.max()) + around
    ends = sorted((scale.value(low), scale.value(high)))
    # On a logarithm, ticks that lie equally far apart in the numbers would crowd at one end.
    wide = scale.kind == "perplexity" and ends[1] > 3 * ends[0]
    locator = LogLocator(subs=(1.0, 2.0, 3.0, 5.0)) if wide else MaxNLocator(5)
    values = locator.tick_values(ends[0], ends[1])
    inside = [float(v) for v in values if ends[0] <= v <= ends[1]]
    ticks = [(float(scale.quality(np.array([v]))[0]), f"{v:g}") for v in inside]
    return QualityAxis(low=low, high=high, ticks=tuple(sorted(ticks)))


def set_quality_axis(axes: Axes, rows: Sequence[Row]) -> None:
    """Limits and ticks of an axis on which 100 times the qualities are drawn."""
    own = own_axis(rows)
    if own is None:
        axes.set_ylim(-4, 106)
        axes.set_yticks(range(0, 101, 20))
        axes.yaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:.0f} %"))
        return
    axes.set_ylim(100 * own.low, 100 * own.high)
    axes.yaxis.set_major_locator(FixedLocator([100 * quality for quality, _ in own.ticks]))
    axes.yaxis.set_major_formatter(FixedFormatter([shown for _, shown in own.ticks]))
