"""A dozen samplers of one model in one report: told apart, each with its own dial, and readable."""

import re
from itertools import combinations, pairwise
from pathlib import Path
from typing import Any, Protocol

import pandas as pd
import pytest
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.text import Text
from matplotlib.transforms import Bbox

from dllm_eval import report
from dllm_eval.report.figures import _single, write_figures
from dllm_eval.report.leaderboard import sections
from dllm_eval.report.payload import payload
from dllm_eval.report.style import AUTOREGRESSIVE_COLOURS, DIFFUSION_COLOURS, applied, looks
from dllm_eval.report.unfinished import unfinished_cells
from dllm_eval.report.verdict import verdict
from dllm_eval.stats.analysis import TaskAnalysis, analyse
from dllm_eval.stats.tables import task_tables

STEPPED = ("low_confidence", "margin", "entropy", "random", "remdm_conf", "p2", "origin")
"""Samplers that are run at three step counts; the others below have another dial, or none."""
THRESHOLDS = {4: 0.5, 8: 0.7, 32: 0.9}
ALONE = ("klass", "wino", "slow_fast", "local_leap")


class FramesLike(Protocol):
    """What the fixtures of conftest.py hand out."""

    cells: pd.DataFrame
    requests: pd.DataFrame
    scores: pd.DataFrame


def dozen(frames: FramesLike, *, cached: str = "approximate") -> dict[str, pd.DataFrame]:
    """The frames of one suite again for every sampler, a little slower and with own settings."""
    diffusion = frames.cells["kind"] == "diffusion"
    kept: dict[str, list[pd.DataFrame]] = {"cells": [frames.cells[~diffusion]]}
    rivals = set(frames.cells["cell_id"][~diffusion])
    for name in ("requests", "scores"):
        frame = getattr(frames, name)
        kept[name] = [frame[frame["cell_id"].isin(rivals)]]
    for number, sampler in enumerate([*STEPPED, "margin+threshold", *ALONE]):
        steps = [4] if sampler in ALONE else [4, 8, 32]
        chosen = frames.cells[diffusion & frames.cells["dial_value"].isin(steps)]
        mark = f"{sampler}-"
        cells = chosen.assign(
            cell_id=mark + chosen["cell_id"],
            config_id=mark + chosen["config_id"],
            settings=chosen["dial_value"].map(lambda x, name=sampler: settings_of(name, int(x))),
            dial="steps" if sampler in STEPPED else "",
        )
        if sampler not in STEPPED:
            cells = cells.assign(dial_value=float("nan"))
        kept["cells"].append(cells)
        for name in ("requests", "scores"):
            frame = getattr(frames, name)
            own = frame[frame["cell_id"].isin(chosen["cell_id"])]
            own = own.assign(cell_id=mark + own["cell_id"])
            if name == "requests":
                own = own.assign(
                    seconds=own["seconds"] * (1 + 0.21 * number),
                    cache=cached if sampler == "p2" else "none",
                )
            kept[name].append(own)
    return {name: pd.concat(parts, ignore_index=True) for name, parts in kept.items()}


def settings_of(sampler: str, steps: int) -> dict[str, Any]:
    if sampler in ALONE:
        return {"sampler": sampler}
    if sampler in STEPPED:
        return {"sampler": sampler, "steps": steps}
    return {"sampler": sampler, "threshold": THRESHOLDS[steps]}


@pytest.fixture(scope="module")
def analysis(one_suite: FramesLike) -> TaskAnalysis:
    parts = dozen(one_suite)
    (table,) = task_tables(parts["cells"], parts["requests"], parts["scores"])
    return analyse(table, replicates=200)


@pytest.fixture(scope="module")
def figure(analysis: TaskAnalysis) -> Figure:
    look = looks([(x.series, x.kind) for x in analysis.table.configurations])
    with applied():
        return _single(analysis, analysis.groups[0], look)


def test_a_sampler_is_a_series_with_its_own_dial(analysis: TaskAnalysis) -> None:
    found: dict[str, list[tuple[str, float]]] = {}
    for x in analysis.table.configurations:
        found.setdefault(x.composition, []).append((x.dial, x.dial_value))
    assert found["entropy"] == [("steps", 4.0), ("steps", 8.0), ("steps", 32.0)]
    assert found["margin+threshold"] == [("threshold", v) for v in (0.5, 0.7, 0.9)]
    assert [dial for dial, _ in found["klass"]] == [""]
    assert len(analysis.groups[0].curves) == len(STEPPED) + 1 + len(ALONE) + 1


def test_a_staircase_is_that_of_its_series_alone(analysis: TaskAnalysis) -> None:
    # Later samplers are slower copies of the first: beaten by it, and each on its own frontier.
    for curve in analysis.groups[0].curves:
        rows = [analysis.rows[i] for i in curve.members]
        assert len({row.configuration.series for row in rows}) == 1
        ordered = sorted(rows, key=lambda row: row.latency_s)
        for faster, slower in pairwise(ordered):
            assert slower.on_own_frontier == (slower.quality > faster.quality)
    slow = [r for r in analysis.rows if r.configuration.composition == "wino"]
    assert [(row.on_own_frontier, row.on_frontier) for row in slow] == [(True, False)]


def test_the_speed_up_is_that_of_the_model_with_all_its_samplers(analysis: TaskAnalysis) -> None:
    assert list(analysis.groups[0].speedups) == ["reference-diffusion"]
    assert "reference-diffusion (low_confidence) reaches" in verdict(analysis)


def test_twenty_series_differ_in_colour_marker_or_line_and_ten_in_colour_and_marker() -> None:
    found = looks([(f"s{i:02}", "diffusion") for i in range(20)])
    drawn = [found[f"s{i:02}"] for i in range(20)]
    assert len({(x.colour, x.marker, x.line) for x in drawn}) == 20
    assert len({(x.colour, x.marker) for x in drawn}) == 20
    assert len({x.colour for x in drawn[:10]}) == len({x.marker for x in drawn[:10]}) == 10
    assert not set(DIFFUSION_COLOURS) & set(AUTOREGRESSIVE_COLOURS)


def linear(colour: str) -> list[float]:
    parts = [int(colour[i : i + 2], 16) / 255 for i in (1, 3, 5)]
    return [x / 12.92 if x <= 0.04045 else ((x + 0.055) / 1.055) ** 2.4 for x in parts]


def perceived(colour: str) -> list[float]:
    """Oklab (Ottosson 2020), in which equal distances look about equally different."""
    r, g, b = linear(colour)
    long = (0.4122214708 * r + 0.5363325363 * g + 0.0514459929 * b) ** (1 / 3)
    medium = (0.2119034982 * r + 0.6806995451 * g + 0.1073969566 * b) ** (1 / 3)
    short = (0.0883024619 * r + 0.2817188376 * g + 0.6299787005 * b) ** (1 / 3)
    return [
        0.2104542553 * long + 0.7936177850 * medium - 0.0040720468 * short,
        1.9779984951 * long - 2.4285922050 * medium + 0.4505937099 * short,
        0.0259040371 * long + 0.7827717662 * medium - 0.8086757660 * short,
    ]


def test_ten_colours_are_far_apart_for_the_eye() -> None:
    for one, other in combinations([*DIFFUSION_COLOURS, AUTOREGRESSIVE_COLOURS[0]], 2):
        pairs = zip(perceived(one), perceived(other), strict=True)
        distance = sum((a - b) ** 2 for a, b in pairs) ** 0.5
        assert distance > 0.1, (one, other)


def extents(figure: Figure) -> tuple[list[tuple[str, Bbox]], Bbox, Bbox]:
    """The labels in the axes, the axes, and the legend, in pixels."""
    canvas = FigureCanvasAgg(figure)
    renderer = canvas.get_renderer()  # type: ignore[no-untyped-call]
    axes = figure.axes[0]
    figure.draw(renderer)
    # Of an annotation only the words: the line that leads to its point may touch others.
    labels = [(x.get_text(), Text.get_window_extent(x, renderer)) for x in axes.texts]
    return labels, axes.get_window_extent(renderer), figure.legends[0].get_window_extent(renderer)


def test_no_label_covers_another_or_leaves_the_axes(figure: Figure) -> None:
    labels, axes, _ = extents(figure)
    assert len(labels) >= len(STEPPED)
    for (one, box), (other, second) in combinations(labels, 2):
        shared = Bbox.intersection(box, second)
        area = 0.0 if shared is None else shared.width * shared.height
        assert area <= 0.05 * min(box.width * box.height, second.width * second.height), (
            one,
            other,
        )
    for text, box in labels:
        assert axes.x0 - 1 <= box.x0, text
        assert box.x1 <= axes.x1 + 1, text


def test_the_legend_lists_every_series_beside_the_axes_and_inside_the_figure(
    figure: Figure, analysis: TaskAnalysis
) -> None:
    _, axes, legend = extents(figure)
    texts = [text.get_text() for text in figure.legends[0].get_texts()]
    series = sorted(curve.composition for curve in analysis.groups[0].curves if curve.composition)
    assert texts == ["reference-diffusion", *series, "reference-ar"]
    assert axes.x1 < legend.x0
    assert legend.y0 >= 0
    assert legend.x1 <= figure.bbox.width
    assert legend.y1 <= figure.bbox.height


def test_names_stand_at_points_where_there_is_room(figure: Figure) -> None:
    texts = {text.get_text() for text in figure.axes[0].texts}
    assert len([name for name in (*STEPPED, *ALONE) if any(t.startswith(name) for t in texts)]) >= 6


def test_the_leaderboard_names_sampler_and_setting(analysis: TaskAnalysis) -> None:
    (section,) = sections(analysis)
    assert section.header[:3] == ("model", "sampler", "setting")
    shown = {tuple(entry.shown for entry in row[:3]) for row in section.rows}
    assert ("reference-diffusion", "margin+threshold", "threshold 0.7") in shown
    assert ("reference-diffusion", "entropy", "32 steps") in shown
    assert ("reference-diffusion", "klass", "–") in shown


def test_an_approximate_cache_is_named_in_every_row_because_the_records_say_so(
    analysis: TaskAnalysis, one_suite: FramesLike
) -> None:
    (section,) = sections(analysis)
    own = [row[1].shown for row in section.rows if row[1].shown.startswith("p2")]
    assert own == ["p2, approximate cache"] * 3
    assert any("answers may differ" in remark for remark in section.remarks)
    parts = dozen(one_suite, cached="exact")
    (table,) = task_tables(parts["cells"], parts["requests"], parts["scores"])
    assert {x.composition for x in table.configurations} >= {"p2", "entropy"}
    assert not any(x.approximate for x in table.configurations)


def test_the_page_has_a_look_for_every_series(analysis: TaskAnalysis) -> None:
    (entry,) = payload([analysis])
    places: Any = entry["places"]
    curves = places[0]["curves"]
    assert len({(c["colour"], c["marker"], c["line"]) for c in curves}) == len(curves)
    assert {c["composition"] for c in curves} >= {"klass", "margin+threshold"}
    names = {row["dial_name"] for c in curves for row in c["points"]}
    assert names == {"steps", "threshold", ""}
    script = (Path(report.__file__).parent / "page" / "charts.js").read_text()
    for curve in curves:
        # A circle is what a marker without a shape of its own falls back to.
        assert curve["marker"] == "o" or f'case "{curve["marker"]}":' in script


def test_each_dial_has_its_panel_and_every_file_is_written(
    analysis: TaskAnalysis, tmp_path: Path
) -> None:
    names = {path.name for path in write_figures([analysis], tmp_path)}
    stems = ("frontier_ref_humaneval", "frontiers", "dial", "time", "length")
    assert names == {f"{stem}.{end}" for stem in stems for end in ("svg", "png")}
    drawn = (tmp_path / "dial.svg").read_text(encoding="utf-8")
    assert len(re.findall(r'id="axes_\d+"', drawn)) == 2


def test_unfinished_cells_are_named_by_sampler(one_suite: FramesLike) -> None:
    cells = dozen(one_suite)["cells"].assign(finished=False)
    lines = " / ".join(cell.line for cell in unfinished_cells(cells))
    assert "reference-diffusion, klass, quality" in lines
    assert "reference-diffusion, margin+threshold, threshold = 0.7, latency" in lines
