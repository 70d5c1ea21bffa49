"""What a sweep says at its end of timings that a busy machine held up."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from dllm_eval.cli import run_command
from dllm_eval.sweep.busy import busy_line

Build = Callable[..., dict[str, Any]]
Write = Callable[[object], Path]


def _slow_down(folder: Path, steps: int, share: float) -> int:
    """Lets the process have computed for a share of each timed second; how many cells that is."""
    changed = 0
    for path in folder.glob("cells/*/cell.json"):
        cell = json.loads(path.read_text())
        if cell["purpose"] != "latency" or cell["arguments"]["steps"] != steps:
            continue
        facts = json.loads((path.parent / "provenance.json").read_text())
        threads = (facts.get("machine") or {}).get("threads") or 1
        records = path.parent / "requests.jsonl"
        rows = [json.loads(line) for line in records.read_text().splitlines()]
        told = [{**row, "cpu_seconds": row["seconds"] * share * threads} for row in rows]
        records.write_text("".join(json.dumps(row) + "\n" for row in told))
        changed += 1
    return changed


def test_busy_cells_are_counted_and_the_command_is_named(
    tmp_path: Path, fake_sweep: Build, spec_file: Write, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "out"
    spec = spec_file(fake_sweep(steps=(1, 2)))
    command = ["sweep", str(spec), "--out", str(out)]
    assert run_command(command) == 0
    assert _slow_down(out, 1, 1.0) == _slow_down(out, 2, 0.5) == 1
    capsys.readouterr()
    assert run_command(command) == 0
    (line,) = [x for x in capsys.readouterr().err.splitlines() if x.startswith("warning: ")]
    assert line.startswith("warning: 1 of 2 timed cells ran while the machine was busy (")
    assert "more than 1.25 wall seconds per CPU second of a thread" in line
    assert line.endswith(f"idle machine: dllm-eval sweep {spec} --out {out} --retime")
    for steps in (1, 2):
        _slow_down(out, steps, 0.81)  # a fifth slower is not above a quarter
    assert busy_line(out, "again") == ""
