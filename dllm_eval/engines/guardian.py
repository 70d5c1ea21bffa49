"""Runs one engine as a child, and ends it when the process that asked for it ends, however it ends.

A program of its own, of the standard library alone, so that it starts in milliseconds and shares no
fate with what it guards: `server.py` starts it as a file. Knows no engine and no model.

It reads one line of JSON (see `Order`) and then waits: for another line or the end of its input,
for the death of its parent (a killed process closes nothing that a forked child of it holds open,
so its parent's id is looked at as well), or for the engine's own end. It says what happens, one
line of JSON each: {"waiting": holder}, {"started": pid}, {"ended": exit code}.

Before the engine starts it takes locks, one for each device, and keeps them until nothing of the
engine is left. On Linux the engine is killed by the kernel if the guardian is (PR_SET_PDEATHSIG),
and descendants of the engine that left its process group are found and ended too: orphans become
the guardian's children (PR_SET_CHILD_SUBREAPER). Elsewhere its process group is all that is ended.
"""

import ctypes
import fcntl
import json
import os
import select
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from io import FileIO
from pathlib import Path
from typing import Any

_POLL_S = 0.1
_END_POLL_S = 0.02
_PR_SET_PDEATHSIG = 1
_PR_SET_CHILD_SUBREAPER = 36
_NOT_FOUND = 127
"""What a shell says of a program that cannot be run."""
_LEAST_TICKS = 20
"""Polls that a SIGKILL is given to take effect."""


class Order:
    """What the guardian is told.

    Args:
        given: "command" (argv), "environment" (added to this process's own), "log" (a file),
            "locks" ([[path, whether shared], ...] in the order to take them), "holder" (what is
            written into a lock for others to read), "parent" (a process id), "grace_s" (between
            SIGTERM and SIGKILL).
    """

    def __init__(self, given: dict[str, Any]) -> None:
        self.command: list[str] = given["command"]
        self.environment: dict[str, str] = given["environment"]
        self.log: str = given["log"]
        self.locks: list[tuple[str, bool]] = [(path, shared) for path, shared in given["locks"]]
        self.holder: str = given["holder"]
        self.parent: int = given["parent"]
        self.grace_s: float = given["grace_s"]


class Guardian:
    """One engine, from the wait for its device to its end."""

    def __init__(self, order: Order) -> None:
        self._order = order
        self._held: list[int] = []

    def run(self) -> int:
        """Runs the engine until it ends or has to; gives its exit code, 0 where it never began."""
        if not self._lock_all():
            return 0
        with Path(self._order.log).open("ab", buffering=0) as log:
            try:
                engine = subprocess.Popen(
                    self._order.command,
                    stdin=subprocess.DEVNULL,
                    stdout=log,
                    stderr=log,
                    env={**os.environ, **self._order.environment},
                    start_new_session=True,
                    preexec_fn=_killed_with_parent(),
                )
            except OSError as error:
                log.write(f"{error}\n".encode())
                _say({"ended": _NOT_FOUND})
                return _NOT_FOUND
        _say({"started": engine.pid})
        while engine.poll() is None and not self._over():
            pass
        self._end(engine)
        _say({"ended": engine.returncode})
        return 0

    def _lock_all(self) -> bool:
        """Takes every lock; False where the parent gave up first."""
        said = ""
        for path, shared in self._order.locks:
            mode = fcntl.LOCK_SH if shared else fcntl.LOCK_EX
            descriptor = os.open(path, os.O_RDWR | os.O_CREAT, 0o600)
            while not _locked(descriptor, mode):
                holder = os.pread(descriptor, 4096, 0).decode(errors="replace")
                if holder != said:
                    _say({"waiting": holder})
                    said = holder
                if self._over():
                    return False
            if not shared:
                os.ftruncate(descriptor, 0)
                os.pwrite(descriptor, self._order.holder.encode(), 0)
            self._held.append(descriptor)
        return True

    def _over(self) -> bool:
        """Waits a moment; whether the parent has asked for the end, or has ended."""
        readable, _, _ = select.select([sys.stdin], [], [], _POLL_S)
        return bool(readable) or os.getppid() != self._order.parent

    def _end(self, engine: "subprocess.Popen[bytes]") -> None:
        _signal_group(engine.pid, signal.SIGTERM)
        for _ in range(round(self._order.grace_s / _END_POLL_S)):
            if engine.poll() is not None:
                break
            time.sleep(_END_POLL_S)
        _signal_group(engine.pid, signal.SIGKILL)
        engine.wait()
        for _ in range(_LEAST_TICKS):
            left = list(_descendants(os.getpid()))
            if not left:
                return
            for pid in left:
                with suppress(ProcessLookupError, PermissionError):
                    os.kill(pid, signal.SIGKILL)
            _reap()
            time.sleep(_END_POLL_S)


def _locked(descriptor: int, mode: int) -> bool:
    try:
        fcntl.flock(descriptor, mode | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def _killed_with_parent() -> Callable[[], None] | None:
    """What the engine's process does before it becomes the engine; None where no kernel helps."""
    if not sys.platform.startswith("linux"):
        return None
    library = ctypes.CDLL(None)  # found before the fork, after which little is safe
    library.prctl(_PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)
    parent = os.getpid()

    def die_with_parent() -> None:
        library.prctl(_PR_SET_PDEATHSIG, int(signal.SIGKILL), 0, 0, 0)
        if os.getppid() != parent:
            os._exit(1)

    return die_with_parent


def _signal_group(group: int, which: signal.Signals) -> None:
    with suppress(ProcessLookupError, PermissionError):
        os.killpg(group, which)


def _descendants(root: int) -> Iterator[int]:
    """Processes below one, as /proc has them; none where there is no /proc."""
    children: dict[int, list[int]] = {}
    for stat in Path("/proc").glob("[0-9]*/stat"):
        with suppress(OSError, IndexError, ValueError):
            # The name in brackets may hold anything; state and parent follow it.
            parent = int(stat.read_text(errors="replace").rpartition(")")[2].split()[1])
            children.setdefault(parent, []).append(int(stat.parent.name))
    waiting = children.get(root, [])
    while waiting:
        pid = waiting.pop()
        waiting += children.get(pid, [])
        yield pid


def _reap() -> None:
    with suppress(ChildProcessError):
        while os.waitpid(-1, os.WNOHANG)[0]:
            pass


def _say(news: dict[str, Any]) -> None:
    with suppress(OSError):  # nobody may be left to read it
        os.write(1, json.dumps(news).encode() + b"\n")


def main() -> int:
    """Reads an order and carries it out."""
    for name in (signal.SIGINT, signal.SIGHUP, signal.SIGPIPE):
        signal.signal(name, signal.SIG_IGN)
    line = FileIO(0, closefd=False).readline()  # unbuffered, so that the next line is left
    return Guardian(Order(json.loads(line))).run() if line else 0


if __name__ == "__main__":
    sys.exit(main())
