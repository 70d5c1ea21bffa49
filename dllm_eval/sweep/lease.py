"""One owner per cell: a lease file that a dead process loses.

Knows processes and one file; knows nothing of cells. Workers take a lease before they run a cell.
"""

import fcntl
import json
import os
import socket
from dataclasses import asdict, dataclass
from pathlib import Path

from dllm_eval.files import write_json


@dataclass(frozen=True, kw_only=True)
class Owner:
    """A process that may hold a lease."""

    host: str
    pid: int
    started: str
    """When the process started, where the system tells: a process id may be used again."""

    @property
    def alive(self) -> bool:
        """Whether it still runs; a process of another machine is taken to be alive."""
        if self.host != socket.gethostname():
            return True
        try:
            os.kill(self.pid, 0)
        except ProcessLookupError:
            return False
        except PermissionError:
            return True
        return self.started == _started(self.pid)


def this_process() -> Owner:
    """The process that calls."""
    return Owner(host=socket.gethostname(), pid=os.getpid(), started=_started(os.getpid()))


def acquire(path: Path) -> bool:
    """Takes the lease, unless a live process other than this one holds it."""
    path.parent.mkdir(parents=True, exist_ok=True)
    # Without the guard, two processes that find the same dead owner could both take over.
    with path.with_name(f".{path.name}.guard").open("a") as guard:
        fcntl.flock(guard, fcntl.LOCK_EX)
        owner = holder(path)
        if owner is not None and owner != this_process() and owner.alive:
            return False
        write_json(path, asdict(this_process()))
        return True


def release(path: Path) -> None:
    """Gives the lease back, if this process holds it."""
    if holder(path) == this_process():
        path.unlink()


def holder(path: Path) -> Owner | None:
    """Who the file says holds the lease."""
    try:
        return Owner(**json.loads(path.read_text(encoding="utf-8")))
    except FileNotFoundError:
        return None


def _started(pid: int) -> str:
    """Start time in clock ticks since boot, field 22 of /proc/PID/stat; empty without /proc."""
    try:
        text = Path(f"/proc/{pid}/stat").read_text(encoding="utf-8", errors="replace")
    except OSError:
        return ""
    # The program's name, in brackets, may itself hold blanks and brackets.
    fields = text.rpartition(")")[2].split()
    zombie = fields[0] in ("Z", "X")
    return "dead" if zombie else fields[19]
