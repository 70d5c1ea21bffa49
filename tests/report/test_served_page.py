"""The page and the files of a report with engines and an API: words, gaps, drawers and figures."""

import csv
import json
import math
import re
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
from served_frames import (
    API,
    EFFORTS,
    LOOKUP,
    Placed,
    api_rows,
    everything,
    local_autoregressive,
    local_diffusion,
    served_frames,
)

from dllm_eval.report.details import details
from dllm_eval.report.payload import payload
from dllm_eval.report.text import NOT_REPORTED
from dllm_eval.report.unfinished import unfinished_cells
from dllm_eval.report.write import write_frames
from dllm_eval.stats.analysis import TaskAnalysis, analyse
from dllm_eval.stats.tables import task_tables


def analysed(rows: list[Placed]) -> TaskAnalysis:
    (found,) = task_tables(*served_frames(rows))
    return analyse(found, replicates=400)


@pytest.fixture(scope="module")
def whole() -> TaskAnalysis:
    return analysed(everything())


def test_the_pages_numbers_say_words_and_leave_gaps(whole: TaskAnalysis) -> None:
    (suite,) = payload([whole])
    places = suite["places"]
    assert isinstance(places, list)
    rows = [row for place in places for row in place["rows"]]
    mercury = [row for row in rows if row["model"] == "Mercury 2"]
    assert [row["dial_word"] for row in mercury] == list(EFFORTS)
    assert {row["label"] for row in mercury} == {f"reasoning effort {x}" for x in EFFORTS}
    assert {row["nfe"] for row in mercury} == {None}
    assert {row["nfe_text"] for row in mercury} == {NOT_REPORTED}
    # Sample answers are token by token, which a server's are not.
    samples = suite["samples"]
    assert isinstance(samples, list)
    assert {sample["model"] for sample in samples} == {"Made-up diffusion"}
    assert {s["autoregressive"]["name"] for s in samples} == {f"Made-up AR ({LOOKUP})"}


def test_the_drawer_names_tier_and_place(whole: TaskAnalysis) -> None:
    found: dict[str, Any] = details([whole], {})
    facts, (suite,) = found["facts"], found["suites"]
    told = [{facts[i][0]: facts[i][1] for i in (*row["result"], *row["costs"])} for row in suite]
    for row, own in zip(whole.rows, told, strict=True):
        x = row.configuration
        assert own.get("tier", "") == x.tier
        assert own.get("ran", "in process") == x.placement.words
        assert (own["NFE (forward passes)"] == NOT_REPORTED) is x.placement.served
        assert ("speed-up vs AR, best stack" in own) is (
            x.kind == "diffusion" and x.placement.kind != "api"
        )


def test_a_whole_report_of_an_api_alone(tmp_path: Path) -> None:
    paths = write_frames(*served_frames(api_rows()), tmp_path)
    assert not (tmp_path / "time.png").exists()
    page = paths.page.read_text(encoding="utf-8")
    data = re.search(r'id="data">(.*?)</script>', page, flags=re.DOTALL)
    assert data is not None
    (suite,) = json.loads(data[1])
    assert [place["place"] for place in suite["places"]] == [f"{API} / api, chat route"]
    with paths.leaderboard_csv.open(encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    assert [row["model"] for row in rows] == ["Mercury 2"] * 4
    assert {row["nfe"] for row in rows} == {""}
    assert [row["dial_word"] for row in rows] == list(reversed(EFFORTS))


def test_the_best_stack_has_a_figure_of_its_own_on_the_page(tmp_path: Path) -> None:
    paths = write_frames(*served_frames(everything()), tmp_path)
    assert tmp_path / "best_stack_made_code.png" in paths.figures
    page = paths.page.read_text(encoding="utf-8")
    panel = page.split("<h3>Best stack on laptop</h3>")[1].split("</figure>")[0]
    assert "<svg" in panel
    written = paths.leaderboard_md.read_text(encoding="utf-8")
    assert written.index("### Best stack on laptop") < written.index("(in process)")


def test_an_unfinished_effort_is_named_by_its_word() -> None:
    cells, _, _ = served_frames(api_rows())
    cells = cells.assign(finished=[effort != "low" for effort in _efforts(cells)])
    told = {cell.setting for cell in unfinished_cells(cells)}
    assert told == {"reasoning_effort = low"}


def _efforts(cells: pd.DataFrame) -> list[str]:
    return [settings["reasoning_effort"] for settings in cells["settings"]]


def test_scores_without_seconds_still_make_a_report(tmp_path: Path) -> None:
    rows = [*local_diffusion(), *local_autoregressive(), *api_rows(timed=False)]
    paths = write_frames(*served_frames(rows), tmp_path)
    frame = pd.read_csv(paths.leaderboard_csv)
    far = frame[frame["placement"] == "api"]
    assert far["latency_s"].isna().all()
    assert len(far) == 4
    assert math.isclose(float(far["quality"].max()), 0.9)
