"""What the threads of one protocol server share: how it behaves, and every request so far.

Knows no socket. `protocol_server.py` keeps one; tests read its requests.
"""

import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from threading import Event, Lock
from typing import Any

from protocol_answer import Answer, Body
from protocol_flavours import Flavour

Backend = Callable[[dict[str, Any]], str | Answer]
Plan = Callable[[int, Body], str | None]
"""(number of the request, its body) -> the name of a misbehaviour, or None to behave."""


@dataclass
class Received:
    """A request for an answer, as it came in, and what became of it."""

    number: int
    route: str
    body: dict[str, Any]
    headers: dict[str, str]
    at_s: float
    """On this machine's monotonic clock."""
    status: int = 200
    misbehaviour: str | None = None
    sent: bool = False
    """Whether the whole answer went out."""
    ended_s: float | None = None


@dataclass(kw_only=True)
class State:
    """What the threads of one server share."""

    answer: Backend
    flavour: Flavour
    models: Sequence[str]
    key: str | None
    plan: Plan
    first_s: float
    chunk_s: float
    log: Path | None
    elsewhere: str
    requests: list[Received] = field(default_factory=list)
    lock: Lock = field(default_factory=Lock)
    stopping: Event = field(default_factory=Event)
    in_flight: int = 0
    most_in_flight: int = 0

    def note(self, what: str, request: Received) -> None:
        """A line in the log, for tests that look at it from another process."""
        if self.log is not None:
            line = {"what": what, "number": request.number, "body": request.body}
            with self.log.open("a") as file:
                file.write(f"{json.dumps(line)}\n")


class RefusalError(Exception):
    """An error that the server answers with, in OpenAI's envelope."""

    def __init__(self, status: int, message: str, kind: str, code: str | None = None) -> None:
        super().__init__(message)
        self.status = status
        self.content = {"error": {"message": message, "type": kind, "param": None, "code": code}}
