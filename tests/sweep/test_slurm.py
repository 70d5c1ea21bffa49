"""Jobs through submitit: real processes of its local cluster, and what is asked of Slurm."""

import json
import signal
import subprocess
import sys
import time
from pathlib import Path

import fake_slurm
import pytest
from cluster_runs import (
    BROKEN,
    QUIET,
    Killer,
    check_alone,
    finished_content,
    local_content,
    mapping,
    places,
    spans,
)
from killed_sweeps import Zygote

from dllm_eval.cli import run_command
from dllm_eval.errors import UsageError
from dllm_eval.sweep.executors import slurm_pool
from dllm_eval.sweep.executors.slurm import SlurmExecutor
from dllm_eval.sweep.run import run_sweep
from dllm_eval.sweep.spec import Sweep
from dllm_eval.sweep.stage import Snapshot

DRIVER = """
import json, sys
from pathlib import Path
from dllm_eval.sweep.executors import slurm_pool
from dllm_eval.sweep.executors.slurm import SlurmExecutor
from dllm_eval.sweep.run import run_sweep
from dllm_eval.sweep.spec import Sweep
from dllm_eval.sweep.stage import Snapshot
sweep = Sweep.model_validate(json.loads(sys.argv[1]))
executor = SlurmExecutor(cluster="local", jobs=2, gpus_per_cell=0)
run_sweep(sweep, Path(sys.argv[2]), executor=executor, watch=lambda _: None)
"""


# submitit leaves the process that watches over a job of its local cluster to end by itself.
@pytest.mark.filterwarnings("ignore:subprocess .* is still running:ResourceWarning")
def test_a_killed_driver_finds_its_jobs_again_and_a_killed_job_is_run_again(
    tmp_path: Path, forks: Zygote, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, value in QUIET.items():
        monkeypatch.setenv(name, value)
    plan, out = mapping(tmp_path), tmp_path / "out"
    with subprocess.Popen([sys.executable, "-c", DRIVER, json.dumps(plan), str(out)]) as driver:
        _wait_for_jobs(out, 3)
        driver.send_signal(signal.SIGKILL)
    killer = Killer(out, steps=50)
    executor = SlurmExecutor(cluster="local", jobs=2, gpus_per_cell=0)
    with pytest.raises(UsageError, match="steps is 91") as error:
        run_sweep(Sweep.model_validate(plan), out, executor=executor, watch=killer)
    assert str(error.value) == f"{BROKEN} (2 of 8 cells failed)"
    assert killer.killed is not None
    assert finished_content(out) == local_content(forks, tmp_path / "local")
    check_alone(spans(places(tmp_path)))
    # Each request was written once, whichever driver's job it was.
    calls = (tmp_path / "calls.txt").read_text().splitlines()
    assert len(calls) == len(set(calls))
    assert not list((out / "workers").glob("*.slurm"))


@pytest.mark.slow
def test_slurm_is_asked_for_arrays_and_whole_nodes_and_goes_on_after_a_time_out(
    tmp_path: Path, forks: Zygote, monkeypatch: pytest.MonkeyPatch
) -> None:
    commands = tmp_path / "slurm"
    commands.mkdir()
    for name, value in {**QUIET, **fake_slurm.install(commands)}.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setattr(slurm_pool, "_ASK_SLURM_S", 0.5)
    out = tmp_path / "out"
    time_out = Killer(out, steps=40, sent=signal.SIGUSR2)
    kill = Killer(out, steps=50)
    executor = SlurmExecutor(jobs=2, gpus_per_cell=0, options={"partition": "p", "time": "60"})

    def watch(snapshot: Snapshot) -> None:
        time_out(snapshot)
        kill(snapshot)

    with pytest.raises(UsageError, match="steps is 91"):
        run_sweep(Sweep.model_validate(mapping(tmp_path)), out, executor=executor, watch=watch)
    assert time_out.killed
    assert kill.killed
    assert finished_content(out) == local_content(forks, tmp_path / "local")
    # Three bundles, the one of the killed job again, and all timings in one job.
    first, again, timed = fake_slurm.asked(commands)
    assert first["array"] == "0-2%2"
    assert {first["partition"], first["time"], first["cpus-per-task"]} == {"p", "60", "1"}
    assert "exclusive" not in first
    assert "array" not in again
    assert "exclusive" in timed
    states = [entry["state"] for entry in fake_slurm.entries(commands).values()]
    assert sorted(states) == ["COMPLETED"] * 4 + ["FAILED"]


@pytest.mark.parametrize(
    ("options", "says"),
    [
        (["--workers", "2", "--gpus-per-cell", "0.5"], "Slurm gives whole GPUs"),
        (["--slurm", "partition"], "--slurm partition is not of the form KEY=VALUE"),
        (["--slurm", "time=4:00"], "--slurm time=4:00 is no number of minutes"),
        (["--slurm", "array=1-3"], "--slurm array is set by the sweep"),
        (["--ray-address", "local"], "--ray-address is for --executor ray, this is --executor"),
    ],
)
def test_wrong_options_are_one_line_and_leave_no_folder(
    options: list[str], says: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "out"
    assert run_command(["sweep", "demo", "--executor", "slurm", "--out", str(out), *options]) == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert says in line
    assert not out.exists()


def test_without_submitit_there_is_one_line_with_the_command(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setitem(sys.modules, "submitit", None)
    out = tmp_path / "out"
    assert run_command(["sweep", "demo", "--executor", "slurm", "--out", str(out)]) == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert line.endswith("): pip install 'dllm-eval[slurm]'")
    assert not out.exists()


def test_a_machine_without_slurm_is_one_line(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    sweep = Sweep.model_validate(mapping(tmp_path))
    executor = SlurmExecutor(gpus_per_cell=0)
    with pytest.raises(UsageError, match="--executor slurm finds no Slurm here"):
        run_sweep(sweep, tmp_path / "out", executor=executor, watch=lambda _: None)


def test_gpus_have_to_be_said_where_a_model_may_take_one(tmp_path: Path) -> None:
    sweep = Sweep.model_validate(mapping(tmp_path))
    with pytest.raises(UsageError, match="--executor slurm needs --gpus-per-cell"):
        run_sweep(sweep, tmp_path / "out", executor=SlurmExecutor(), watch=lambda _: None)


def _wait_for_jobs(out: Path, count: int) -> None:
    for _ in range(3000):
        if len(list((out / "workers").glob("*.slurm"))) >= count:
            return
        time.sleep(0.02)
    raise TimeoutError("the driver submitted no jobs")
