"""One answer on its way to a client, and how it goes when nothing is wrong.

Knows how an answer is written and the wire; `protocol_server.py` makes one of each request, and the
misbehaviours act on it.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from protocol_answer import Answer, Wording
from protocol_wire import Wire, event

LONG_S = 30.0
"""Longer than any client of the tests waits."""


@dataclass(frozen=True, kw_only=True)
class Exchange:
    """One answer on its way."""

    wire: Wire
    answer: Answer
    wording: Wording
    streamed: bool
    chunk_s: float = 0.0
    elsewhere: str = ""
    key: str = ""
    """What the client sent as its key."""

    @property
    def whole(self) -> dict[str, Any]:
        return self.wording.whole(self.answer)

    @property
    def events(self) -> list[bytes]:
        return [event(chunk) for chunk in self.wording.chunks(self.answer)]


Act = Callable[[Exchange], None]


def reply(exchange: Exchange) -> None:
    """As it should be."""
    if exchange.streamed:
        stream(exchange, exchange.events)
        exchange.wire.done()
    else:
        exchange.wire.whole(exchange.whole)


def stream(exchange: Exchange, events: Sequence[bytes]) -> None:
    exchange.wire.begin()
    for number, data in enumerate(events):
        if number:
            exchange.wire.wait(exchange.chunk_s)
        exchange.wire.send(data)
