"""Where to put the words beside points so that none covers another or a point.

Plain geometry in pixels; knows matplotlib only to measure and to place. Called by the figures.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace

from matplotlib.axes import Axes
from matplotlib.backend_bases import RendererBase
from matplotlib.backends.backend_agg import FigureCanvasAgg

GAP = 7.0
"""Points between a marker's centre and its label's nearest edge."""

CLEAR = 0.04
"""A label may cover this share of its own area and still be read."""
DIRECTIONS = ((0, 1), (-1, 1), (1, -1), (0, -1), (1, 1), (-1, -1), (-1, 0), (1, 0))
"""Tried in this order, first close to the marker, then farther out."""
REACHES = (1.0, 1.9, 2.8, 4.0, 5.5)
NEARER = 0.75
"""A label lies within this share of its distance to any other point; else a line leads to it."""

Segment = tuple[float, float, float, float]
"""A drawn line along one axis: x and y of its start, x and y of its end."""


@dataclass(frozen=True, kw_only=True)
class Box:
    """An axis-aligned rectangle in points."""

    left: float
    bottom: float
    right: float
    top: float

    def overlap(self, other: "Box") -> float:
        """Area shared with another box."""
        width = min(self.right, other.right) - max(self.left, other.left)
        height = min(self.top, other.top) - max(self.bottom, other.bottom)
        return max(width, 0.0) * max(height, 0.0)

    def distance(self, x: float, y: float) -> float:
        """From a point to the nearest part of the box; 0 inside."""
        aside = max(self.left - x, 0.0, x - self.right)
        return math.hypot(aside, max(self.bottom - y, 0.0, y - self.top))


@dataclass(frozen=True, kw_only=True)
class Label:
    """A text that belongs to one point, in data coordinates."""

    text: str
    x: float
    y: float
    colour: str
    size: float = 9.0
    short: str = ""
    """Written instead where there is no room for the text."""


def around(x: float, y: float, width: float, height: float) -> Box:
    """The box of this size centred on a point."""
    return Box(left=x - width / 2, bottom=y - height / 2, right=x + width / 2, top=y + height / 2)


def belongs(box: Box, spot: tuple[float, float], others: Sequence[tuple[float, float]]) -> bool:
    """Whether a label is clearly nearer to its own point than to any other."""
    own = box.distance(*spot)
    return all(own < NEARER * box.distance(*other) for other in others)


def place(
    x: float,
    y: float,
    width: float,
    height: float,
    *,
    taken: Sequence[Box],
    frame: Box,
    others: Sequence[tuple[float, float]] = (),
) -> tuple[Box, float]:
    """The first box near a point that covers nothing, else the least bad, and what it covers.

    Of boxes that cover equally little one that is nearest to its own point is taken.

    Args:
        x: Where the point is.
        y: Likewise.
        width: Of the label, in the same unit.
        height: Likewise.
        taken: What no label should cover, its own point's marker included.
        frame: The area labels must stay in; leaving it counts as covering four times as much.
        others: Where the other points are.
    """
    best, best_cost = around(x, y, width, height), (float("inf"), True)
    for reach in REACHES:
        for dx, dy in DIRECTIONS:
            box = around(
                x + dx * (width / 2 + GAP * reach * (0.55 if dy else 1.0)),
                y + dy * (height / 2 + GAP * reach),
                width,
                height,
            )
            outside = width * height - box.overlap(frame)
            covered = sum(box.overlap(other) for other in taken) + 4 * outside
            cost = (round(covered, 6), not belongs(box, (x, y), others))
            if cost < best_cost:
                best, best_cost = box, cost
            if best_cost == (0.0, False):
                return best, 0.0
    return best, best_cost[0]


def draw(
    axes: Axes,
    labels: Sequence[Label],
    *,
    extra: Sequence[tuple[float, float]] = (),
    lines: Sequence[Segment] = (),
    only_where_clear: bool = False,
) -> None:
    """Writes the labels into `axes`, whose limits and size must be final.

    Args:
        axes: Where the points already are.
        labels: The texts, the most important first.
        extra: Further points in data coordinates that no label should cover.
        lines: Lines in data coordinates, likewise.
        only_where_clear: Whether a label that covers a point or a line is cut to its `short` text,
            or left out, as one that covers another label always is.
    """
    figure = axes.figure.get_figure(root=True)
    if figure is None:
        raise ValueError("labels need axes that belong to a figure")
    renderer = FigureCanvasAgg(figure).get_renderer()  # type: ignore[no-untyped-call]
    scale = 72.0 / figure.dpi

    def to_points(x: float, y: float) -> tuple[float, float]:
        pixel = axes.transData.transform((x, y))
        return float(pixel[0]) * scale, float(pixel[1]) * scale

    spots = [to_points(label.x, label.y) for label in labels]
    points = [*spots, *(to_points(*p) for p in extra)]
    taken = [around(x, y, 8, 8) for x, y in points]
    for start_x, start_y, end_x, end_y in lines:
        (left, bottom), (right, top) = to_points(start_x, start_y), to_points(end_x, end_y)
        taken.append(Box(left=left - 1, bottom=bottom - 1, right=right + 1, top=top + 1))
    area = axes.get_window_extent(renderer)
    frame = Box(
        left=area.x0 * scale, bottom=area.y0 * scale, right=area.x1 * scale, top=area.y1 * scale
    )
    left_out: list[tuple[Label, tuple[float, float]]] = []
    words: list[Box] = []

    def put(label: Label, spot: tuple[float, float]) -> bool:
        width, height = _size(axes, label, renderer, scale)
        others = [other for other in points if other != spot]
        box, covered = place(*spot, width, height, taken=taken, frame=frame, others=others)
        written = sum(box.overlap(other) for other in words)
        if max(written, covered * only_where_clear) > CLEAR * width * height:
            return False
        offset = ((box.left + box.right) / 2 - spot[0], (box.bottom + box.top) / 2 - spot[1])
        _write(axes, label, offset, leader=not belongs(box, spot, others))
        taken.append(box)
        words.append(box)
        return True

    for label, spot in zip(labels, spots, strict=True):
        if not put(label, spot) and label.short:
            left_out.append((label, spot))
    for label, spot in left_out:
        put(replace(label, text=label.short), spot)


def _size(axes: Axes, label: Label, renderer: RendererBase, scale: float) -> tuple[float, float]:
    probe = axes.text(0, 0, label.text, fontsize=label.size, transform=None)
    extent = probe.get_window_extent(renderer)
    probe.remove()
    return extent.width * scale + 2, extent.height * scale + 1


def _write(axes: Axes, label: Label, offset: tuple[float, float], *, leader: bool) -> None:
    thin = {"arrowstyle": "-", "color": label.colour, "linewidth": 0.6, "shrinkA": 0, "shrinkB": 0}
    axes.annotate(
        label.text,
        (label.x, label.y),
        xytext=offset,
        textcoords="offset points",
        ha="center",
        va="center",
        fontsize=label.size,
        color=label.colour,
        arrowprops=thin if leader else None,
        zorder=6,
    )
