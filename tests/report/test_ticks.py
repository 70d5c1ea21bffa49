"""An axis of a single point, or of points close together, has more than one tick."""

import pytest
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

from dllm_eval.report.ticks import set_log_ticks


@pytest.mark.parametrize("low", [0.0031, 0.0101, 0.24, 0.6, 7.3])
@pytest.mark.parametrize("spread", [1.0, 1.2, 3.0, 8.0, 90.0, 2000.0])
def test_at_least_two_ticks_lie_on_the_axis(low: float, spread: float) -> None:
    figure = Figure(figsize=(3.5, 3.0))
    FigureCanvasAgg(figure)
    axes = figure.add_subplot()
    axes.set_xscale("log")
    start, end = low / 1.35, low * spread * 1.45
    axes.set_xlim(start, end)
    set_log_ticks(axes.xaxis, spread)
    seen = [tick for tick in axes.xaxis.get_majorticklocs() if start <= tick <= end]
    assert 2 <= len(seen) <= 10
