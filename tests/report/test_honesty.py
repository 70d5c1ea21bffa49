"""What a report must not claim: lucky seeds, single timings, mixed protocols, a busy machine."""

import csv
from pathlib import Path
from typing import Any, Protocol

import pandas as pd
import pytest
from matplotlib.figure import Figure

from dllm_eval.report import text, write_frames
from dllm_eval.report.curve_figures import draw_time
from dllm_eval.report.frontier_figure import draw_frontier
from dllm_eval.report.leaderboard import sections
from dllm_eval.report.payload import payload
from dllm_eval.report.standing import faded, standing
from dllm_eval.report.style import looks
from dllm_eval.report.verdict import verdict
from dllm_eval.stats.analysis import TaskAnalysis, analyse
from dllm_eval.stats.tables import task_tables
from dllm_eval.sweep.cell_row import stack_of


class FramesLike(Protocol):
    """What the fixtures of conftest.py hand out."""

    cells: pd.DataFrame
    requests: pd.DataFrame
    scores: pd.DataFrame


def analysed(frames: FramesLike, **changes: pd.DataFrame) -> list[TaskAnalysis]:
    parts: dict[str, Any] = {
        "cells": frames.cells,
        "requests": frames.requests,
        "scores": frames.scores,
        **changes,
    }
    return [analyse(table) for table in task_tables(**parts)]


def test_five_seeds_are_one_row_with_their_mean(one_suite: FramesLike) -> None:
    parts: dict[str, list[pd.DataFrame]] = {"cells": [], "requests": [], "scores": []}
    for seed in range(5):
        for name, kept in parts.items():
            frame = getattr(one_suite, name)
            kept.append(frame.assign(cell_id=frame["cell_id"] + f"-{seed}", seed=seed))
    # One lucky seed answers everything.
    parts["scores"][4]["value"] = 1.0
    (out,) = analysed(one_suite, **{name: pd.concat(kept) for name, kept in parts.items()})
    assert len(out.rows) == 8
    for row in out.rows:
        own = one_suite.scores["cell_id"] == row.configuration.quality_cells[0][:-2]
        plain = one_suite.scores[own]["value"].mean()
        assert row.quality == pytest.approx((4 * plain + 1) / 5)
        assert row.num_documents == 30
        assert row.num_timed == 24


def test_tasks_of_a_group_keep_their_documents_apart(one_suite: FramesLike, tmp_path: Path) -> None:
    # Two tasks of 20 and 10 documents, both numbered from 0; the group's name is the cells' task.
    def split(frame: pd.DataFrame) -> pd.DataFrame:
        late = frame["doc_id"] >= 20
        tasks = ["b" if x else "a" for x in late]
        return frame.assign(task=tasks, doc_id=frame["doc_id"] - 20 * late)

    requests, scores = split(one_suite.requests), split(one_suite.scores)
    (out,) = analysed(one_suite, requests=requests, scores=scores)
    assert len(out.table.documents) == 30
    for row in out.rows:
        own = one_suite.scores["cell_id"].isin(row.configuration.quality_cells)
        assert row.quality == pytest.approx(one_suite.scores[own]["value"].mean())
        assert row.num_timed == 24
    shown = payload([out])[0]["samples"]
    assert isinstance(shown, list)
    assert all(" of a" in x["document"] or " of b" in x["document"] for x in shown)
    text = write_frames(one_suite.cells, requests, scores, tmp_path).leaderboard_md.read_text()
    assert "every document of every task counts the same" in text


def test_one_timed_request_makes_nothing_certain(one_suite: FramesLike) -> None:
    timed = one_suite.requests["cell_id"].str.endswith("latency")
    requests = one_suite.requests[~timed | (one_suite.requests["doc_id"] == 0)]
    (out,) = analysed(one_suite, requests=requests)
    for row in out.rows:
        assert row.num_timed == 1
        assert row.p_frontier != row.p_frontier
        assert row.comparison is None or row.comparison.verdict in (
            "not separable",
            "worse, speed open",
        )
        assert (
            row.comparison is None or row.comparison.latency_ratio != row.comparison.latency_ratio
        )
    (section,) = sections(out)
    columns = [section.header.index(name) for name in ("P(frontier)", "speed-up vs AR")]
    assert {row[c].shown for row in section.rows for c in columns} == {"–"}
    assert "x faster" not in verdict(out)


def test_a_reached_match_of_one_timed_request_is_not_known(frames: FramesLike) -> None:
    timed = frames.requests["cell_id"].str.endswith("latency")
    requests = frames.requests[~timed | (frames.requests["doc_id"] == 0)]
    out = next(x for x in analysed(frames, requests=requests) if x.table.task == "ref_mmlu")
    assert "is not known: one question was timed" in verdict(out)


def test_protocols_have_their_own_tables_and_ar_rows(one_suite: FramesLike, tmp_path: Path) -> None:
    few = one_suite.cells["kind"] == "autoregressive"
    cells = one_suite.cells.assign(apply_chat_template=few, num_fewshot=few.map({True: 5}))
    own, other = sorted(analysed(one_suite, cells=cells), key=lambda x: len(x.table.suite))
    assert own.table.suite == "Code by instruction"
    assert other.table.suite == "Code by instruction (5-shot, chat template)"
    assert {row.configuration.kind for row in own.rows} == {"diffusion"}
    assert all(row.comparison is None for row in own.rows)
    paths = write_frames(cells, one_suite.requests, one_suite.scores, tmp_path)
    text = paths.leaderboard_md.read_text(encoding="utf-8")
    assert "## Code by instruction (5-shot, chat template)" in text
    assert len({path.name for path in paths.figures}) == len(paths.figures)
    with paths.leaderboard_csv.open(encoding="utf-8") as file:
        assert len({row["protocol"] for row in csv.DictReader(file)}) == 2


def test_how_a_gap_was_put_is_a_column_and_the_told_length_is_said(one_suite: FramesLike) -> None:
    diffusion = one_suite.requests["model"] == "diffusion"
    requests = one_suite.requests.assign(
        infill=["native" if x else "prefix_only" for x in diffusion],
        infill_length=["oracle" if x else "until_end" for x in diffusion],
    )
    (out,) = analysed(one_suite, requests=requests)
    (section,) = sections(out)
    column = section.header.index("request")
    assert {row[column].shown for row in section.rows} == {"native, oracle length", "prefix alone"}
    assert "is told the length of the reference answer" in verdict(out)
    fixed = requests.assign(infill_length="fixed:8")
    assert "is told the length" not in verdict(analysed(one_suite, requests=fixed)[0])
    assert "request" not in sections(analysed(one_suite)[0])[0].header


def test_canvases_are_not_called_forwards(frames: FramesLike) -> None:
    out = next(x for x in analysed(frames) if x.table.task == "ref_mmlu")
    (section,) = sections(out)
    assert "canvases per question" in section.header
    assert "NFE" not in section.header
    assert "p50 latency per question" in section.header
    assert "are per question, all its choices together" in " ".join(section.remarks)
    assert all(row.costs.forward_s != row.costs.forward_s for row in out.rows)
    assert " per question" in verdict(out)
    assert " per request" not in verdict(out)
    (entry,) = payload([out])
    assert (entry["unit"], entry["work"]) == ("question", "canvases scored")


def test_an_unknown_standard_error_is_a_dash(frames: FramesLike) -> None:
    requests = frames.requests.copy()
    one = requests["cell_id"].str.startswith("ref_mmlu-reference-diffusion-1-")
    requests.loc[one & (requests["doc_id"] == 3), "stderr"] = float("inf")
    out = next(x for x in analysed(frames, requests=requests) if x.table.task == "ref_mmlu")
    (section,) = sections(out)
    column = section.header.index("mean stderr (nats)")
    shown = {row[1].shown: row[column].shown for row in section.rows}
    assert shown["1"] == "–"
    assert shown["2"] == "0.150"


def held_up(frames: FramesLike, part: str, *, threads: int, share: float) -> list[TaskAnalysis]:
    """Cells whose id has `part` were on their cores for `share` of the wall time."""
    own = frames.requests["cell_id"].str.contains(part)
    shares = [share if x else 1.0 for x in own]
    requests = frames.requests.assign(cpu_seconds=frames.requests["seconds"] * threads * shares)
    cells = frames.cells.copy()
    cells["provenance"] = cells["provenance"].map(lambda _: {"machine": {"threads": threads}})
    return analysed(frames, requests=requests, cells=cells)


@pytest.mark.parametrize("threads", [1, 2])
def test_nothing_is_claimed_from_a_busy_machine(frames: FramesLike, threads: int) -> None:
    everything = held_up(frames, "diffusion-8-cpu", threads=threads, share=0.7)
    out = next(x for x in everything if x.table.task == "ref_mmlu")
    busy = {row.configuration.dial_value for row in out.rows if row.busy}
    assert busy == {8.0}
    row = next(row for row in out.rows if row.busy)
    assert row.comparison is not None
    assert row.comparison.verdict == "machine was busy"
    assert row.comparison.latency_ratio != row.comparison.latency_ratio
    assert row.p_frontier != row.p_frontier
    assert not row.on_frontier
    (section,) = sections(out)
    shown = next(r for r in section.rows if r[1].shown == "8")
    assert shown[section.header.index("p50 latency per question")].shown.endswith(" †")
    assert "dllm-eval sweep SPEC --retime" in " ".join(section.remarks)
    assert "left out" in verdict(out)


def test_every_number_of_busy_seconds_carries_the_mark(frames: FramesLike) -> None:
    everything = held_up(frames, "diffusion-8-cpu", threads=1, share=0.7)
    out = next(x for x in everything if x.table.task == "ref_humaneval")
    (busy,) = [row for row in out.rows if row.busy]
    idle = next(row for row in out.rows if row.configuration.dial_value == 4)
    for told in (text.latency, text.per_forward, text.speed, text.dial_mark):
        assert told(busy).endswith(" †")
        assert "†" not in told(idle)
    look = looks([(x.series, x.kind) for x in out.table.configurations])
    for draw in (draw_time, draw_frontier):
        axes = Figure(figsize=(6, 5)).subplots()
        (group,) = out.groups
        draw(axes, analysis=out, group=group, looks=look)
        assert sum("†" in one.get_text() for one in axes.texts) == 1
    assert (standing(busy), faded(busy)) == ("open", False)


def test_a_busy_ar_row_gives_no_speed_up(frames: FramesLike) -> None:
    everything = held_up(frames, "reference-ar", threads=1, share=0.5)
    out = next(x for x in everything if x.table.task == "ref_mmlu")
    assert {r.comparison.verdict for r in out.rows if r.comparison} == {"machine was busy"}
    assert [g.speedups for g in out.groups] == [{}]
    assert "the machine was busy; time again" in verdict(out)
    assert "x faster" not in verdict(out)


def test_a_little_less_and_unknown_cpu_time_are_no_flag(frames: FramesLike) -> None:
    assert not any(r.busy for x in held_up(frames, "", threads=2, share=0.85) for r in x.rows)
    unknown = frames.requests.assign(cpu_seconds=None)
    assert not any(r.busy for x in analysed(frames, requests=unknown) for r in x.rows)


def test_seconds_of_another_torch_or_driver_are_another_stack() -> None:
    versions = {"transformers": "5.23.0", "torch": "2.13.0+cpu"}
    base = {"versions": versions, "attention": "sdpa", "dtype": "float32", "machine": {}}
    assert stack_of(base) == "transformers 5.23, torch 2.13, sdpa, float32"
    cuda = {"cuda": "13.0", "driver": "580.65"}
    assert stack_of({**base, "machine": cuda}).endswith("float32, cuda 13.0, driver 580.65")
    assert stack_of({}) == ""
