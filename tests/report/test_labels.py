"""A figure's label is nearest to its own point, or a thin line leads to it."""

import math

import pytest
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.text import Annotation, Text

from dllm_eval.report.labels import Label, draw


def annotations(points: list[tuple[float, float]]) -> tuple[Figure, list[Annotation]]:
    """Labels 0, 1, ... at points of axes from 0 to 100, as a small panel has them."""
    figure = Figure(figsize=(3.5, 3.0))
    FigureCanvasAgg(figure)
    axes = figure.add_subplot()
    axes.set_xlim(0, 100)
    axes.set_ylim(0, 100)
    draw(axes, [Label(text=str(i), x=x, y=y, colour="k") for i, (x, y) in enumerate(points)])
    return figure, [text for text in axes.texts if isinstance(text, Annotation)]


def distance(text: Annotation, figure: Figure, point: tuple[float, float]) -> float:
    """Pixels from the middle of the text to a point in data coordinates."""
    assert text.axes is not None
    renderer = FigureCanvasAgg(figure).get_renderer()  # type: ignore[no-untyped-call]
    # Of the words alone: a leader would reach to the point.
    offset = text.get_position()
    anchor = text.axes.transData.transform(text.xy)
    scale = renderer.points_to_pixels(1.0)
    spot = text.axes.transData.transform(point)
    return math.hypot(
        anchor[0] + scale * offset[0] - spot[0], anchor[1] + scale * offset[1] - spot[1]
    )


@pytest.mark.parametrize(
    "points",
    [
        [(20.0, 50.0), (50.0, 50.0), (80.0, 50.0)],
        [(50.0, 95.0), (51.0, 96.5), (55.0, 95.0), (56.0, 95.0), (65.0, 96.0)],
        [(50.0, 50.0), (50.5, 50.0), (50.0, 50.5), (50.5, 50.5)],
    ],
)
def test_no_label_is_mistaken_for_that_of_another_point(
    points: list[tuple[float, float]],
) -> None:
    figure, texts = annotations(points)
    assert [text.get_text() for text in texts] == [str(i) for i in range(len(points))]
    for i, text in enumerate(texts):
        nearest = min(points, key=lambda point: distance(text, figure, point))
        assert nearest == points[i] or text.arrow_patch is not None


def test_points_apart_need_no_lines() -> None:
    _, texts = annotations([(20.0, 50.0), (50.0, 50.0), (80.0, 50.0)])
    assert all(text.arrow_patch is None for text in texts)


def test_points_on_top_of_one_another_get_lines() -> None:
    _, texts = annotations([(50.0, 50.0), (50.2, 50.0)])
    assert any(text.arrow_patch is not None for text in texts)


@pytest.mark.parametrize("count", [2, 12, 40])
def test_no_label_covers_another(count: int) -> None:
    figure, texts = annotations([(50.0 + 0.01 * i, 50.0) for i in range(count)])
    renderer = FigureCanvasAgg(figure).get_renderer()  # type: ignore[no-untyped-call]
    boxes = []
    for text in texts:
        text.update_positions(renderer)
        boxes.append(Text.get_window_extent(text, renderer))
    assert len(boxes) >= min(count, 8)
    for i, one in enumerate(boxes):
        for other in boxes[:i]:
            width = min(one.x1, other.x1) - max(one.x0, other.x0)
            height = min(one.y1, other.y1) - max(one.y0, other.y0)
            assert width < 1.0 or height < 1.0
