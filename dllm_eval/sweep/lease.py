"""One owner per file: a lease that a dead process loses, on this machine or on another.

Knows processes and files; knows nothing of cells. Workers take a lease before they run a cell, and
a sweep holds one for as long as it runs.

Whether a process of this machine is alive, the system says. One of another machine (or of another
container) is alive while its lease is touched: its `Heartbeat` does so every few seconds. Times are
never compared with a local clock: whoever asks touches a file beside the lease and compares the two
files' times, which the same file server wrote.
"""

import fcntl
import json
import os
import socket
import threading
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from functools import cache
from pathlib import Path
from types import TracebackType
from typing import Self

from dllm_eval.errors import UsageError
from dllm_eval.files import make_folder, not_written, write_json

HEARTBEAT_S = 10.0
DEAD_AFTER_S = 120.0
"""Seconds without a heartbeat after which a process of another machine counts as dead."""
LEASE_LOST = 5
"""Exit code of a process whose lease was taken over while it could not touch it."""
_GUARD = ".lease.guard"


@dataclass(frozen=True, kw_only=True)
class Owner:
    """A process that may hold a lease."""

    host: str
    pid: int
    started: str
    """When the process started, where the system tells: a process id may be used again."""
    space: str = ""
    """Where the process id means something: the machine's start and the container."""

    @property
    def local(self) -> bool:
        """Whether it is a process that this one could see."""
        return (self.host, self.space) == (socket.gethostname(), _space())

    @property
    def runs(self) -> bool:
        """Whether a local process still runs."""
        try:
            os.kill(self.pid, 0)
        except ProcessLookupError:
            return False
        except PermissionError:
            return True
        return self.started == _started(self.pid)


def this_process() -> Owner:
    """The process that calls."""
    pid = os.getpid()
    return Owner(host=socket.gethostname(), pid=pid, started=_started(pid), space=_space())


def acquire(path: Path, *, unless: Iterable[Path] = ()) -> bool:
    """Takes the lease, unless a live process other than this one holds it.

    Args:
        path: The lease.
        unless: Leases of the same folder that nobody else may hold meanwhile.

    Raises:
        UsageError: The file system knows no locks, or cannot be written.
    """
    with guarded(path.parent):
        if any(_held_by_others(one) for one in (path, *unless)):
            return False
        write_json(path, asdict(this_process()))
        return True


def release(path: Path) -> None:
    """Gives the lease back, if this process holds it."""
    if holder(path) == this_process():
        path.unlink(missing_ok=True)


def holder(path: Path) -> Owner | None:
    """Who the file says holds the lease; None where there is none.

    A file that cannot be read as a lease is held by nobody that is known, for as long as another
    machine's is.
    """
    try:
        return Owner(**json.loads(path.read_text(encoding="utf-8")))
    except FileNotFoundError:
        return None
    except (ValueError, TypeError):
        return Owner(host="", pid=0, started="")


def live_holder(path: Path) -> Owner | None:
    """Who holds the lease and is alive, this process included."""
    owner = holder(path)
    if owner is None:
        return None
    alive = owner.runs if owner.local else _touched_lately(path)
    return owner if alive else None


@contextmanager
def guarded(folder: Path) -> Iterator[None]:
    """Inside, no other process is inside for the same folder.

    Without it, two processes that find the same dead owner could both take over.

    Raises:
        UsageError: The file system knows no locks, or cannot be written.
    """
    make_folder(folder)
    path = folder / _GUARD
    try:
        guard = path.open("a")
    except OSError as error:
        raise not_written(path, error) from error
    with guard:
        try:
            fcntl.flock(guard, fcntl.LOCK_EX)
        except OSError as error:
            raise UsageError(
                f"{str(folder)!r} lies on a file system without locks ({error.strerror}); use "
                f"a results folder on another"
            ) from error
        yield


class Heartbeat:
    """Keeps this process's lease alive for other machines while the block runs.

    A process that stood still for so long that its lease was taken over ends at once, with
    `LEASE_LOST`: two must not write one cell.
    """

    def __init__(self, path: Path, *, every_s: float = HEARTBEAT_S) -> None:
        self.path = path
        self.every_s = every_s
        self._ended = threading.Event()
        self._owner = this_process()
        self._thread = threading.Thread(target=self._beat, daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._ended.set()
        self._thread.join()

    def _beat(self) -> None:
        while not self._ended.wait(self.every_s):
            try:
                if holder(self.path) != self._owner:
                    os._exit(LEASE_LOST)
                os.utime(self.path)
            except OSError:
                continue  # the file server does not answer: its clock stands still for all


@contextmanager
def leased(path: Path, *, unless: Iterable[Path] = ()) -> Iterator[bool]:
    """A lease with its heartbeat for a block; the value says whether this process has it.

    Args:
        path: As in `acquire`.
        unless: As in `acquire`.
    """
    if not acquire(path, unless=unless):
        yield False
        return
    try:
        with Heartbeat(path):
            yield True
    finally:
        release(path)


def _held_by_others(path: Path) -> bool:
    owner = live_holder(path)
    return owner is not None and owner != this_process()


def _touched_lately(path: Path) -> bool:
    # `utime` without a time lets the file's server say what time it is. Opening the lease, rather
    # than asking for its name, lets network file systems look anew.
    guard = path.with_name(_GUARD)
    try:
        guard.touch()
        with path.open("rb") as lease:
            touched = os.fstat(lease.fileno()).st_mtime
        return guard.stat().st_mtime - touched < DEAD_AFTER_S
    except FileNotFoundError:
        return False


@cache
def _space() -> str:
    """The machine's start and the container: a process id means nothing beyond them."""
    try:
        start = Path("/proc/sys/kernel/random/boot_id").read_text(encoding="utf-8").strip()
        return f"{start} {Path('/proc/self/ns/pid').readlink()}"
    except OSError:
        return ""


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
