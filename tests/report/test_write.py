"""Golden facts of a whole report made from results whose story is known."""

import csv
import hashlib
import json
import re
from pathlib import Path
from typing import Any, Protocol

import pandas as pd
import pytest

from dllm_eval.errors import UsageError
from dllm_eval.report import ReportPaths, write_frames
from dllm_eval.report.payload import as_script
from dllm_eval.report.verdict import _none_cheaper, refusal, verdict
from dllm_eval.stats.analysis import TaskAnalysis, analyse
from dllm_eval.stats.tables import task_tables


class FramesLike(Protocol):
    """What the fixtures of conftest.py hand out."""

    cells: pd.DataFrame
    requests: pd.DataFrame
    scores: pd.DataFrame


def write(frames: FramesLike, out: Path) -> ReportPaths:
    return write_frames(frames.cells, frames.requests, frames.scores, out)


def analyses_of(cells: pd.DataFrame, frames: FramesLike) -> dict[str, TaskAnalysis]:
    tables = task_tables(cells, frames.requests, frames.scores)
    return {table.task: analyse(table) for table in tables}


def embedded(page: Path) -> list[dict[str, Any]]:
    text = page.read_text(encoding="utf-8")
    found = re.search(r'<script type="application/json" id="data">(.*?)</script>', text, re.DOTALL)
    assert found is not None
    data: list[dict[str, Any]] = json.loads(found[1])
    return data


@pytest.fixture(scope="module")
def report(frames: FramesLike, tmp_path_factory: pytest.TempPathFactory) -> ReportPaths:
    return write(frames, tmp_path_factory.mktemp("report"))


@pytest.fixture(scope="module")
def board(report: ReportPaths) -> list[dict[str, str]]:
    with report.leaderboard_csv.open(encoding="utf-8") as file:
        return list(csv.DictReader(file))


def test_the_known_winner_is_on_top(board: list[dict[str, str]]) -> None:
    first = {
        task: next(r for r in board if r["task"] == task) for task in {r["task"] for r in board}
    }
    assert first["ref_humaneval"]["model"] == "reference-ar"
    assert first["ref_reversal"]["model"] == "reference-diffusion"
    assert first["ref_reversal"]["dial_value"] == "32.0"


def test_the_markdown_tells_both_ways(report: ReportPaths) -> None:
    text = report.leaderboard_md.read_text(encoding="utf-8")
    code = text.split("## Code by instruction")[1].split("##")[0]
    assert "is not reached by reference-diffusion" in code
    reversal = text.split("## Reversal curse")[1].split("##")[0]
    assert "reference-diffusion reaches 50.0 % at 32 steps" in reversal
    # An AR score at chance is no quality to match, so no speed-up is claimed from it.
    assert "not clearly above chance" in reversal
    assert "faster (" not in reversal.split("|")[0]
    choice = text.split("## Multiple choice")[1].split("##")[0]
    assert re.search(r"At matched quality \(\d+\.0 %\) diffusion is \d+\.\d+x faster", choice)


def test_prompt_tokens_are_nowhere(report: ReportPaths, board: list[dict[str, str]]) -> None:
    assert not any("prompt" in column for column in board[0])
    for row in board:
        assert float(row["visible_tokens"]) <= float(row["canvas_tokens"]) <= 32
    for path in (report.leaderboard_md, report.leaderboard_html, report.page):
        assert "7777" not in path.read_text(encoding="utf-8")


def test_numbers_equal_those_of_the_records(
    frames: FramesLike, board: list[dict[str, str]]
) -> None:
    for row in board:
        config = row["config_id"]
        scores = frames.scores[frames.scores["cell_id"] == f"{config}-quality"]["value"]
        timed = frames.requests[frames.requests["cell_id"] == f"{config}-latency"]
        assert float(row["quality"]) == pytest.approx(sum(scores) / len(scores))
        asked = timed["seconds"].groupby(timed["doc_id"]).sum()
        assert float(row["latency_s"]) == pytest.approx(asked.median())
        speed = timed["visible_tokens"].sum() / timed["seconds"].sum()
        assert float(row["visible_tokens_per_s"]) == pytest.approx(speed)


def test_an_elbo_is_never_called_a_likelihood(report: ReportPaths) -> None:
    section = report.leaderboard_md.read_text(encoding="utf-8").split("## Multiple choice")[1]
    lines = [line for line in section.split("##")[0].splitlines() if line.startswith("| ref")]
    assert lines
    for line in lines:
        autoregressive = line.startswith("| reference-ar")
        assert ("| log-likelihood |" in line) == autoregressive
        assert ("| ELBO (a lower bound) |" in line) == (not autoregressive)


def test_model_text_cannot_become_markup(report: ReportPaths) -> None:
    page = report.page.read_text(encoding="utf-8")
    assert "<script>oops" not in page
    answers = [a["response"] for s in embedded(report.page)[0]["samples"] for a in s["ladder"]]
    assert any("<script>oops" in answer for answer in answers)


def test_embedded_json_survives_a_closing_tag() -> None:
    raw = as_script({"text": "</script><!-- & \u2028"})
    assert not set("<>&\u2028") & set(raw)
    assert json.loads(raw) == {"text": "</script><!-- & \u2028"}


def test_names_are_escaped_in_page_and_markdown(one_suite: FramesLike, tmp_path: Path) -> None:
    cells = one_suite.cells.assign(suite="<img src=x> | a & b")
    paths = write_frames(cells, one_suite.requests, one_suite.scores, tmp_path)
    for path in (paths.leaderboard_md, paths.leaderboard_html, paths.page):
        assert "<img src=x>" not in path.read_text(encoding="utf-8")


def test_page_is_small_and_asks_for_nothing(report: ReportPaths) -> None:
    page = report.page.read_text(encoding="utf-8")
    assert len(page.encode()) < 3_000_000
    links = re.findall(r'(?:src|href)="([^"]*)"', page)
    assert all(link.startswith(("#", "data:")) for link in links)
    assert "@import" not in page
    assert not re.search(r"url\((?!#)", page)
    assert "fetch(" not in page


def test_at_most_six_samples_per_dial(report: ReportPaths) -> None:
    for entry in embedded(report.page):
        assert len(entry["samples"]) <= 3
        for sample in entry["samples"]:
            dials = [answer["dial"] for answer in sample["ladder"]]
            assert dials == sorted(set(dials))


def test_figures_are_written_for_every_suite(frames: FramesLike, report: ReportPaths) -> None:
    names = {path.name for path in report.figures}
    wanted = {f"frontier_{task}" for task in frames.cells["task"]} | {
        *("frontiers", "dial", "time", "length")
    }
    assert names == {f"{name}.{end}" for name in wanted for end in ("svg", "png")}
    assert all(path.stat().st_size > 5000 for path in report.figures)


def test_same_results_same_bytes(one_suite: FramesLike, tmp_path: Path) -> None:
    def digests(out: Path) -> dict[str, str]:
        write(one_suite, out)
        return {p.name: hashlib.sha256(p.read_bytes()).hexdigest() for p in out.iterdir()}

    assert digests(tmp_path / "a") == digests(tmp_path / "b")


def test_machines_are_not_ranked_against_each_other(
    two_machines: FramesLike, tmp_path: Path
) -> None:
    requests = two_machines.requests.copy()
    fast = requests["cell_id"].str.contains("H200")
    requests.loc[fast, "seconds"] /= 100
    paths = write_frames(two_machines.cells, requests, two_machines.scores, tmp_path)
    text = paths.leaderboard_md.read_text(encoding="utf-8")
    assert "ranked within each, never across" in text
    assert text.count("| model | steps |") == 2
    slow = pd.read_csv(paths.leaderboard_csv)
    slow = slow[slow["machine"] == "cpu, 2 threads"]
    # A hundred times faster elsewhere takes nobody off this machine's frontier.
    assert slow["p_frontier"].max() > 0.99
    assert (slow["latency_ratio"].dropna() < 50).all()


def test_an_ar_row_of_another_machine_gives_no_speed_up(two_machines: FramesLike) -> None:
    cells = two_machines.cells
    kept = cells[(cells["machine"] == "H200") | (cells["kind"] == "diffusion")]
    out = analyses_of(kept, two_machines)["ref_humaneval"]
    alone = [r for r in out.rows if r.configuration.machine != "H200"]
    assert alone
    for row in alone:
        assert row.comparison is not None
        assert row.comparison.latency_ratio != row.comparison.latency_ratio
        assert row.comparison.verdict in ("not separable", "worse, speed open")
    # One step answers a seventh of what AR answers: seconds need not be known to say so.
    assert "worse, speed open" in {r.comparison.verdict for r in alone if r.comparison}
    said = verdict(out)
    assert "no autoregressive model was run beside it" not in said
    assert "reference-ar scores higher (" in said
    assert "speed was not compared" in said
    assert [g.speedups for g in out.groups if g.machine != "H200"] == [{}]


def test_a_run_without_seconds_is_no_second_machine(two_machines: FramesLike) -> None:
    cells = two_machines.cells
    here = (cells["machine"] != "H200") & (cells["kind"] == "diffusion")
    brought = (cells["machine"] == "H200") & (cells["kind"] == "autoregressive")
    kept = cells[here | (brought & (cells["purpose"] == "quality"))]
    out = analyses_of(kept, two_machines)["ref_humaneval"]
    assert len(out.groups) == 2
    assert refusal(out) == ""
    assert "reference-ar scores higher (" in verdict(out)
    both = analyses_of(cells, two_machines)["ref_humaneval"]
    assert "on 2 different machine and stack pairs" in refusal(both)


def test_without_an_ar_run_anywhere_that_is_said(one_suite: FramesLike) -> None:
    kept = one_suite.cells[one_suite.cells["kind"] == "diffusion"]
    out = analyses_of(kept, one_suite)["ref_humaneval"]
    assert "no autoregressive model was run beside it" in verdict(out)


def test_where_only_the_largest_run_is_near_the_best_it_is_not_called_cheap(
    one_suite: FramesLike,
) -> None:
    def knee(kept: pd.DataFrame) -> str:
        return verdict(analyses_of(kept, one_suite)["ref_humaneval"])

    cells = one_suite.cells
    rising = cells[(cells["kind"] == "autoregressive") | cells["dial_value"].isin([1.0, 8.0])]
    said = knee(rising)
    assert "cheaper than the dearest run, 8 steps, surely comes within 1.0 point" in said
    assert "The cheapest setting" not in said


def test_several_series_without_a_cheaper_setting_share_one_sentence() -> None:
    one, other, third = ("A", "8 steps"), ("B", "4 steps"), ("A", "8 steps")
    assert _none_cheaper([one, third], "surely comes near") == (
        "No setting of A that is cheaper than the dearest run, 8 steps, surely comes near."
    )
    assert _none_cheaper([one, other], "surely comes near") == (
        "No setting of A (8 steps) or B (4 steps) that is cheaper than the dearest run, in "
        "parentheses, surely comes near."
    )


def test_half_a_sweep_reports_what_is_there(one_suite: FramesLike, tmp_path: Path) -> None:
    cells = one_suite.cells.copy()
    cells.loc[(cells["dial_value"] == 32) & (cells["purpose"] == "quality"), "finished"] = False
    cells.loc[(cells["dial_value"] == 17) & (cells["purpose"] == "latency"), "finished"] = False
    paths = write_frames(cells, one_suite.requests, one_suite.scores, tmp_path)
    board = pd.read_csv(paths.leaderboard_csv)
    assert 32 not in set(board["dial_value"])
    assert board[board["dial_value"] == 17]["latency_s"].isna().all()
    for path in (paths.leaderboard_md, paths.leaderboard_html):
        text = path.read_text(encoding="utf-8")
        assert "reference-diffusion, steps = 32, quality" in text
        assert "reference-diffusion, steps = 17, latency" in text
    page = paths.page.read_text(encoding="utf-8")
    assert re.search(r"steps = 32.*quality", page)
    assert re.search(r"steps = 17.*latency", page)


def test_quality_without_any_latency_still_reports(one_suite: FramesLike, tmp_path: Path) -> None:
    cells = one_suite.cells[one_suite.cells["purpose"] == "quality"]
    paths = write_frames(cells, one_suite.requests, one_suite.scores, tmp_path)
    assert {p.stem for p in paths.figures} == {"dial"}
    assert "were not timed side by side" in paths.leaderboard_md.read_text(encoding="utf-8")


def test_nothing_finished_writes_nothing(one_suite: FramesLike, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="nothing to report"):
        write_frames(
            one_suite.cells.assign(finished=False),
            one_suite.requests,
            one_suite.scores,
            tmp_path / "out",
        )
    assert not (tmp_path / "out").exists()
