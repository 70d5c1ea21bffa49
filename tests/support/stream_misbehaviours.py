"""What a server may do wrong with an answer that it streams, by name.

The part of `misbehaviours.py` that cuts, repeats and breaks server-sent events.
"""

from collections.abc import Callable
from dataclasses import replace
from typing import Any

from exchange import LONG_S, Act, Exchange, reply, stream
from protocol_wire import event


def _of_stream(change: Callable[[list[bytes]], list[bytes]], *, done: bool = True) -> Act:
    """A stream whose events are changed; `done` says whether [DONE] is sent behind them."""

    def act(exchange: Exchange) -> None:
        stream(exchange, change(exchange.events))
        if done:
            exchange.wire.done()
        else:
            exchange.wire.end()

    return act


def _halves(then: Callable[[Exchange, bytes], None]) -> Act:
    """Half of the events, and then something else in place of the next."""

    def act(exchange: Exchange) -> None:
        events = exchange.events
        half = len(events) // 2
        stream(exchange, events[:half])
        then(exchange, events[half])

    return act


def _stall(exchange: Exchange, _: bytes) -> None:
    exchange.wire.wait(LONG_S)
    exchange.wire.cut()


def _cut_in_chunk(exchange: Exchange, data: bytes) -> None:
    exchange.wire.part_of_chunk(data)
    exchange.wire.cut()


def _end_early(exchange: Exchange, _: bytes) -> None:
    exchange.wire.end()


def _broken_event(exchange: Exchange, data: bytes) -> None:
    exchange.wire.send(data.rstrip()[:-4] + b"\n\n")
    exchange.wire.done()


def _error_event(content: Any) -> Callable[[Exchange, bytes], None]:
    def then(exchange: Exchange, _: bytes) -> None:
        exchange.wire.event({"error": content})
        exchange.wire.end()

    return then


def _key_in_event(exchange: Exchange, _: bytes) -> None:
    exchange.wire.event({"error": f"cannot work with {exchange.key}"})
    exchange.wire.end()


def _comments(exchange: Exchange, _: bytes) -> None:
    """Signs of life that are no answer."""
    for _number in range(int(LONG_S / 0.05)):
        exchange.wire.send(b": still here\n\n")
        exchange.wire.wait(0.05)


def _sent_again(events: list[bytes]) -> list[bytes]:
    """Every event twice under the same SSE id, as after a reconnection."""
    marked = [b"id: %d\n%s" % (number, data) for number, data in enumerate(events)]
    return [data for data in marked for _ in range(2)]


def _carriage_returns(events: list[bytes]) -> list[bytes]:
    """Comments between events, CR LF for line ends, a field that nobody knows."""
    return [b": ping\r\n\r\nretry: 10\r\n" + data.replace(b"\n", b"\r\n") for data in events]


def _several_lines(events: list[bytes]) -> list[bytes]:
    """Every event's JSON over two data lines, which the specification joins by a line end."""
    return [data.replace(b', "object"', b',\ndata: "object"', 1) for data in events]


def _bytes_apart(exchange: Exchange) -> None:
    """A few bytes at a time, so that characters and lines are cut anywhere."""
    exchange.wire.begin()
    data = b"".join(exchange.events)
    for first in range(0, len(data), 7):
        exchange.wire.send(data[first : first + 7])
    exchange.wire.done()


def _endless_line(exchange: Exchange) -> None:
    exchange.wire.begin()
    exchange.wire.send(b"data: ")
    for _ in range(64):
        exchange.wire.send(b"x" * 2**20)
    exchange.wire.send(b"\n\n")
    exchange.wire.done()


def _shrinking_drafts(exchange: Exchange) -> None:
    """Drafts that are longer than the answer, each shorter than the one before."""
    text = exchange.answer.text or ""
    drafts = tuple(text + " more words" * count for count in (4, 2, 1))
    reply(replace(exchange, answer=replace(exchange.answer, drafts=drafts)))


def _behind_done(exchange: Exchange) -> None:
    stream(exchange, exchange.events)
    exchange.wire.event("[DONE]")
    exchange.wire.send(exchange.events[0].replace(b'""', b'" not this"'))
    exchange.wire.send(exchange.events[1])
    exchange.wire.end()


def _drafts_to_nothing(exchange: Exchange) -> None:
    """The answer after drafts of some text is the empty one."""
    drafts = (exchange.answer.text or "", "one")
    reply(replace(exchange, answer=replace(exchange.answer, text="", drafts=drafts)))


OF_STREAMS: dict[str, Act] = {
    "a stall": _halves(_stall),
    "cut in a chunk": _halves(_cut_in_chunk),
    "an early end": _halves(_end_early),
    "a broken event": _halves(_broken_event),
    "an error event": _halves(_error_event({"message": "overloaded", "code": 503})),
    "an error's text as event": _halves(_error_event("out of memory")),
    "comments alone": _halves(_comments),
    "the key in an event": _halves(_key_in_event),
    "no [DONE]": _of_stream(list, done=False),
    "two [DONE]s": _of_stream(lambda events: [*events, event("[DONE]")]),
    "text behind [DONE]": _behind_done,
    "events sent again": _of_stream(_sent_again),
    "CR LF and comments": _of_stream(_carriage_returns),
    "data over several lines": _of_stream(_several_lines),
    "a few bytes at a time": _bytes_apart,
    "an endless line": _endless_line,
    "drafts that shrink": _shrinking_drafts,
    "drafts that shrink to nothing": _drafts_to_nothing,
}
