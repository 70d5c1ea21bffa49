"""Runs against a server that are killed at random moments, and what the server saw of each.

Knows the protocol server, the commands and the request log's lines; knows no model. The tests of
killing and resuming read the rounds.
"""

import json
import os
import signal
import time
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from random import Random
from typing import Any, Protocol

from protocol_answer import Body, text_of
from protocol_server import ProtocolServer

TIMES = ("seconds", "repeat_seconds", "cpu_seconds", "first_text_s", "tries")
"""Fields of a record that another run of the same requests need not repeat."""


@dataclass(frozen=True)
class Round:
    """One start of a command up to its end or its killing."""

    code: int
    sent: Counter[str]
    """The prompts that the server received, and how often."""
    finished_before: set[str]
    """The prompts whose records were in the log when it started."""
    finished_after: set[str]

    @property
    def sent_again(self) -> set[str]:
        """Prompts that were sent although they were finished."""
        return set(self.sent) & self.finished_before

    @property
    def unfinished(self) -> set[str]:
        """Prompts that were sent in vain."""
        return set(self.sent) - self.finished_after


class Processes(Protocol):
    """Knows how a process ended."""

    def code(self, pid: int) -> int | None: ...

    def end(self, pid: int) -> int: ...


def prompt_of(body: Body) -> str:
    """What tells one request from another within a run of one task."""
    return text_of(body)


def prompt_in(_: Path, record: Mapping[str, Any]) -> str:
    """The same in a record; prompts are short here."""
    return str(record["prompt_end"])


@dataclass(frozen=True, kw_only=True)
class Killing:
    """A command that is started again and again until it comes through."""

    processes: Processes
    start: Callable[[], int]
    """Starts the command; gives its process id, which is its group's too."""
    server: ProtocolServer
    logs: Callable[[], Iterable[Path]]
    """The request logs that there are, wherever the command has put them."""
    said: Path
    """What the command says."""
    asked: Callable[[Body], str] = prompt_of
    written: Callable[[Path, Mapping[str, Any]], str] = prompt_in

    def round(self, kill: Callable[[int], None]) -> Round:
        """Starts the command, lets `kill` act on its process, and waits for its end."""
        before, first = self._finished(), len(self.server.requests)
        pid = self.start()
        kill(pid)
        code = self.processes.end(pid)
        sent = Counter(self.asked(request.body) for request in self.server.settled()[first:])
        return Round(code, sent, before, self._finished())

    def _finished(self) -> set[str]:
        return {self.written(log, record) for log in self.logs() for record in records(log)}

    def after(self, requests: int, sign: int, draw: Random) -> Callable[[int], None]:
        """Sends a signal once so many more requests have come, and a moment later."""
        wanted = len(self.server.requests) + requests

        def kill(pid: int) -> None:
            while len(self.server.requests) < wanted and self.processes.code(pid) is None:
                time.sleep(0.002)
            time.sleep(draw.random() * 0.03)
            if self.processes.code(pid) is None:
                os.killpg(pid, sign) if sign == signal.SIGKILL else os.kill(pid, sign)

        return kill


def records(log: Path) -> list[dict[str, Any]]:
    """A log's whole lines; one that a kill has torn is not there yet."""
    if not log.exists():
        return []
    text = log.read_text()
    return [json.loads(line) for line in text.splitlines(keepends=True) if line.endswith("\n")]


def kept_promises(rounds: Sequence[Round], *, requests: int, in_flight: int) -> None:
    """What must hold of every round, whatever moment it was killed at.

    Args:
        rounds: All of them, up to the one that came through.
        requests: How many different ones there are.
        in_flight: How many may be asked again after each kill.
    """
    for each in rounds:
        assert not each.sent_again
        assert max(each.sent.values(), default=1) == 1
        assert len(each.unfinished) <= in_flight
        assert each.finished_before <= each.finished_after
    assert len({sent for each in rounds for sent in each.sent}) == requests
    in_vain = sum(len(each.unfinished) for each in rounds)
    assert sum(each.sent.total() for each in rounds) == requests + in_vain


def timeless(logs: Iterable[Path]) -> dict[str, dict[str, Any]]:
    """The records of these files by key, without the fields of `TIMES`."""
    return {
        record["key"]: {name: value for name, value in record.items() if name not in TIMES}
        for log in logs
        for record in records(log)
    }
