"""Runs under load in the report: tables, sentences, the figure, the csv, and nothing without."""

import csv
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from load_frames import Answered, Speed, add_load, arriving, closed_loop
from served_frames import (
    COMPILED,
    EAGER,
    ServedFrames,
    api_rows,
    local_autoregressive,
    local_diffusion,
)

from dllm_eval.report import ReportPaths, write_frames
from dllm_eval.report.load_table import load_tables
from dllm_eval.report.suite_table import Frames, SuiteTable
from dllm_eval.report.suite_tables import markdown
from dllm_eval.stats.analysis import analyse
from dllm_eval.stats.load_crossover import suite_loads
from dllm_eval.stats.tables import task_tables

LEVELS, RATES = (1, 2, 4, 8), (1.0, 4.0)
SPEEDS = {
    "diffusion": Speed(first_s=0.1, each_s=0.08),
    "autoregressive": Speed(first_s=0.3, each_s=0.003),
}
HARM = "<script>alert(1)</script> | x"


def made(*, load: bool = True, api: bool = True, machine: str = "laptop") -> ServedFrames:
    """Diffusion at 8 steps beside AR in two tiers, and an API, closed loops and arrivals."""
    build, draw = ServedFrames(), np.random.default_rng(9)
    rows = [*local_diffusion((2, 8)), *local_autoregressive((EAGER, COMPILED))]
    rows = [replace(row, machine=machine) for row in rows]
    rows += [replace(row, reported=True) for row in api_rows(("low",))] if api else []
    for row in rows:
        build.add(row)
    for row in rows if load else ():
        slower = 1.3 if row.tier == EAGER else 1.0
        speed = SPEEDS["diffusion" if row.placement == "api" else row.kind]
        speed = Speed(first_s=speed.first_s * slower, each_s=speed.each_s * slower)
        for level in LEVELS:
            ran = closed_loop(speed, level, 96, draw)
            add_load(build, row, ran, in_flight=level, visible_tokens=10)
        for rate in RATES:
            add_load(build, row, arriving(speed, rate, 80, draw), arrivals_per_s=rate)
    return build


def tables(build: ServedFrames) -> list[SuiteTable]:
    cells, requests, scores = build.frames
    known = tuple(task_tables(cells, requests, scores))
    loads = suite_loads([analyse(x) for x in known], cells, requests)
    return load_tables(Frames(cells=cells, requests=requests, scores=scores, loads=loads))


@pytest.fixture(scope="module")
def paths(tmp_path_factory: pytest.TempPathFactory) -> ReportPaths:
    return write_frames(*made().frames, tmp_path_factory.mktemp("load"))


def column(table: SuiteTable, name: str, setting: str) -> list[str]:
    at, named = table.header.index(name), table.header.index("setting")
    return [row[at] for row in table.rows if setting in row[named]]


def test_there_is_a_table_for_each_machine_and_kind_of_load() -> None:
    found = tables(made())
    assert [x.title for x in found] == [
        "Under load, Code, made up: so many requests in flight (laptop)",
        "Under load, Code, made up: requests that arrive at random (laptop)",
        "Under load, Code, made up: so many requests in flight (api.example.ai)",
        "Under load, Code, made up: requests that arrive at random (api.example.ai)",
    ]
    assert [x.figure for x in found] == ["load", "", "", ""]
    assert len(found[0].rows) == 4 * len(LEVELS)
    assert len(found[3].rows) == len(RATES)
    for table in found:
        assert {len(row) for row in table.rows} == {len(table.header)}


def test_the_crossover_is_said_and_the_tier_named() -> None:
    closed, arrivals = tables(made())[:2]
    assert closed.notes[0] == (
        "Made-up diffusion at 8 steps: makes more visible tokens per second than AR with 1 and 2 "
        "in flight; AR (compiled, static cache) is ahead from 4 in flight on."
    )
    assert column(closed, "against AR", "8 steps") == [
        *["ahead of compiled, static cache"] * 2,
        *["behind compiled, static cache"] * 2,
    ]
    assert column(closed, "in flight", "8 steps") == ["1", "2", "4", "8"]
    # Two steps do not match the quality.
    assert column(closed, "against AR", "2 steps") == ["–"] * 4
    assert arrivals.notes[0].startswith("Made-up diffusion at 8 steps: ")


def test_an_api_is_compared_with_nothing() -> None:
    own = tables(made())[2]
    assert own.notes[0] == (
        "What a server not started here runs on is not known: nothing is compared."
    )
    assert {row[own.header.index("against AR")] for row in own.rows} == {"–"}


def test_a_saturated_level_is_marked_and_has_no_interval() -> None:
    build = made(api=False)
    own = local_diffusion((8,))[0]
    late = [Answered(offered_s=i / 9, answered_s=i / 3 + 1, batch=1) for i in range(80)]
    add_load(build, own, late, arrivals_per_s=9.0, offered=100)
    (found,) = (x for x in tables(build) if "arrive" in x.title)
    row = next(
        x for x in found.rows if x[1] == "8 steps" and x[found.header.index("asked /s")] == "9"
    )
    told = dict(zip(found.header, row, strict=True))
    assert told["answered /s"] == "3.00 (saturated)"
    assert told["p90 95 %"] == "–"
    assert told["answered"] == "80 of 100"
    data = found.frame
    assert data[data["saturated"]]["arrivals_per_s"].tolist() == [9.0]
    assert data[data["saturated"]]["unanswered"].tolist() == [0.2]


def test_how_runs_differ_is_known_of_rounds() -> None:
    alone = "of one run, they do not know how runs differ."
    assert alone in tables(made(api=False))[0].about
    build, draw = ServedFrames(), np.random.default_rng(4)
    row, other = local_diffusion((8,))[0], local_autoregressive((EAGER,))[0]
    for turn in range(3):
        for x in (row, other):
            if turn == 0:
                build.add(x)
            ran = closed_loop(SPEEDS[x.kind], 2, 96, draw)
            add_load(build, x, ran, in_flight=2, turn=turn)
    (found,) = tables(build)
    assert "how the runs of a level differ" in found.about
    assert "do not know" not in found.about
    assert found.frame["runs"].tolist() == [3, 3]
    assert column(found, "answered", "8 steps") == ["288 of 288"]
    add_load(build, row, closed_loop(SPEEDS["diffusion"], 4, 96, draw), in_flight=4)
    (found,) = tables(build)
    assert "where a level has one run, they do not know how runs differ." in found.about


def test_reasons_for_no_comparison_are_said() -> None:
    build, rows = ServedFrames(), [*local_diffusion((2,)), *local_autoregressive((EAGER,))]
    draw = np.random.default_rng(2)
    for row in rows:
        build.add(row)
    add_load(build, rows[0], closed_loop(SPEEDS["diffusion"], 1, 20, draw), in_flight=1)
    assert tables(build)[0].notes[0] == "No AR model was run under load beside it."
    add_load(build, rows[1], closed_loop(SPEEDS["autoregressive"], 1, 20, draw), in_flight=1)
    assert tables(build)[0].notes[0] == (
        "No diffusion setting that was run under load matches the AR quality."
    )


def test_a_busy_machine_is_said() -> None:
    cells, requests, scores = made(api=False).frames
    analysis = analyse(task_tables(cells, requests, scores)[0])
    busy = replace(analysis, rows=tuple(replace(row, busy=True) for row in analysis.rows))
    loads = suite_loads([busy], cells, requests)
    found = load_tables(Frames(cells=cells, requests=requests, scores=scores, loads=loads))
    assert found[0].notes == (
        "The machine was busy when these settings were timed: nothing is claimed.",
    )


def test_everything_is_written(paths: ReportPaths) -> None:
    names = {path.name for path in paths.figures}
    assert {"load.svg", "load.png"} <= names
    assert "load.csv" in {path.name for path in paths.suite_tables}
    for path in (paths.leaderboard_md, paths.leaderboard_html, paths.page):
        text = path.read_text(encoding="utf-8")
        assert "Under load, Code, made up: so many requests in flight (laptop)" in text
        assert "AR (compiled, static cache) is ahead from 4 in flight on." in text
    drawn = paths.page.read_text(encoding="utf-8").split("so many requests in flight (laptop)</h3>")
    assert "<svg" in drawn[1][:4000]


def test_the_csv_has_unrounded_numbers_with_their_intervals(paths: ReportPaths) -> None:
    path = next(x for x in paths.suite_tables if x.name == "load.csv")
    with path.open(encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    assert len(rows) == 5 * (len(LEVELS) + len(RATES))
    own = [x for x in rows if x["dial_value"] == "8.0" and x["in_flight"] == "4.0"]
    assert len(own) == 1
    low, rate, high = (
        float(own[0][x]) for x in ("tokens_low", "visible_tokens_per_s", "tokens_high")
    )
    assert low < rate < high
    assert own[0]["lead"] == "behind"
    assert own[0]["best_ar"] == "compiled, static cache"
    assert {x["placement"] for x in rows} == {"local", "api"}


def test_the_same_results_give_the_same_files(paths: ReportPaths, tmp_path: Path) -> None:
    again = write_frames(*made().frames, tmp_path)
    for first, second in zip(paths.figures, again.figures, strict=True):
        assert first.read_bytes() == second.read_bytes(), first.name
    assert paths.leaderboard_md.read_bytes() == again.leaderboard_md.read_bytes()


def test_without_load_there_is_not_a_word_of_it(tmp_path: Path) -> None:
    paths = write_frames(*made(load=False, api=False).frames, tmp_path)
    assert not [path for path in tmp_path.iterdir() if path.name.startswith(("load", "servers"))]
    assert "load.svg" not in {path.name for path in paths.figures}
    for path in (paths.leaderboard_md, paths.leaderboard_html):
        text = path.read_text(encoding="utf-8")
        assert "nder load" not in text
        assert "in flight" not in text
        assert "Servers" not in text


def test_names_of_machines_are_no_markup() -> None:
    found = tables(made(api=False, machine=HARM))
    assert len(found) == 2
    assert "<script>" not in markdown(found)
    assert "alert(1)" in markdown(found)
