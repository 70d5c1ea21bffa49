"""Names, handles and place of the series in a figure's legend.

Above the panels; beside them and one below the other where series are many or their names long.
Called by `figures.py`.
"""

from collections.abc import Iterable, Sequence
from typing import Literal

from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.legend import Legend
from matplotlib.lines import Line2D

from dllm_eval.report.style import FAINT, FEW, Look
from dllm_eval.stats.group import Curve
from dllm_eval.stats.tables import Configuration

Named = Configuration | Curve
"""Whatever says which series it is of."""


def listed(members: Iterable[Named]) -> list[Named]:
    """One of each series, by name."""
    return [x for _, x in sorted({x.series: x for x in members}.items())]


def many(series: Sequence[Named]) -> bool:
    """Whether a figure has so many series that each must take less room."""
    return len(series) > FEW


def side_inches(
    series: Sequence[Named], looks: dict[str, Look], *, room: float
) -> tuple[float, float]:
    """Width and height that a legend beside the panels needs; nothing where it fits above them.

    Args:
        series: In the order listed.
        looks: How each is drawn.
        room: Inches above the panels.
    """
    probe = Figure(figsize=(4.0, 4.0))
    canvas = FigureCanvasAgg(probe)
    if not many(series):
        above = _above(probe, series, looks, loc="upper center", at=(0.5, 1.0))
        if above.get_window_extent(canvas.get_renderer()).width <= room * probe.dpi:  # type: ignore[no-untyped-call]
            return 0.0, 0.0
    extent = _beside(probe, series, looks).get_window_extent(canvas.get_renderer())  # type: ignore[no-untyped-call]
    return float(extent.width / probe.dpi) + 0.15, float(extent.height / probe.dpi) + 0.2


def add(
    figure: Figure,
    series: Sequence[Named],
    looks: dict[str, Look],
    *,
    beside: bool,
    loc: Literal["lower left", "upper center"],
    at: tuple[float, float],
) -> None:
    """Draws the legend.

    Args:
        figure: Where; its size must be final.
        series: In the order listed.
        looks: How each is drawn.
        beside: Whether the panels leave room for it beside them, as `side_inches` asked.
        loc: Which of its corners a legend above the panels hangs from.
        at: Where that corner is, as shares of the figure.
    """
    if beside:
        _beside(figure, series, looks)
    else:
        _above(figure, series, looks, loc=loc, at=at)


def _above(
    figure: Figure,
    series: Sequence[Named],
    looks: dict[str, Look],
    *,
    loc: Literal["lower left", "upper center"],
    at: tuple[float, float],
) -> Legend:
    handles = [_handle(x.series, looks[x.series], bare=_bare(x)) for x in series]
    return figure.legend(handles=handles, ncols=FEW, loc=loc, bbox_to_anchor=at)


def _beside(figure: Figure, series: Sequence[Named], looks: dict[str, Look]) -> Legend:
    entries = _entries(series)
    bare = {x.series for x in series if _bare(x)}
    handles = [
        _handle(text, None if name is None else looks[name], bare=name in bare)
        for text, name in entries
    ]
    drawn = figure.legend(
        handles=handles,
        loc="upper right",
        bbox_to_anchor=(1.0, 0.985),
        fontsize=9,
        labelspacing=0.45,
        handlelength=2.8,
    )
    for text, (_, name) in zip(drawn.get_texts(), entries, strict=True):
        if name is None:
            text.set_color(FAINT)
    return drawn


def _entries(series: Sequence[Named]) -> list[tuple[str, str | None]]:
    """What is written and the series it stands for; None for a model's name above its series."""
    out: list[tuple[str, str | None]] = []
    head = ""
    for x in sorted(series, key=lambda x: (x.kind != "diffusion", x.model, x.series)):
        several = sum(other.model == x.model for other in series) > 1
        if several and x.model != head:
            out.append((x.model, None))
        head = x.model
        out.append(((x.composition or "as published") if several else x.series, x.series))
    return out


def _bare(series: Named) -> bool:
    """Whether it stands as a marker alone: an AR model has no dial to draw a line along."""
    return series.kind == "autoregressive"


def _handle(text: str, look: Look | None, *, bare: bool) -> Line2D:
    if look is None:
        return Line2D([], [], linestyle="none", label=text)
    return Line2D(
        [],
        [],
        color=look.colour,
        marker=look.marker,
        linestyle="none" if bare else look.line,
        label=text,
        linewidth=1.6,
    )
