"""Every row of the table as requests: each way of asking, and at the first try or at every one.

Knows the table and the protocol server's plans; knows no client. A request's text says how the
server has to misbehave, so that all cases can run at the same time against one server.
"""

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from threading import Lock

from misbehaviour_table import EXPECTED, Expected, Way
from protocol_answer import Body, text_of

STALLS = ("silence", "a stall", "comments alone")
"""Those at which a client loses its patience; the others are met by patient ones, so that a busy
machine changes nothing."""


@dataclass(frozen=True)
class Case:
    """One misbehaviour, met by one way of asking, at the first try or at every one."""

    name: str
    way: Way
    times: str
    route: str

    @property
    def prompt(self) -> str:
        return f"{self.name}|{self.way}|{self.times}|{self.route}"

    @property
    def expected(self) -> Expected:
        return EXPECTED[self.name]

    @property
    def is_answered(self) -> bool:
        return self.expected.end == "borne" or self.times == "once"

    @property
    def is_stall(self) -> bool:
        return self.name in STALLS


def _cases() -> Iterator[Case]:
    for name, expected in EXPECTED.items():
        for way in expected.ways:
            for times in ("once", "always") if expected.end == "retried" else ("always",):
                yield from (Case(name, way, times, route) for route in expected.routes)


CASES = {case.prompt: case for case in _cases()}
ANSWERED = [prompt for prompt, case in CASES.items() if case.is_answered]
FAILED = [prompt for prompt, case in CASES.items() if not case.is_answered]


class AsTheTextSays:
    """A plan: misbehaves as a request's own text says, the first time or always."""

    def __init__(self) -> None:
        self.seen: Counter[str] = Counter()
        self._lock = Lock()

    def __call__(self, _: int, body: Body) -> str | None:
        text = text_of(body)
        case = CASES[text]
        with self._lock:
            self.seen[text] += 1
            return case.name if case.times == "always" or self.seen[text] == 1 else None
