"""One worker process of this machine and its log file.

Knows how to start and end a process, and what it says at its end; knows no cells. `local.py` runs
cells in these.
"""

import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import IO, Protocol

_TERMINATION_S = 5.0


class Process(Protocol):
    """A worker that was started."""

    @property
    def pid(self) -> int:
        """Its process id."""
        ...

    @property
    def code(self) -> int | None:
        """Its exit code, minus the signal that ended it; None while it runs."""
        ...

    @property
    def last_line(self) -> str:
        """The last thing it said."""
        ...

    def stop(self) -> None:
        """Ends it if it runs still, and waits for that."""
        ...


Start = Callable[[Path, int], Process]
"""(job file, CPU threads) -> a worker that runs it."""


class WorkerProcess:
    """A fresh interpreter that runs a job.

    Args:
        job: The job's file; the log lies beside it.
        threads: CPU threads for its numerical libraries.
    """

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
    def pid(self) -> int:
        """Its process id."""
        return self._process.pid

    @property
    def code(self) -> int | None:
        """Its exit code, minus the signal that ended it; None while it runs."""
        return self._process.poll()

    @property
    def last_line(self) -> str:
        """The last line of its log."""
        return last_line(self.log_file)

    def stop(self) -> None:
        """Ends it if it runs still, and waits for that."""
        if self.code is None:
            self._process.terminate()
        try:
            self._process.wait(_TERMINATION_S)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
        self._log.close()


def last_line(log: Path) -> str:
    """The last line of a log apart from progress bars, "no message" where there is none."""
    lines = log.read_text(encoding="utf-8", errors="replace").strip().splitlines()
    said = [line for line in lines if line.strip() and "%|" not in line]
    return said[-1] if said else "no message"
