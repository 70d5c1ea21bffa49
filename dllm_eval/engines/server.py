"""One running server of an engine: started, waited for, ended.

Knows processes, ports and logs; knows neither requests nor models. `keeper.py` keeps one.
"""

import json
import os
import select
import shlex
import socket
import subprocess
import sys
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from dllm_eval.engines import guardian
from dllm_eval.engines.devices import locks
from dllm_eval.engines.health import healthy, told
from dllm_eval.engines.launch import HOST, Launch
from dllm_eval.errors import UsageError
from dllm_eval.files import make_folder, write_text
from dllm_eval.measure.wall import now_s

_POLL_S = 0.2
_MOST_PORTS = 3
"""Starts, each on another port, where another process took the port first."""
_PORT_TAKEN = ("address already in use", "errno 98", "errno 48")
_LINES_SHOWN = 3
_CHARACTERS_SHOWN = 200


class EngineEnded(UsageError):  # noqa: N818 - an outcome, and perhaps no fault of the caller's
    """A server ended by itself, or never came up; the line quotes the end of its log."""


@dataclass(frozen=True, kw_only=True)
class Patience:
    """How long is waited."""

    start_s: float = 600.0
    """From the start of the process until it is healthy; and for a device that a server of another
    results folder has."""
    stop_s: float = 20.0
    """From the polite signal to the one that kills."""


class EngineServer:
    """A server that was started; `wait_until_ready` before the first request.

    Args:
        launch: What is started.
        folder: Where its log and its files go.
        patience: How long is waited for it.

    Raises:
        UsageError: The folder cannot be written.
    """

    def __init__(self, launch: Launch, folder: Path, patience: Patience) -> None:
        self.launch = launch
        self.port = _free_port()
        self._patience = patience
        self._folder = folder
        make_folder(folder)
        name = f"{launch.engine.name}-{os.getpid()}-{self.port}"
        self.log = folder / f"{name}.log"
        settings = folder / f"{name}.yaml"
        text = launch.file_text()
        if text is not None:
            write_text(settings, text)
        self.command = launch.command(self.port, settings)
        self._code: int | None = None
        self._started = False
        self._holder = ""
        self._unread = b""
        self._guardian = self._start()

    @property
    def base_url(self) -> str:
        """Where its routes begin."""
        return f"http://{HOST}:{self.port}/v1"

    @property
    def command_line(self) -> str:
        """The command as one would type it."""
        return shlex.join(self.command)

    @property
    def alive(self) -> bool:
        """Whether its process runs."""
        self._hear(0.0)
        return self._code is None and self._guardian.poll() is None

    def ends_within(self, longest_s: float) -> bool:
        """Whether it has ended, or does so in that time."""
        until_s = now_s() + longest_s
        while self.alive:
            if now_s() > until_s:
                return False
            self._hear(_POLL_S)
        return True

    @property
    def version(self) -> str | None:
        """What the server says it is, else what is installed; None where neither tells."""
        asked = (told(HOST, self.port, *one) for one in self.launch.engine.versions)
        return next((said for said in asked if said), self.launch.program.version)

    def wait_until_ready(self) -> None:
        """Waits until it answers.

        Raises:
            EngineEnded: It ended first, or took longer than `Patience.start_s`.
            UsageError: Another results folder's server holds the device for as long.
        """
        asked_at = now_s()
        started_at: float | None = None
        while True:
            self._hear(_POLL_S)
            if self._started and started_at is None:
                started_at = now_s()
            if not self.alive:
                raise self.ended(f"ended with exit code {self._code} before it was ready")
            if self._started and healthy(HOST, self.port, self.launch.engine.health):
                return
            since = now_s() - (started_at or asked_at)
            if since > self._patience.start_s and (started_at or not self._awaits_own()):
                raise self._late(started_at is not None)

    def ended(self, what: str) -> EngineEnded:
        """The error that says how it ended, with the last lines of its log."""
        said = _last_lines(self.log)
        return EngineEnded(
            f"the {self.launch.engine.name} server {what}; its last lines: {said}; its whole log: "
            f"{self.log}"
        )

    def stop(self) -> None:
        """Ends it and all it started; does nothing where it has ended."""
        process = self._guardian
        if process.stdin is not None and not process.stdin.closed:
            with suppress(OSError), process.stdin:  # it may have ended
                process.stdin.write(b"stop\n")
        try:
            process.wait(self._patience.stop_s + 10)
        except subprocess.TimeoutExpired:
            process.kill()  # which kills the engine, too
            process.wait()
        self._hear(0.0)
        if process.stdout is not None:
            process.stdout.close()

    def _start(self) -> "subprocess.Popen[bytes]":
        environment = dict(self.launch.engine.environment)
        order = {
            "command": self.command,
            "environment": environment,
            "log": str(self.log),
            "locks": locks(os.environ, self._folder, os.getuid()),
            "holder": json.dumps({"pid": os.getpid(), "folder": str(self._folder.resolve())}),
            "parent": os.getpid(),
            "grace_s": self._patience.stop_s,
        }
        process = subprocess.Popen(
            [sys.executable, "-I", "-S", str(guardian.__file__)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            bufsize=0,
            start_new_session=True,  # a Ctrl-C at the terminal is ours to pass on
        )
        if process.stdin is not None:
            process.stdin.write(json.dumps(order).encode() + b"\n")
        return process

    def _hear(self, longest_s: float) -> None:
        """Takes in what the guardian has said, waiting for it so long at most."""
        out = self._guardian.stdout
        if out is None or out.closed or not select.select([out], [], [], longest_s)[0]:
            return
        self._unread += os.read(out.fileno(), 65536)
        *whole, self._unread = self._unread.split(b"\n")
        for line in whole:
            news = json.loads(line)
            self._started = self._started or "started" in news
            self._holder = news.get("waiting", "")
            self._code = news.get("ended", self._code)

    def _awaits_own(self) -> bool:
        """Whether the device is held by a server of the same results folder, whose turn ends."""
        return bool(self._holder) and _folder_of(self._holder) == str(self._folder.resolve())

    def _late(self, started: bool) -> UsageError:
        seconds = f"start_s={self._patience.start_s:g}"
        if started:
            return self.ended(f"was not ready within {seconds}")
        return UsageError(
            f"another server has the device for longer than {seconds} ({self._holder}); end it, or "
            "give this process another device by CUDA_VISIBLE_DEVICES"
        )


def start(launch: Launch, folder: Path, patience: Patience) -> EngineServer:
    """A server that answers.

    Raises:
        EngineEnded: It did not come up.
        UsageError: Its device is taken, or its files cannot be written.
    """
    left = _MOST_PORTS
    while True:
        server, left = EngineServer(launch, folder, patience), left - 1
        try:
            server.wait_until_ready()
        except EngineEnded as error:
            server.stop()
            if not left or not any(sign in str(error).lower() for sign in _PORT_TAKEN):
                raise
        except BaseException:
            server.stop()
            raise
        else:
            return server


def _free_port() -> int:
    with socket.socket() as listener:
        listener.bind((HOST, 0))
        port: int = listener.getsockname()[1]
        return port


def _folder_of(holder: str) -> str:
    try:
        return str(json.loads(holder)["folder"])
    except (ValueError, KeyError, TypeError):
        return ""


def _last_lines(log: Path) -> str:
    try:
        lines: Sequence[str] = log.read_text(encoding="utf-8", errors="replace").splitlines()
    except OSError:
        lines = ()
    said = [line.strip()[:_CHARACTERS_SHOWN] for line in lines if line.strip()]
    return " | ".join(said[-_LINES_SHOWN:]) or "none"
