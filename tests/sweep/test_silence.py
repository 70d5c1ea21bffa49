"""A worker that hangs is named, and ended where the user says so; its cell is run by another."""

import json
import socket
import subprocess
from collections.abc import Callable
from dataclasses import asdict, replace
from io import StringIO
from pathlib import Path
from typing import Any

import pytest
from rich.console import Console

from dllm_eval.cli import run_command
from dllm_eval.files import write_json
from dllm_eval.sweep import lease
from dllm_eval.sweep.executors.crew import Crew
from dllm_eval.sweep.folder import CellFolder, ResultsFolder
from dllm_eval.sweep.lease import this_process
from dllm_eval.sweep.models import accepted_arguments
from dllm_eval.sweep.plan import plan
from dllm_eval.sweep.progress import SweepProgress
from dllm_eval.sweep.silence import WARN_AFTER_S, Silence, Silent
from dllm_eval.sweep.spec import Sweep
from dllm_eval.sweep.stage import Snapshot, Stage


def test_silence_is_since_the_last_record(tmp_path: Path) -> None:
    files, owner, silence = CellFolder(tmp_path), this_process(), Silence()

    def seconds(now_s: float) -> float:
        (found,) = silence.look(lambda: [("cell", files, [owner])], now_s)
        return found.seconds

    assert seconds(1000.0) == 0.0
    assert seconds(1700.0) == 700.0
    assert seconds(1702.0) == 700.0, "it looks every five seconds"
    files.requests.write_text("{}\n")
    assert seconds(1800.0) == 0.0
    (tmp_path / "requests.0of2.jsonl").write_text("{}\n")
    assert seconds(1900.0) == 0.0
    assert seconds(1910.0) == 10.0
    assert silence.look(list, 2000.0) == []
    assert seconds(2100.0) == 0.0, "what ran no more begins anew"


def test_a_silent_process_is_named_once() -> None:
    progress, screen = SweepProgress("s"), StringIO()
    progress.console = Console(file=screen, width=400)
    silent = Silent(label="D, Code (quality)", owner=this_process(), seconds=WARN_AFTER_S)
    shot = Snapshot(
        stage="quality",
        cells_done=0,
        cells_total=1,
        work_done=0,
        work_total=1,
        running=(),
        silent=(silent,),
    )
    for _ in range(3):
        progress.update(shot)
    lines = [x for x in screen.getvalue().splitlines() if x.startswith("warning: ")]
    assert len(lines) == 1
    start = f"warning: D, Code (quality): process {this_process().pid} on {socket.gethostname()}"
    assert lines[0].startswith(f"{start} has written nothing for 10 min; its log lies in")


class Sleeper:
    """A worker that takes the job's first cell, answers one request of it, and hangs."""

    def __init__(self, job_file: Path, threads: int) -> None:
        del threads
        self._process = subprocess.Popen(["sleep", "1000"])
        job = json.loads(job_file.read_text())
        files = ResultsFolder(Path(job["out"])).cell(job["cells"][0])
        owner = replace(this_process(), pid=self.pid, started=lease._started(self.pid))
        write_json(files.lease, asdict(owner))
        files.requests.write_text("{}\n")

    @property
    def pid(self) -> int:
        return self._process.pid

    @property
    def code(self) -> int | None:
        return self._process.poll()

    last_line = "no message"

    def stop(self) -> None:
        self._process.terminate()
        self._process.wait()


def test_a_worker_that_hangs_is_ended_and_its_cell_tried_again(
    tmp_path: Path, fake_sweep: Callable[..., dict[str, Any]], monkeypatch: pytest.MonkeyPatch
) -> None:
    time_s = [1000.0]
    monkeypatch.setattr("dllm_eval.sweep.stage.now_s", lambda: time_s[0])
    sweep = Sweep.model_validate({**fake_sweep(steps=(1,)), "latency": {"enabled": False}})
    cells, folder = plan(sweep, accepted_arguments), ResultsFolder(tmp_path / "out")
    folder.begin(sweep, cells)
    stage = Stage(
        purpose="quality", sweep=sweep, folder=folder, cells=tuple(cells), watch=lambda _: None
    )
    crew = Crew(stage, limit=1, start=Sleeper)
    files = folder.cell(cells[0].cell_id)
    try:
        for tried in (1, 2):
            crew.recruit()
            for passed_s in (10, 60):
                time_s[0] += passed_s
                crew.end_silent(90)
                crew.dismiss_ended()
                assert crew.busy
            time_s[0] += 100
            crew.end_silent(90)
            crew.dismiss_ended()
            assert not crew.busy
            assert not files.lease.exists()
            told = json.loads((files.attempts if tried == 1 else files.failed).read_text())
            assert (told["kind"], told["attempts"]) == ("crash", tried)
            ended = "its process wrote nothing for 90 s (--worker-timeout) and was ended"
            assert told["error"] == ended
        assert files.requests.exists(), "no finished request is lost"
    finally:
        crew.stop()


def test_a_timeout_is_for_processes_of_this_machine(capsys: pytest.CaptureFixture[str]) -> None:
    command = ["sweep", "demo", "--executor", "slurm", "--worker-timeout", "60"]
    assert run_command(command) == 2
    assert "--worker-timeout is for --executor local" in capsys.readouterr().err
