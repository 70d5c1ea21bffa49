"""Runs one program in a confined child and gives the verdict.

The child may do anything; only what the warden sees from outside counts. A pass is the token
alone on the child's report pipe, written after the program's last line: leaving early, whatever
the exit status, printing, or writing anything else there is no pass. Knows nothing of tasks.
Forked once per program by `server.py`.
"""

import os
import secrets
import select
import shutil
import signal
import sys
import tempfile
import time
import types
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final, NoReturn

from dllm_eval.sandbox.confine import give_up_rights, leave_other_processes
from dllm_eval.sandbox.outcome import Isolation

REPORT_BYTES: Final = 4096
_REPORT_FD: Final = 3
_HIGHEST_FD: Final = 256


@dataclass(frozen=True, kw_only=True)
class Job:
    """One program and its limits."""

    source: str
    timeout_s: float
    memory_bytes: int
    allow_unisolated: bool


@dataclass(frozen=True, kw_only=True)
class Room:
    """Where all programs run: the folder that scratch folders go in, or why there is none."""

    scratch: str = ""
    refused: str = ""


@dataclass(frozen=True, kw_only=True)
class Verdict:
    """What the warden saw; `refused` says why the program was not run, `died` that nobody saw."""

    passed: bool = False
    detail: str = ""
    isolation: Isolation = "none"
    refused: str = ""
    died: bool = False


def judge(job: Job, room: Room, answer: Callable[[Verdict], None]) -> None:
    """Runs the program to its end or its time limit; leaves no process behind.

    `answer` gets the verdict as soon as it is known: the milliseconds in which the kernel tears
    the namespaces down come after it.
    """
    isolation: Isolation = "none"
    try:
        if room.refused:
            raise OSError(room.refused)
        leave_other_processes()
        isolation = "namespaces"
    except OSError as error:
        if not job.allow_unisolated:
            answer(Verdict(refused=str(error)))
            return
    scratch = tempfile.mkdtemp(prefix="dllm-eval-", dir=room.scratch or None)
    os.chmod(scratch, 0o777)  # noqa: PTH101 - the program may run as another user
    try:
        _supervise(job, scratch, isolation, answer)
    finally:
        shutil.rmtree(scratch, ignore_errors=True)


def _supervise(
    job: Job, scratch: str, isolation: Isolation, answer: Callable[[Verdict], None]
) -> None:
    token = secrets.token_bytes(32)
    reader, writer = os.pipe()
    child = os.fork()
    if child == 0:
        _child(job, scratch, writer, token)
    os.close(writer)
    report, in_time = _listen(reader, time.monotonic() + job.timeout_s)
    os.close(reader)
    if not report:
        # How it ended is the only thing left to tell.
        _kill(child)
        _, status = os.waitpid(child, 0)
        answer(Verdict(detail=_ending(status) if in_time else "timed out", isolation=isolation))
    else:
        answer(_read_report(report, token=token, isolation=isolation, in_time=in_time))
        _kill(child)
        os.waitpid(child, 0)


def _read_report(report: bytes, *, token: bytes, isolation: Isolation, in_time: bool) -> Verdict:
    if report == token:
        return Verdict(passed=True, detail="passed", isolation=isolation)
    if report[: len(token)] == token:
        return Verdict(refused=report[len(token) :].decode("utf-8", "replace"))
    if not in_time:
        return Verdict(detail="timed out", isolation=isolation)
    if token in report:
        return Verdict(detail="wrote to the report pipe", isolation=isolation)
    return Verdict(detail=report.decode("utf-8", "replace"), isolation=isolation)


def _ending(status: int) -> str:
    if os.WIFSIGNALED(status):
        return f"killed by {signal.Signals(os.WTERMSIG(status)).name}"
    return "ended early"


def _listen(reader: int, deadline: float) -> tuple[bytes, bool]:
    """Everything the child reports until it ends; False when its time or the pipe's cap ran out."""
    report = b""
    while True:
        left = deadline - time.monotonic()
        if left <= 0 or not select.select([reader], [], [], left)[0]:
            return report, False
        piece = os.read(reader, REPORT_BYTES)
        report += piece
        if not piece or len(report) > REPORT_BYTES:
            return report[:REPORT_BYTES], True


def _kill(child: int) -> None:
    """Ends the child with all its group; in a pid namespace nothing else can remain."""
    # A child that has not made its own group yet is still alone.
    for kill in (os.killpg, os.kill):
        try:
            kill(child, signal.SIGKILL)
        except (ProcessLookupError, PermissionError):
            continue


def _child(job: Job, scratch: str, writer: int, token: bytes) -> NoReturn:
    write, leave = os.write, os._exit
    report = b""
    try:
        _detach(scratch, writer)
        give_up_rights(timeout_s=job.timeout_s, memory_bytes=job.memory_bytes)
    except OSError as error:
        # The token tells that it is not the program who says that it was never run.
        report = token + _describe(error)
    else:
        fault = _execute(job.source)
        report = token if fault is None else fault
    finally:
        try:
            write(_REPORT_FD, report)
        finally:
            leave(0)


def _detach(scratch: str, writer: int) -> None:
    os.setsid()
    nothing = os.open(os.devnull, os.O_RDWR)
    for stream in (0, 1, 2):
        os.dup2(nothing, stream)
    os.dup2(writer, _REPORT_FD)
    os.closerange(_REPORT_FD + 1, _HIGHEST_FD)
    os.chdir(scratch)


def _execute(source: str) -> bytes | None:
    """Runs the program as its own module; what stopped it, or None where it ran to its end."""
    module = types.ModuleType("program")
    sys.modules["program"] = module
    sys.argv = ["program"]
    try:
        exec(compile(source, "program", "exec"), module.__dict__)
    except SystemExit:
        return b"ended early"
    except BaseException as error:
        return _describe(error)
    return None


def _describe(error: BaseException) -> bytes:
    try:
        text = f"{type(error).__name__}: {error}"
    except Exception:
        text = "an error without a text"
    return text[:500].encode("utf-8", "replace")
