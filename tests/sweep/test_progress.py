"""What the progress lines say: cells, failures, waiting, and the time left."""

import pytest

from dllm_eval.sweep.progress import Pace, SweepProgress
from dllm_eval.sweep.stage import Snapshot


def snapshot(**changes: object) -> Snapshot:
    facts: dict[str, object] = {
        "stage": "quality",
        "cells_done": 3,
        "cells_total": 9,
        "work_done": 30.0,
        "work_total": 90.0,
        "running": ("A, t (quality)",),
    }
    return Snapshot(**{**facts, **changes})  # type: ignore[arg-type]


def test_failures_and_waiting_are_said(capsys: pytest.CaptureFixture[str]) -> None:
    with SweepProgress("demo") as progress:
        progress.update(snapshot(cells_failed=2, waiting=True))
    line = " ".join(capsys.readouterr().err.split())
    assert "demo quality: 3/9 (2 failed) cells done" in line
    assert "waiting for another sweep on this folder: A, t (quality)" in line


def test_time_left_counts_what_this_run_did_only() -> None:
    pace = Pace()
    assert pace.left_s(snapshot(work_done=30.0), 100.0) is None
    assert pace.left_s(snapshot(work_done=30.0), 110.0) is None
    # 20 units in 40 s, 40 units are left.
    assert pace.left_s(snapshot(work_done=50.0), 140.0) == 80.0


def test_each_stage_has_a_pace_of_its_own() -> None:
    pace = Pace()
    pace.left_s(snapshot(work_done=0.0), 0.0)
    assert pace.left_s(snapshot(work_done=60.0), 60.0) == 30.0
    # In latency a unit takes longer: 5 units in 50 s, 25 are left.
    assert pace.left_s(snapshot(stage="latency", work_done=60.0), 60.0) == 30.0
    assert pace.left_s(snapshot(stage="latency", work_done=65.0), 110.0) == 250.0


def test_waiting_costs_no_pace() -> None:
    pace = Pace()
    pace.left_s(snapshot(work_done=0.0), 0.0)
    pace.left_s(snapshot(work_done=45.0), 45.0)
    pace.left_s(snapshot(work_done=45.0, waiting=True), 145.0)
    assert pace.left_s(snapshot(work_done=60.0), 160.0) == 30.0
