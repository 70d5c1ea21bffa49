"""Real worker processes: killed sweeps resume to the same records, and nothing runs twice."""

import json
import os
import random
import signal
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from dllm_eval.cli import run_command
from dllm_eval.sweep.cell import Options, run_cell
from dllm_eval.sweep.folder import ResultsFolder
from dllm_eval.sweep.models import accepted_arguments
from dllm_eval.sweep.plan import plan
from dllm_eval.sweep.spec import Sweep
from dllm_eval.sweep.store import read_results

Rows = dict[str, Any]
Build = Callable[..., dict[str, Any]]
Write = Callable[[object], Path]
TIMES = {"seconds", "repeat_seconds"}


def rows_of(folder: Path) -> dict[str, list[Rows]]:
    """Requests (times apart) and scores by cell, read with nothing but json."""
    out: dict[str, list[Rows]] = {}
    for cell in sorted((folder / "cells").iterdir()):
        for name in ("requests.jsonl", "scores.jsonl"):
            rows = [json.loads(line) for line in (cell / name).read_text().splitlines()]
            kept = [{k: v for k, v in row.items() if k not in TIMES} for row in rows]
            out[f"{cell.name}/{name}"] = sorted(kept, key=lambda row: json.dumps(row))
    return out


def run_in_this_process(mapping: dict[str, Any], out: Path) -> None:
    sweep = Sweep.model_validate(mapping)
    cells = plan(sweep, accepted_arguments)
    ResultsFolder(out).begin(sweep, cells)
    for cell in cells:
        options = Options(include=tuple(sweep.include))
        run_cell(cell, ResultsFolder(out).cell(cell.cell_id), options)


def calls(tmp_path: Path) -> Counter[str]:
    return Counter((tmp_path / "calls.txt").read_text().splitlines())


def test_a_sweep_killed_at_random_moments_resumes_to_the_same_records(
    tmp_path: Path, fake_sweep: Build, spec_file: Write
) -> None:
    mapping = fake_sweep(pause_s=0.05)
    spec = spec_file(mapping)
    undisturbed, killed = tmp_path / "undisturbed", tmp_path / "killed"
    run_in_this_process(mapping, undisturbed)
    expected = calls(tmp_path)
    assert set(expected.values()) == {1}
    (tmp_path / "calls.txt").unlink()
    moments = random.Random(5)
    command = [sys.executable, "-m", "dllm_eval", "sweep", str(spec), "--out", str(killed)]
    for aim in (3, 17):
        with subprocess.Popen(command, stderr=subprocess.DEVNULL) as run:
            _wait_for_requests(killed, aim)
            time.sleep(moments.random() * 0.1)
            run.kill()
        _wait_for_workers_to_end(killed)
    assert 17 <= sum(calls(tmp_path).values()) < sum(expected.values())
    assert run_command(["sweep", str(spec), "--out", str(killed), "--workers", "2"]) == 0
    assert rows_of(killed) == rows_of(undisturbed)
    # A kill between a request's record and its line in the side file may lose the latter.
    assert not calls(tmp_path) - expected


def _wait_for_requests(folder: Path, count: int) -> None:
    for _ in range(1200):
        logs = folder.glob("cells/*/requests.jsonl")
        if sum(log.read_bytes().count(b"\n") for log in logs) >= count:
            return
        time.sleep(0.02)
    raise TimeoutError("the sweep wrote no requests")


def _wait_for_workers_to_end(folder: Path) -> None:
    """Kills what still holds a lease, as a power cut would."""
    for lease in folder.glob("cells/*/lease.json"):
        try:
            os.kill(json.loads(lease.read_text())["pid"], signal.SIGKILL)
        except (ProcessLookupError, FileNotFoundError):
            continue
    time.sleep(0.1)


def test_a_dead_worker_and_bad_arguments_are_one_line_and_finished_cells_stay(
    tmp_path: Path,
    fake_sweep: Build,
    spec_file: Write,
    capsys: pytest.CaptureFixture[str],
) -> None:
    out = tmp_path / "out"
    command = ["sweep", str(spec_file(fake_sweep(steps=(1, 66)))), "--out", str(out)]
    assert run_command(command) == 1
    error = [x for x in capsys.readouterr().err.splitlines() if x.startswith("dllm-eval: ")]
    assert len(error) == 1
    assert "a worker died (exit code 7" in error[0]
    assert "run the same command again" in error[0]
    assert calls(tmp_path) == Counter(f"16 fake_echo-{i}-1" for i in range(12))

    spec_file(fake_sweep(steps=(1, 99)))
    assert run_command(command) == 2
    error = [x for x in capsys.readouterr().err.splitlines() if x.startswith("dllm-eval: ")]
    cell = "Fake, fake_echo steps=99 (quality)"
    assert error == [f"dllm-eval: {cell}: steps is 99; accepted: up to 90"]

    spec_file(fake_sweep(steps=(1, 3)))
    assert run_command(command) == 0
    assert set(calls(tmp_path).values()) == {1}
    results = read_results([out])
    assert len(results.cells) == 4
    assert results.cells.finished.all()
    quality = results.cells.query("purpose == 'quality'").set_index("cell_id").dial_value
    means = results.scores.groupby("cell_id").value.mean()
    assert {quality[i]: means[i] for i in quality.index} == {1.0: 4 / 12, 3.0: 1.0}
    assert set(results.requests[results.requests.batch_size == 1].repeat_seconds.map(len)) == {2}
