"""Where to put the words beside points so that none covers another or a point.

Plain geometry in pixels; knows matplotlib only to measure and to place. Called by the figures.
"""

from collections.abc import Sequence
from dataclasses import dataclass

from matplotlib.axes import Axes
from matplotlib.backend_bases import RendererBase
from matplotlib.backends.backend_agg import FigureCanvasAgg

GAP = 7.0
"""Points between a marker's centre and its label's nearest edge."""

DIRECTIONS = ((0, 1), (-1, 1), (1, -1), (0, -1), (1, 1), (-1, -1), (-1, 0), (1, 0))

Segment = tuple[float, float, float, float]
"""A drawn line along one axis: x and y of its start, x and y of its end."""
"""Tried in this order, first close to the marker, then farther out."""

REACHES = (1.0, 1.9, 2.8)


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


@dataclass(frozen=True, kw_only=True)
class Label:
    """A text that belongs to one point, in data coordinates."""

    text: str
    x: float
    y: float
    colour: str
    size: float = 9.0


def around(x: float, y: float, width: float, height: float) -> Box:
    """The box of this size centred on a point."""
    return Box(left=x - width / 2, bottom=y - height / 2, right=x + width / 2, top=y + height / 2)


def place(
    points: Sequence[tuple[float, float]],
    sizes: Sequence[tuple[float, float]],
    *,
    obstacles: Sequence[Box],
    frame: Box,
) -> list[Box]:
    """A box for each label, greedily the first place that covers nothing, else the least bad.

    Args:
        points: Where each label's point is.
        sizes: Width and height of each label, same unit.
        obstacles: What no label should cover, its own point's marker included.
        frame: The area labels must stay in.
    """
    taken = list(obstacles)
    chosen = []
    for (x, y), (width, height) in zip(points, sizes, strict=True):
        best, best_cost = around(x, y, width, height), float("inf")
        for reach in REACHES:
            for dx, dy in DIRECTIONS:
                box = around(
                    x + dx * (width / 2 + GAP * reach * (0.55 if dy else 1.0)),
                    y + dy * (height / 2 + GAP * reach),
                    width,
                    height,
                )
                outside = width * height - box.overlap(frame)
                cost = sum(box.overlap(other) for other in taken) + 4 * outside
                if cost < best_cost - 1e-9:
                    best, best_cost = box, cost
        chosen.append(best)
        taken.append(best)
    return chosen


def draw(
    axes: Axes,
    labels: Sequence[Label],
    *,
    extra: Sequence[tuple[float, float]] = (),
    lines: Sequence[Segment] = (),
) -> None:
    """Writes the labels into `axes`, whose limits and size must be final.

    Args:
        axes: Where the points already are.
        labels: The texts.
        extra: Further points in data coordinates that no label should cover.
        lines: Lines in data coordinates, likewise.
    """
    figure = axes.figure.get_figure(root=True)
    if figure is None:
        raise ValueError("labels need axes that belong to a figure")
    renderer = FigureCanvasAgg(figure).get_renderer()  # type: ignore[no-untyped-call]
    scale = 72.0 / figure.dpi
    sizes = [_size(axes, label, renderer, scale) for label in labels]

    def to_points(x: float, y: float) -> tuple[float, float]:
        pixel = axes.transData.transform((x, y))
        return float(pixel[0]) * scale, float(pixel[1]) * scale

    spots = [to_points(label.x, label.y) for label in labels]
    obstacles = [around(x, y, 8, 8) for x, y in [*spots, *(to_points(*p) for p in extra)]]
    for start_x, start_y, end_x, end_y in lines:
        (left, bottom), (right, top) = to_points(start_x, start_y), to_points(end_x, end_y)
        obstacles.append(Box(left=left - 1, bottom=bottom - 1, right=right + 1, top=top + 1))
    area = axes.get_window_extent(renderer)
    frame = Box(
        left=area.x0 * scale, bottom=area.y0 * scale, right=area.x1 * scale, top=area.y1 * scale
    )
    boxes = place(spots, sizes, obstacles=obstacles, frame=frame)
    for label, box, (x, y) in zip(labels, boxes, spots, strict=True):
        offset = ((box.left + box.right) / 2 - x, (box.bottom + box.top) / 2 - y)
        _write(axes, label, offset)


def _size(axes: Axes, label: Label, renderer: RendererBase, scale: float) -> tuple[float, float]:
    probe = axes.text(0, 0, label.text, fontsize=label.size, transform=None)
    extent = probe.get_window_extent(renderer)
    probe.remove()
    return extent.width * scale + 2, extent.height * scale + 1


def _write(axes: Axes, label: Label, offset: tuple[float, float]) -> None:
    axes.annotate(
        label.text,
        (label.x, label.y),
        xytext=offset,
        textcoords="offset points",
        ha="center",
        va="center",
        fontsize=label.size,
        color=label.colour,
        zorder=6,
    )
