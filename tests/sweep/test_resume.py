"""The command itself, with real worker processes: what is finished stays, nothing runs twice."""

import json
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from dllm_eval.cli import run_command
from dllm_eval.sweep.store import read_results

Build = Callable[..., dict[str, Any]]
Write = Callable[[object], Path]


def calls(tmp_path: Path) -> Counter[str]:
    return Counter((tmp_path / "calls.txt").read_text().splitlines())


def test_a_mistake_is_one_line_and_finished_cells_stay(
    tmp_path: Path,
    fake_sweep: Build,
    spec_file: Write,
    capsys: pytest.CaptureFixture[str],
) -> None:
    out = tmp_path / "out"
    command = ["sweep", str(spec_file(fake_sweep(steps=(1, 99)))), "--out", str(out)]
    assert run_command(command) == 2
    error = [x for x in capsys.readouterr().err.splitlines() if x.startswith("dllm-eval: ")]
    cell = "Fake, fake_echo steps=99 (quality)"
    message = "steps is 99; accepted: up to 90 (2 of 4 cells failed)"
    assert error == [f"dllm-eval: {cell}: {message}"]
    echoes = [f"fake_echo-{number}-0-1" for number in range(12)]
    timed = [f"1 {name}" for name in echoes[:3]]
    assert calls(tmp_path) == Counter([*(f"16 {name}" for name in echoes), *timed])

    spec_file(fake_sweep(steps=(1, 3)))
    assert run_command([*command, "--workers", "2"]) == 0
    assert set(calls(tmp_path).values()) == {1}
    results = read_results([out])
    assert len(results.cells) == 4
    assert results.cells.finished.all()
    quality = results.cells.query("purpose == 'quality'").set_index("cell_id").dial_value
    means = results.scores.groupby("cell_id").value.mean()
    assert {quality[i]: means[i] for i in quality.index} == {1.0: 4 / 12, 3.0: 1.0}
    logs = out.glob("cells/*/requests.jsonl")
    rows = [json.loads(line) for log in logs for line in log.read_text().splitlines()]
    assert {len(row["repeat_seconds"]) for row in rows if row["batch_size"] == 1} == {2}
    seconds = json.loads((out / "stages.json").read_text())["seconds"]
    assert set(seconds) == {"plan", "quality", "latency"}
    assert not list(out.glob("cells/*/lease*.json"))
