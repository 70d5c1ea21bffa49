"""A legend stands above the panels while it fits there, and else beside them, never cut off."""

from dataclasses import dataclass

import pytest
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

from dllm_eval.report import legend
from dllm_eval.report.style import applied, looks


@dataclass(frozen=True, kw_only=True)
class Named:
    series: str
    model: str
    composition: str
    kind: str


def named(*compositions: str) -> list[Named]:
    own = [
        Named(series=f"Diffusion ({x})", model="Diffusion", composition=x, kind="diffusion")
        for x in compositions
    ]
    return [*own, Named(series="AR", model="AR", composition="", kind="autoregressive")]


@pytest.mark.parametrize(
    ("compositions", "beside"),
    [
        (("race 0", "race 0.005"), False),
        (("likelihood control_variate, race 0", "likelihood control_variate, race 0.005"), True),
        (("a", "b", "c", "d", "e"), True),
    ],
)
def test_it_lies_inside_the_figure(compositions: tuple[str, ...], beside: bool) -> None:
    series = named(*compositions)
    look = looks([(x.series, x.kind) for x in series])
    with applied():
        width, height = legend.side_inches(series, look, room=6.0)  # type: ignore[arg-type]
        assert (width > 0) == beside
        figure = Figure(figsize=(6.0 + width, max(4.0, height)))
        canvas = FigureCanvasAgg(figure)
        legend.add(figure, series, look, beside=beside, loc="upper center", at=(0.5, 1.0))  # type: ignore[arg-type]
        (drawn,) = figure.legends
        box = drawn.get_window_extent(canvas.get_renderer())  # type: ignore[no-untyped-call]
    assert box.x0 >= 0
    assert box.x1 <= figure.bbox.x1
    written = [text.get_text() for text in drawn.get_texts()]
    assert written[-1] == "AR"
    assert ("Diffusion" in written) == beside


def test_no_series_has_a_cross_which_says_at_chance() -> None:
    kinds = ("diffusion", "autoregressive")
    many = looks([(f"{kind} {i}", kind) for kind in kinds for i in range(40)])
    assert not {look.marker for look in many.values()} & {"x", "X", "+"}
