"""A sweep that is killed at fifty random moments leaves what an undisturbed one leaves.

The reference pair is swept for real: generation and likelihood, quality and latency, shares of a
cell where workers idle. The quick test forks sweeps and workers, the slow one runs the command.
"""

import subprocess
import sys
import time
from pathlib import Path
from random import Random
from typing import Any, Protocol

import pytest
import yaml
from killed_sweeps import Target, Zygote, check_whole, content, kill

KILLS = 50
TARGETS: tuple[Target, ...] = ("all", "parent", "worker")
PAIR: dict[str, Any] = {
    "name": "pair",
    "models": [
        {"name": "D", "model": "dllm", "args": {"pretrained": "reference-diffusion"}},
        {"name": "A", "model": "dllm-ar", "args": {"pretrained": "reference-ar"}},
    ],
    "suites": [
        {
            "task": "ref_reversal",
            "metric": "exact_match",
            "limit": 8,
            "settings": {"gen_length": 8},
            "sweep": {"steps": [2, 8]},
        },
        {
            "task": "ref_mmlu_continuation",
            "metric": "acc",
            "limit": 6,
            "settings": {"likelihood": "monte_carlo"},
            "sweep": {"mc_samples": [8]},
        },
    ],
    "quality": {"batch_size": 4},
    "latency": {"requests": 2, "rounds": 1, "warmup": 1, "min_seconds": 0, "threads": 1},
}


class Sweeps(Protocol):
    """Starts sweeps, each in a process group of its own."""

    def sweep(self, spec: Path, out: Path, workers: int) -> int: ...

    def code(self, pid: int) -> int | None: ...

    def end(self, pid: int) -> int: ...


def finish(forks: Sweeps, spec: Path, out: Path, workers: int) -> dict[str, list[str]]:
    """Runs a sweep to its end; gives what it left."""
    code = forks.end(forks.sweep(spec, out, workers))
    assert code == 0, out.with_suffix(".log").read_text()
    return content(out)


def kill_often(forks: Sweeps, spec: Path, folder: Path, longest_s: float) -> list[Path]:
    """Kills a sweep at random moments, the next one in a new folder whenever one has come through.

    Returns:
        The folders, the last of them unfinished.
    """
    draw = Random(20)
    outs, running, kills = [folder / "killed-0"], 0, 0
    while kills < KILLS:
        if not running:
            running = forks.sweep(spec, outs[-1], draw.choice((1, 2, 3)))
        time.sleep(draw.random() * longest_s)
        code = forks.code(running)
        if code is None:
            target = draw.choice(TARGETS)
            kills += kill(running, target, draw)
            running = running if target == "worker" else 0
        else:
            running = 0
            if code == 0:
                outs.append(folder / f"killed-{len(outs)}")
        check_whole(outs[-1])
    if running:
        kill(running, "all", draw)
    return outs


def fifty_kills(forks: Sweeps, mapping: dict[str, Any], tmp_path: Path, parts: int) -> None:
    spec = tmp_path / "sweep.yaml"
    spec.write_text(yaml.safe_dump(mapping))
    started = time.monotonic()
    undisturbed = finish(forks, spec, tmp_path / "undisturbed", 1)
    longest_s = (time.monotonic() - started) / parts
    outs = kill_often(forks, spec, tmp_path, longest_s)
    assert finish(forks, spec, outs[-1], 2) == undisturbed
    for out in outs:
        assert content(out) == undisturbed


def test_fifty_kills_leave_no_trace(forks: Zygote, tmp_path: Path) -> None:
    fifty_kills(forks, PAIR, tmp_path, parts=10)


class Command:
    """The command line, started the way `Zygote` starts forks."""

    def __init__(self) -> None:
        self._processes: dict[int, subprocess.Popen[bytes]] = {}

    def sweep(self, spec: Path, out: Path, workers: int) -> int:
        arguments = ["sweep", str(spec), "--out", str(out), "--workers", str(workers)]
        process = subprocess.Popen(
            [sys.executable, "-m", "dllm_eval", *arguments],
            stderr=out.with_suffix(".log").open("wb"),
            stdout=subprocess.DEVNULL,
            start_new_session=True,
        )
        self._processes[process.pid] = process
        return process.pid

    def code(self, pid: int) -> int | None:
        return self._processes[pid].poll()

    def end(self, pid: int) -> int:
        return self._processes[pid].wait(600)


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore::ResourceWarning")
def test_fifty_kills_of_the_command_leave_no_trace(tmp_path: Path) -> None:
    fifty_kills(Command(), PAIR, tmp_path, parts=3)
