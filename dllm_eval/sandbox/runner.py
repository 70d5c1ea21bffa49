"""Runs generated programs: one fork server per process, started on the first program.

Knows nothing of tasks and of how a program is confined. Called by the code tasks; safe to call
from several threads (one program at a time) and after a fork (the child starts its own server).
"""

import atexit
import json
import os
import select
import subprocess
import sys
from pathlib import Path
from threading import Lock
from typing import Final

from dllm_eval.errors import UsageError
from dllm_eval.sandbox.outcome import Outcome

ALLOW_UNISOLATED: Final = "DLLM_EVAL_ALLOW_UNISOLATED"
DEFAULT_MEMORY_BYTES: Final = 512 * 2**20
_GRACE_S: Final = 20.0
_ROOT: Final = str(Path(__file__).resolve().parents[2])
_BOOT: Final = (
    f"import sys; sys.path.append({_ROOT!r}); "
    f"from dllm_eval.sandbox.server import serve; serve({_ROOT!r})"
)
# A fixed hash seed makes a program that walks a set do the same thing every time; it is why
# the interpreter is cut off from its surroundings by these three flags and not by -I.
_COMMAND: Final = (sys.executable, "-S", "-s", "-P", "-B", "-c", _BOOT)
_ENVIRONMENT: Final = {
    "PATH": os.defpath,
    "LC_ALL": "C.UTF-8",
    "PYTHONHASHSEED": "0",
    "OMP_NUM_THREADS": "1",
}


class SandboxError(RuntimeError):
    """The fork server failed twice on one program; the program has no verdict."""


class ForkServer:
    """The one fork server of this process; started again whenever it is found dead."""

    def __init__(self) -> None:
        self._lock = Lock()
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def process_id(self) -> int | None:
        """The running server, None before the first program."""
        return None if self._process is None else self._process.pid

    def ask(self, job: dict[str, object], *, timeout_s: float) -> dict[str, object]:
        """The server's answer to one job; a server that dies over it is given one more try."""
        line = json.dumps(job).encode("ascii") + b"\n"
        with self._lock:
            for _ in range(2):
                answer = self._exchange(line, timeout_s)
                if answer is not None and not answer["died"]:
                    return answer
                self.stop()
        raise SandboxError("the sandbox's fork server died or hung twice on one program")

    def stop(self) -> None:
        """Ends the server and reaps it."""
        process, self._process = self._process, None
        if process is None:
            return
        process.kill()
        process.wait()
        _close_pipes(process)

    def forget(self) -> None:
        """In a forked child: lets go of the parent's server, without a sign to it."""
        process, self._process, self._lock = self._process, None, Lock()
        if process is not None:
            _close_pipes(process)
            process.returncode = 0  # not this process's child: nothing to wait for

    def _start(self) -> subprocess.Popen[bytes]:
        return subprocess.Popen(
            _COMMAND,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            env=_ENVIRONMENT,
            cwd="/",
            bufsize=0,
            start_new_session=True,  # an interrupt at the terminal is for us alone
        )

    def _exchange(self, line: bytes, timeout_s: float) -> dict[str, object] | None:
        if self._process is None or self._process.poll() is not None:
            self.stop()
            self._process = self._start()
        stdin, stdout = self._process.stdin, self._process.stdout
        if stdin is None or stdout is None:
            raise SandboxError("the fork server was started without pipes")
        try:
            _write_all(stdin.fileno(), line)
        except BrokenPipeError:
            return None
        answer = b""
        while not answer.endswith(b"\n"):
            ready, _, _ = select.select([stdout], [], [], timeout_s + _GRACE_S)
            piece = os.read(stdout.fileno(), 65536) if ready else b""
            if not piece:
                return None
            answer += piece
        decoded: dict[str, object] = json.loads(answer)
        return decoded


def _close_pipes(process: subprocess.Popen[bytes]) -> None:
    for pipe in (process.stdin, process.stdout):
        if pipe is not None:
            pipe.close()


def _write_all(descriptor: int, data: bytes) -> None:
    view = memoryview(data)
    while view:
        view = view[os.write(descriptor, view) :]


SERVER: Final = ForkServer()
atexit.register(SERVER.stop)
os.register_at_fork(after_in_child=SERVER.forget)


def run_program(
    source: str, *, timeout_s: float = 3.0, memory_bytes: int = DEFAULT_MEMORY_BYTES
) -> Outcome:
    """Runs a program in a locked-up process of its own; it passes by running past its last line.

    Args:
        source: Python source, its checks included.
        timeout_s: Wall-clock seconds it may take.
        memory_bytes: Address space it may take.

    Raises:
        UsageError: This machine cannot isolate a process and DLLM_EVAL_ALLOW_UNISOLATED is not 1.
        SandboxError: The sandbox itself failed.
    """
    job: dict[str, object] = {
        "source": source,
        "timeout_s": timeout_s,
        "memory_bytes": memory_bytes,
        "allow_unisolated": os.environ.get(ALLOW_UNISOLATED) == "1",
    }
    answer = SERVER.ask(job, timeout_s=timeout_s)
    if answer["refused"]:
        raise UsageError(
            f"generated code cannot be isolated on this machine ({answer['refused']}); allow "
            f"unprivileged user namespaces, or accept running it without isolation with "
            f"{ALLOW_UNISOLATED}=1"
        )
    return Outcome(
        passed=answer["passed"] is True,
        detail=str(answer["detail"]),
        isolation="namespaces" if answer["isolation"] == "namespaces" else "none",
    )
