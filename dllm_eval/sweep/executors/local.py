"""Local processes: quality cells packed over several, latency cells in one that has the machine.

Knows processes and the results folder; loads no model itself.
"""

import os
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path
from typing import IO

from dllm_eval.errors import UsageError
from dllm_eval.files import write_json
from dllm_eval.sweep.plan import Cell
from dllm_eval.sweep.stage import Stage, SweepIncomplete
from dllm_eval.sweep.worker import USAGE_PREFIX

_POLL_S = 0.2


@dataclass(frozen=True)
class LocalExecutor:
    """An `executor.Executor` over processes of this machine.

    Args:
        workers: Processes for quality cells. Records do not depend on it.
    """

    workers: int = 1

    def run(self, stage: Stage) -> None:
        """Runs the stage's pending cells; see `executor.Executor`."""
        pending = stage.pending()
        if not pending:
            stage.report()
            return
        started: list[_Process] = []
        try:
            count = self._count(stage, pending)
            started.extend(self._start(stage, pending, index) for index in range(count))
            _wait(stage, started)
        finally:
            for process in started:
                process.stop()
        _check_complete(stage, started)

    def _count(self, stage: Stage, pending: list[Cell]) -> int:
        return 1 if stage.purpose == "latency" else min(self.workers, len(pending))

    def _start(self, stage: Stage, pending: list[Cell], index: int) -> "_Process":
        from dllm_eval.measure.provenance import thread_budget

        count = self._count(stage, pending)
        threads = max(1, thread_budget() // count)
        if stage.purpose == "latency" and stage.sweep.latency.threads is not None:
            threads = stage.sweep.latency.threads
        # Every worker may run every cell, so none idles; each starts at its own share, so that
        # the cells of one model, which lie together, load its weights in few processes.
        offset = index * len(pending) // count
        job = stage.job(pending[offset:] + pending[:offset], threads)
        path = stage.folder.path / "workers" / f"{stage.purpose}-{index}.json"
        write_json(path, job.as_dict())
        return _Process(path, threads)


def _wait(stage: Stage, processes: list["_Process"]) -> None:
    while any(process.running for process in processes):
        for process in processes:
            process.raise_usage_error()
        stage.report()
        time.sleep(_POLL_S)
    for process in processes:
        process.raise_usage_error()
    stage.report()


def _check_complete(stage: Stage, processes: list["_Process"]) -> None:
    left = stage.pending()
    if not left:
        return
    dead = [process for process in processes if process.code != 0]
    if dead:
        raise SweepIncomplete(
            f"a worker died (exit code {dead[0].code}: {dead[0].last_line()}); {len(left)} "
            f"{stage.purpose} cells are left and every finished request is kept: run the same "
            f"command again (log: {dead[0].log_file})"
        )
    raise SweepIncomplete(
        f"{len(left)} {stage.purpose} cells are being run by another process in "
        f"{str(stage.folder.path)!r}; run the same command again when it has ended"
    )


class _Process:
    """One worker process and its log file."""

    def __init__(self, job: Path, threads: int) -> None:
        self.log_file = job.with_suffix(".log")
        count = str(threads)
        self._log: IO[bytes] = self.log_file.open("wb")
        self._process = subprocess.Popen(
            [sys.executable, "-m", "dllm_eval.sweep.worker", str(job)],
            stdin=subprocess.DEVNULL,
            stdout=self._log,
            stderr=self._log,
            env={**os.environ, "OMP_NUM_THREADS": count, "MKL_NUM_THREADS": count},
        )

    @property
    def running(self) -> bool:
        return self._process.poll() is None

    @property
    def code(self) -> int | None:
        return self._process.poll()

    def last_line(self) -> str:
        lines = self.log_file.read_text(encoding="utf-8", errors="replace").strip().splitlines()
        return lines[-1] if lines else "no message"

    def raise_usage_error(self) -> None:
        if self.code == 2 and self.last_line().startswith(USAGE_PREFIX):
            raise UsageError(self.last_line().removeprefix(USAGE_PREFIX))

    def stop(self) -> None:
        if self.running:
            self._process.terminate()
        self._process.wait()
        self._log.close()
