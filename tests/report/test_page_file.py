"""The page as a file: how large it is, what it may load, what it says of cells and origins."""

import csv
import io
import json
import re
import shlex
from dataclasses import dataclass, replace
from typing import Any

import pandas as pd
import pytest
from page_frames import (
    AUTOREGRESSIVE,
    CODE,
    DIFFUSION,
    ERROR,
    FACTS,
    PageFrames,
    page_frames,
)

from dllm_eval.report.beside import Beside
from dllm_eval.report.details import details
from dllm_eval.report.leaderboard import table
from dllm_eval.report.provenance import compared
from dllm_eval.report.render import csv_rows, page
from dllm_eval.report.unfinished import NOT_RUN, unfinished_cells
from dllm_eval.stats.analysis import TaskAnalysis, analyse
from dllm_eval.stats.tables import task_tables

LARGEST = 5_000_000


@pytest.fixture(scope="module")
def frames() -> PageFrames:
    return page_frames(suites=(CODE, FACTS))


@pytest.fixture(scope="module")
def analyses(frames: PageFrames) -> list[TaskAnalysis]:
    return [analyse(x) for x in task_tables(frames.cells, frames.requests, frames.scores)]


def copies(analyses: list[TaskAnalysis], times: int) -> list[TaskAnalysis]:
    return [
        replace(x, table=replace(x.table, suite=f"{x.table.suite} {i}"))
        for i in range(times)
        for x in analyses
    ]


def test_a_page_of_many_suites_and_long_answers_stays_small() -> None:
    frames = page_frames(suites=(CODE,), steps=tuple(range(1, 16)), canvas=1024, documents=12)
    one = [analyse(x) for x in task_tables(frames.cells, frames.requests, frames.scores)]
    many = copies(one, 20)
    # 320 settings with a quality cell and two latency cells each.
    assert sum(len(x.rows) for x in many) == 320
    assert len(page(many, [], None, cells=frames.cells).encode()) < LARGEST


@pytest.mark.slow
def test_a_page_of_a_hundred_thousand_records_stays_small() -> None:
    frames = page_frames(documents=512, steps=tuple(range(1, 37)), canvas=256)
    assert len(frames.requests) > 100_000
    assert len(frames.cells) > 300
    found = [analyse(x) for x in task_tables(frames.cells, frames.requests, frames.scores)]
    assert len(page(found, [], None, cells=frames.cells).encode()) < LARGEST


def test_a_large_drawn_figure_is_left_out(analyses: list[TaskAnalysis]) -> None:
    small, large = "<svg><title>drawn</title></svg>", f"<svg><!--{'x' * 2_000_000}--></svg>"
    assert "<title>drawn</title>" in page(analyses, [], small)
    assert len(page(analyses, [], large)) < 1_000_000


def test_the_page_may_load_nothing(analyses: list[TaskAnalysis]) -> None:
    written = page(analyses, [], None)
    assert re.search(r'Content-Security-Policy" content="default-src \'none\';', written)
    assert re.findall(r'(?:src|href)="(?!#|data:)([^"]*)"', written) == []


def test_the_embedded_leaderboard_is_the_written_one(analyses: list[TaskAnalysis]) -> None:
    written = table(analyses).to_csv(index=False, lineterminator="\n")
    assert csv_rows(analyses) == list(csv.reader(io.StringIO(written)))
    shown = page(analyses, [], None)
    found = re.search(r'<script type="application/json" id="board">(.*?)</script>', shown)
    assert found is not None
    assert json.loads(found[1]) == csv_rows(analyses)


def test_every_leaderboard_row_knows_which_row_it_is(analyses: list[TaskAnalysis]) -> None:
    shown = page(analyses, [], None)
    rows = re.findall(
        r'<tr data-model="([^"]*)" data-suite="(\d+)" data-row="(\d+)">(.*?)</tr>', shown
    )
    assert len(rows) == sum(len(x.rows) for x in analyses)
    assert len({(suite, row) for _, suite, row, _ in rows}) == len(rows)
    for model, suite, row, cells in rows:
        own = analyses[int(suite)].rows[int(row)]
        assert own.configuration.model == model
        assert f'data-key="{own.quality}"' in cells
        assert f'data-key="{own.latency_s}"' in cells


def test_details_name_cells_origin_and_a_line_to_run(analyses: list[TaskAnalysis]) -> None:
    found = details(analyses, {})
    facts, suites = found["facts"], found["suites"]
    assert isinstance(facts, list)
    assert isinstance(suites, list)
    for analysis, rows in zip(analyses, suites, strict=True):
        for row, own in zip(analysis.rows, rows, strict=True):
            x = row.configuration
            assert own["quality_cells"] == list(x.quality_cells)
            assert own["latency_cells"] == list(x.latency_cells)
            origin = {tuple(facts[i]) for i in own["origin"]}
            assert ("machine and stack", x.group) in origin
            assert ("git_commit", "0123456789abcdef") in origin
            words = shlex.split(own["command"])
            assert words[:2] == ["dllm-eval", "run"]
            wanted = {"pretrained": "made-up", **({"steps": int(x.dial_value)} if x.dial else {})}
            assert json.loads(words[words.index("--model_args") + 1]) == wanted
            assert words[words.index("--tasks") + 1] == analysis.table.task
    assert len({tuple(fact) for fact in facts}) == len(facts)


def test_unfinished_cells_come_with_their_reason_failed_ones_first(frames: PageFrames) -> None:
    first, second = unfinished_cells(frames.cells)
    assert (first.failed, first.reason, first.purpose) == (True, ERROR, "quality")
    assert (second.failed, second.reason, second.purpose) == (False, NOT_RUN, "latency")
    assert (first.model, first.setting, first.machine) == (DIFFUSION, "steps = 64", "laptop")
    old = unfinished_cells(frames.cells.drop(columns="failed"))
    assert [(x.failed, x.reason) for x in old] == [(False, NOT_RUN)] * 2


def test_an_error_line_cannot_become_markup(
    analyses: list[TaskAnalysis], frames: PageFrames
) -> None:
    written = page(analyses, [], None, cells=frames.cells)
    assert "<b>2 GiB" not in written
    assert "&lt;b&gt;2 GiB" in written


def test_a_frame_without_failures_says_so(analyses: list[TaskAnalysis], frames: PageFrames) -> None:
    done: pd.DataFrame = frames.cells[frames.cells["finished"]]
    assert "None: every planned cell is finished." in page(analyses, [], None, cells=done)


@dataclass(frozen=True, kw_only=True)
class Lone:
    model: str = "somebody's <model>"
    task: str = "made_task"
    metric: str = "acc"
    filter: str = "none"
    num_documents: int = 200
    value: float = 0.5
    stderr: float = 0.05


def test_scores_without_documents_stand_beside_the_tables(analyses: list[TaskAnalysis]) -> None:
    beside = Beside(scores=(Lone(),), notes=("read from <there>",))
    written = page(analyses, [], None, beside=beside)
    assert "<td>somebody&#39;s &lt;model&gt;</td>" in written
    assert "<td>40.2 to 59.8</td>" in written
    assert "<li>read from &lt;there&gt;</li>" in written
    assert 'id="beside"' not in page(analyses, [], None)


def test_the_first_lines_say_what_was_compared(analyses: list[TaskAnalysis]) -> None:
    models = f"{DIFFUSION} and {AUTOREGRESSIVE}"
    assert compared(analyses[:1]) == f"{models} · laptop / transformers 5.23 float32"
    assert compared(analyses) == f"{models} · 2 places"
    assert f'<p class="compared">{models} · 2 places</p>' in page(analyses, [], None)


def test_requests_timed_in_several_rounds_say_so(analyses: list[TaskAnalysis]) -> None:
    first = analyses[0].rows[0]
    twice = replace(first.configuration, latency_cells=("one", "two"))
    many = replace(analyses[0], rows=(replace(first, configuration=twice), *analyses[0].rows[1:]))
    for analysis, said in ((analyses[0], "36"), (many, "36 in 2 rounds")):
        found: Any = details([analysis], {})
        row = found["suites"][0][0]
        assert ["requests timed", said] in [found["facts"][i] for i in row["result"]]
