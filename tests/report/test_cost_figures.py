"""Figures and sentences of batch sizes, answer lengths, energy and memory, where measured."""

from pathlib import Path
from typing import Any, Protocol

import pandas as pd
import pytest

from dllm_eval.report import text
from dllm_eval.report.figures import write_figures
from dllm_eval.report.leaderboard import for_terminal, markdown, sections, table
from dllm_eval.report.panels import batches, costs, lengths
from dllm_eval.report.style import looks
from dllm_eval.report.verdict import verdict
from dllm_eval.stats.analysis import TaskAnalysis, analyse
from dllm_eval.stats.tables import task_tables

SIZES = (4, 16)


class FramesLike(Protocol):
    """What the fixtures of conftest.py hand out."""

    cells: pd.DataFrame
    requests: pd.DataFrame
    scores: pd.DataFrame


def analysed(frames: FramesLike, **changes: pd.DataFrame) -> TaskAnalysis:
    parts: dict[str, Any] = {
        "cells": frames.cells,
        "requests": frames.requests,
        "scores": frames.scores,
        **changes,
    }
    (found,) = [analyse(x, replicates=300) for x in task_tables(**parts)]
    return found


@pytest.fixture(scope="module")
def measured(one_suite: FramesLike) -> TaskAnalysis:
    """The suite timed in batches too, with joules and memory; the most steps match AR.

    A batch of b takes the diffusion model b times as long to the power of 0.9, AR to that of 0.2.
    """
    cells, requests = [one_suite.cells], [one_suite.requests]
    timed = one_suite.cells[one_suite.cells["purpose"] == "latency"]
    for size in SIZES:
        cells.append(
            timed.assign(cell_id=timed["cell_id"] + f"-{size}", batch_size=size, done=None)
        )
        own = one_suite.requests[one_suite.requests["cell_id"].isin(timed["cell_id"])]
        own = own[own["doc_id"] < 16]
        power = own["model"].map({"diffusion": 0.9, "autoregressive": 0.2})
        of_batches = own.groupby(["cell_id", own["doc_id"] // size])["seconds"].transform("mean")
        requests.append(
            own.assign(
                cell_id=own["cell_id"] + f"-{size}",
                batch_size=size,
                seconds=of_batches * size**power / size,
            )
        )
    steps = one_suite.cells.set_index("cell_id")["dial_value"]
    told = [
        {
            "energy": {"joules": 100.0, "idle_watts": None, "source": "rapl", "seconds": 5.0},
            "peak_memory_bytes": (400 + 2 * (0 if pd.isna(n) else n)) * 2**20,
            "peak_memory_scope": "device, this cell",
        }
        for n in steps
    ]
    cells[0] = one_suite.cells.assign(done=pd.Series(told, index=one_suite.cells.index))
    ar = one_suite.scores[one_suite.scores["cell_id"].str.contains("reference-ar")]
    right = one_suite.scores["doc_id"].map(ar.set_index("doc_id")["value"])
    most = one_suite.scores["cell_id"].str.contains("diffusion-32-")
    scores = one_suite.scores.assign(value=one_suite.scores["value"].where(~most, right))
    lengthy = pd.concat(requests)
    visible = 4 + 6 * (lengthy["doc_id"] % 5)
    slower = 1.0 + 2.0 * (lengthy["doc_id"] % 5) * (lengthy["model"] == "autoregressive")
    return analysed(
        one_suite,
        cells=pd.concat(cells),
        requests=lengthy.assign(visible_tokens=visible, seconds=lengthy["seconds"] * slower / 2),
        scores=scores,
    )


def test_ar_overtakes_in_batches_and_the_sentence_says_where(measured: TaskAnalysis) -> None:
    (found,) = measured.batch_crossovers
    assert found.at == (1.0, 4.0, 16.0)
    assert found.ahead == (True, True, False)
    said = verdict(measured)
    assert (
        "Batches: reference-diffusion at 32 steps makes more visible tokens per second than AR "
        "up to batch size 4; from 16 on AR is ahead" in said
    )
    assert "Answer length: reference-diffusion at 32 steps is sooner from about" in said


def test_figures_of_what_was_measured(measured: TaskAnalysis, tmp_path: Path) -> None:
    names = {path.name for path in write_figures([measured], tmp_path)}
    assert {"batch.svg", "batch.png", "length.svg", "length.png", "cost.svg", "cost.png"} <= names
    svg = (tmp_path / "batch.svg").read_bytes()
    again = tmp_path / "again"
    again.mkdir()
    write_figures([measured], again)
    assert (again / "batch.svg").read_bytes() == svg


def test_nothing_is_drawn_where_nothing_was_measured(one_suite: FramesLike, tmp_path: Path) -> None:
    plain = analysed(one_suite)
    names = {path.stem for path in write_figures([plain], tmp_path)}
    assert not {"batch", "cost"} & names
    assert "energy" not in " ".join(sections(plain)[0].header)


def test_panels_hold_the_rows_that_were_measured(measured: TaskAnalysis) -> None:
    look = looks([(x.series, x.kind) for x in measured.table.configurations])
    (batch,), (length,) = batches([measured], look), lengths([measured], look)
    assert len(batch.members) == 8
    assert len(length.members) == 8
    assert [panel.x for panel in costs([measured], look)] == ["energy per request", "peak memory"]


def test_energy_memory_and_aup_are_columns(measured: TaskAnalysis) -> None:
    (section,) = sections(measured)
    energy, memory = section.header.index("energy per request"), section.header.index("peak memory")
    best = next(row for row in measured.rows if row.configuration.dial_value == 32)
    shown = next(row for row in section.rows if row[1].shown == "32")
    # 20 watts times its mean seconds.
    assert shown[energy].shown == text.joules(best.joules)
    assert best.joules == pytest.approx(20.0 * best.latency_s, rel=0.1)
    assert shown[memory].shown == "464 MiB"
    column = next(i for i, name in enumerate(section.header) if name.startswith("AUP (y_max "))
    assert len({row[column].key for row in section.rows}) == 2
    written = table([measured])
    assert written["aup_y_max"].iloc[0] == pytest.approx(100 * best.quality)
    assert {"joules", "peak_memory_bytes", "aup_value", "cheapest_acceptable"} <= set(written)


def test_frontiers_of_energy_and_memory_keep_what_nothing_beats(measured: TaskAnalysis) -> None:
    for flag, cost in (
        ("on_energy_frontier", "joules"),
        ("on_memory_frontier", "peak_memory_bytes"),
    ):
        for row in measured.rows:
            beaten = any(
                getattr(other, cost) <= getattr(row, cost)
                and other.quality >= row.quality
                and (getattr(other, cost), -other.quality) != (getattr(row, cost), -row.quality)
                for other in measured.rows
            )
            assert getattr(row, flag) == (not beaten and row.above_chance)


def test_without_latency_there_is_no_column_of_dashes(one_suite: FramesLike) -> None:
    cells = one_suite.cells[one_suite.cells["purpose"] == "quality"]
    (section,) = sections(analysed(one_suite, cells=cells))
    assert not {"p50 latency", "latency 95 %", "tokens/s", "P(frontier)", "speed-up vs AR"} & set(
        section.header
    )
    for i, name in enumerate(section.header):
        assert any(row[i].shown not in ("", "–") for row in section.rows), name


def test_guesses_are_marked_and_on_no_frontier(one_suite: FramesLike) -> None:
    wrong = one_suite.scores["cell_id"].str.contains("diffusion")
    scores = one_suite.scores.assign(value=one_suite.scores["value"].where(~wrong, 0.0))
    found = analysed(one_suite, scores=scores)
    for row in found.rows:
        diffusion = row.configuration.kind == "diffusion"
        assert row.above_chance != diffusion
        assert not (diffusion and row.on_frontier)
        assert row.p_frontier == (0.0 if diffusion else 1.0)
    assert "reaches 0.0 % (not clearly above chance) at 1 step" in verdict(found)


def test_a_terminal_shows_signs_as_they_are(one_suite: FramesLike) -> None:
    cells = one_suite.cells.assign(suite="a < b | c & d")
    written = markdown([analysed(one_suite, cells=cells)], [])
    assert "## a &lt; b \\| c &amp; d" in written
    assert "## a < b | c & d" in for_terminal(written)


def test_twenty_series_have_twenty_colours() -> None:
    found = looks([(f"s{i:02d}", "diffusion") for i in range(40)])
    assert len({look.colour for look in list(found.values())[:20]}) == 20
    assert len({(x.colour, x.marker, x.line) for x in found.values()}) == 40
