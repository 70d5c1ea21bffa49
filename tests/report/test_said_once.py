"""What a reader needs once stands once: machines, unfinished settings, tiers, served models."""

from dataclasses import dataclass

import pandas as pd
import pytest
from load_frames import Speed, add_load, closed_loop
from numpy.random import default_rng
from served_frames import COMPILED, EAGER, ServedFrames, local_autoregressive, local_diffusion
from suite_frames import SuiteFrames

from dllm_eval.report.beside import Beside
from dllm_eval.report.extraction_table import extraction_tables
from dllm_eval.report.first_look import cards
from dllm_eval.report.load_table import load_tables
from dllm_eval.report.machine_names import renamed
from dllm_eval.report.render import page
from dllm_eval.report.server_table import named_model
from dllm_eval.report.suite_table import Frames
from dllm_eval.report.unfinished import unfinished_cells
from dllm_eval.report.untimed import HOW, IMPORTED, not_timed
from dllm_eval.stats.analysis import TaskAnalysis, analyse
from dllm_eval.stats.load_crossover import suite_loads
from dllm_eval.stats.tables import TaskTable, task_tables

VALUES = {"raw": [1.0, 0.0, 1.0, 1.0, 0.0, 1.0], "fenced": [1.0, 1.0, 1.0, 1.0, 0.0, 1.0]}


@dataclass(frozen=True, kw_only=True)
class Found:
    """What one search found."""

    suite: str
    line: str


def tables_of(build: SuiteFrames) -> tuple[TaskTable, ...]:
    return tuple(task_tables(*build.frames))


def analyses_of(build: SuiteFrames) -> list[TaskAnalysis]:
    return [analyse(table) for table in tables_of(build)]


def test_a_machine_is_named_once_below_the_rows_of_a_table() -> None:
    build = SuiteFrames()
    machine = "AMD EPYC 9R45, 2 cores, 1 thread"
    for engine in ("vllm 0.9", "sglang 0.5"):
        stack = f"{engine}, torch 2.13, float32"
        settings = {"steps": 8, "engine": engine}
        build.cell(VALUES, settings=settings, machine=machine, stack=stack)
    cells, requests, scores = build.frames
    own = Frames(cells=cells, requests=requests, scores=scores, tables=tables_of(build))
    table = extraction_tables(own)[0]
    assert {row[0] for row in table.rows} == {
        "diffusion one (vllm 0.9)",
        "diffusion one (sglang 0.5)",
    }
    assert not any(machine in cell for row in table.rows for cell in row)
    (note,) = table.notes
    assert f"vllm 0.9: {machine} / vllm 0.9, torch 2.13, float32" in note


def test_cells_of_one_setting_are_one_line_with_their_count() -> None:
    build = SuiteFrames()
    for seed in range(3):
        build.cell(VALUES, seed=seed, finished=False, purpose="latency")
    build.cell(VALUES, seed=7, finished=False, failed="out of memory")
    cells, _, _ = build.frames
    first, second = unfinished_cells(cells)
    assert (first.failed, first.count, first.cells) == (True, 1, "quality")
    assert (second.count, second.cells) == (3, "latency, 3 cells")
    assert ", latency, 3 cells (laptop): not finished" in second.line


def test_one_thread_is_one_machine_whatever_wrote_it() -> None:
    names = ["EPYC, 2 cores, 1 threads", "EPYC, 2 cores, 1 thread", "EPYC, 1 cores, 11 threads"]
    found = renamed(pd.DataFrame({"machine": [*names, ""]}))["machine"].tolist()
    assert found[:2] == ["EPYC, 2 cores, 1 thread"] * 2
    assert found[2:] == ["EPYC, 1 core, 11 threads", ""]


@pytest.mark.parametrize(
    ("told", "shown"),
    [
        ("/home/somebody/models/llada-8b/", "llada-8b"),
        ("C:\\models\\llada-8b", "llada-8b"),
        ("./models/llada-8b", "llada-8b"),
        ("vendor/mercury-2", "vendor/mercury-2"),
        ("mercury-2", "mercury-2"),
        ("", ""),
    ],
)
def test_a_served_folder_is_named_without_its_path(told: str, shown: str) -> None:
    assert named_model(told) == shown


def test_a_tier_has_a_column_and_is_not_in_the_setting_as_well() -> None:
    build, draw = ServedFrames(), default_rng(3)
    for row in (*local_diffusion((2, 8)), *local_autoregressive((EAGER, COMPILED))):
        build.add(row)
        ran = closed_loop(Speed(first_s=0.1, each_s=0.05), 2, 40, draw)
        add_load(build, row, ran, in_flight=2, visible_tokens=10)
    cells, requests, scores = build.frames
    known = tuple(task_tables(cells, requests, scores))
    loads = suite_loads([analyse(x) for x in known], cells, requests)
    table = load_tables(Frames(cells=cells, requests=requests, scores=scores, loads=loads))[0]
    at = table.header.index("tier")
    assert {row[at] for row in table.rows} >= {EAGER, COMPILED}
    assert not any(row[at] in row[1] for row in table.rows if row[at] != "–")


def gaps(*policies: str) -> SuiteFrames:
    build = SuiteFrames()
    for policy in policies:
        settings = {"steps": 8, "infill_length": policy}
        build.cell(VALUES, settings=settings, infill="native", policy=policy)
    build.cell(
        {"raw": [1.0] * 6}, model="AR", kind="autoregressive", settings={}, infill="prefix_only"
    )
    return build


def test_a_card_says_that_its_length_was_picked_on_these_documents() -> None:
    (analysis,) = analyses_of(gaps("fixed:1", "fixed:4", "fixed:8"))
    ((caveat,),) = (card.caveats for card in cards(analysis))
    assert caveat == (
        "diffusion one's length of 1 token was picked on these very documents, of 3 that were "
        "run, which flatters."
    )


@pytest.mark.parametrize("policy", ["fixed:4", "model"])
def test_a_single_length_was_picked_from_nothing(policy: str) -> None:
    (analysis,) = analyses_of(gaps(policy))
    assert not any("picked" in x for card in cards(analysis) for x in card.caveats)


def test_what_was_not_timed_has_a_line_in_the_place_of_empty_charts() -> None:
    build = SuiteFrames()
    build.cell(VALUES)
    (analysis,) = analyses_of(build)
    assert not_timed(analysis) == f"Not timed, so in no chart: diffusion one. {HOW}"
    html = page([analysis], [], None)
    assert 'class="charts"' not in html
    assert html.count(HOW) == 1
    imported = SuiteFrames()
    imported.cell(VALUES, imported=True)
    (analysis,) = analyses_of(imported)
    assert not_timed(analysis).endswith(IMPORTED)


def test_what_a_search_found_stands_beside_its_suite() -> None:
    build = SuiteFrames()
    build.cell(VALUES)
    build.cell(VALUES, task="other", title="Other")
    found = Found(suite="Code", line="diffusion one, Code: steps=8 was shown to be enough <b>")
    beside = Beside(searches=(found,))
    html = page(analyses_of(build), [], None, beside=beside)
    escaped = found.line.replace("<b>", "&lt;b&gt;")
    assert html.count(f"Search: {escaped}") == 1
    section = html.split('id="suite-0"')[1].split("</section>")[0]
    assert (f"Search: {escaped}" in section) == ("<h2>Code</h2>" in section)
    assert "Found by searches:" in beside.markdown()
