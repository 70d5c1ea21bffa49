"""What a server may do wrong with one answer, by name.

Each is a function of an `Exchange`. Knows neither routes nor clients; `protocol_server.py` calls
them by a plan, and `misbehaviour_table.py` says what has to come of each.
"""

import gzip
import random
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from typing import Any

from exchange import LONG_S, Act, Exchange, reply
from protocol_answer import Body
from protocol_wire import encoded
from stream_misbehaviours import OF_STREAMS


def _status(status: int, code: str | None = None, **headers: str) -> Act:
    error = {"message": f"the server says {status}", "type": "server_error", "code": code}
    names = {name.replace("_", "-"): value for name, value in headers.items()}
    return lambda x: x.wire.whole({"error": error}, status=status, headers=names)


def _too_many_until(exchange: Exchange) -> None:
    at = datetime.now(UTC) + timedelta(seconds=1)
    headers = {"Retry-After": format_datetime(at, usegmt=True)}
    exchange.wire.whole({"error": {"message": "slow down"}}, status=429, headers=headers)


def _html(status: int) -> Act:
    page = "<html><head><title>Bad gateway</title></head><body>proxy</body></html>"
    return lambda x: x.wire.whole(page, status=status, content_type="text/html")


def _cut(exchange: Exchange) -> None:
    exchange.wire.cut()


def _silent(exchange: Exchange) -> None:
    exchange.wire.wait(LONG_S)
    exchange.wire.cut()


def _slow_first_byte(exchange: Exchange) -> None:
    exchange.wire.wait(0.3)
    reply(exchange)


def _redirect(exchange: Exchange) -> None:
    headers = {"Location": f"{exchange.elsewhere}/{exchange.wording.route}/completions"}
    exchange.wire.whole({}, status=307, headers=headers)


def _of_whole(change: Callable[[dict[str, Any]], Any]) -> Act:
    """An answer without a stream, changed before it is written."""
    return lambda x: x.wire.whole(change(x.whole))


def _choice(changed: Mapping[str, Any]) -> Callable[[dict[str, Any]], Any]:
    return lambda whole: {**whole, "choices": [{**whole["choices"][0], **changed}]}


def _without(name: str) -> Callable[[dict[str, Any]], Any]:
    return lambda whole: {key: value for key, value in whole.items() if key != name}


def _content(content: Any, reason: str = "stop") -> Act:
    """A content that is no text: null, a number, a list."""

    def act(exchange: Exchange) -> None:
        changed = replace(exchange.answer, text=content, finish_reason=reason)
        exchange.wire.whole(exchange.wording.whole(changed))

    return act


def _usage(usage: Any) -> Act:
    return lambda x: reply(replace(x, wording=replace(x.wording, usage=usage)))


def _zipped(exchange: Exchange) -> None:
    headers = {"Content-Encoding": "gzip"}
    exchange.wire.whole(gzip.compress(encoded(exchange.whole)), headers=headers)


def _huge(exchange: Exchange) -> None:
    """Blanks without end before the answer."""
    exchange.wire.begin("application/json")
    for _ in range(64):
        exchange.wire.send(b" " * 2**20)
    exchange.wire.send(encoded(exchange.whole))
    exchange.wire.end()


def _other_type(exchange: Exchange) -> None:
    exchange.wire.whole(exchange.whole, content_type="text/plain; charset=utf-8")


def _same_id(exchange: Exchange) -> None:
    reply(replace(exchange, wording=replace(exchange.wording, answer_id="cmpl-always-the-same")))


def _filtered(exchange: Exchange) -> None:
    reply(
        replace(exchange, answer=replace(exchange.answer, text="", finish_reason="content_filter"))
    )


def _key_in_error(status: int) -> Act:
    """The server quotes what it was sent, as careless ones do."""

    def act(exchange: Exchange) -> None:
        error = {"message": f"cannot work with Bearer {exchange.key}", "code": exchange.key}
        exchange.wire.whole({"error": error}, status=status)

    return act


def _key_around(exchange: Exchange) -> None:
    """The key in everything beside the text."""
    wording = replace(exchange.wording, fingerprint=exchange.key)
    answer = replace(exchange.answer, warning=f"you are {exchange.key}")
    reply(replace(exchange, wording=wording, answer=answer))


MISBEHAVIOURS: dict[str, Act] = {
    "429 and seconds": _status(429, Retry_After="1"),
    "429 and a date": _too_many_until,
    "429 alone": _status(429, "rate_limit_reached"),
    "429 for good": _status(429, "insufficient_quota"),
    "400": _status(400, "context_length_exceeded"),
    "402": _status(402, "account_error"),
    "403": _status(403),
    "408": _status(408),
    "500": _status(500),
    "503": _status(503),
    "529": _status(529),
    "the key in a 400": _key_in_error(400),
    "the key in a 500": _key_in_error(500),
    "the key in a 200": _key_in_error(200),
    "the key around the text": _key_around,
    "a proxy's 502": _html(502),
    "a proxy's page": _html(200),
    "a redirect": _redirect,
    "cut before the head": _cut,
    "silence": _silent,
    "a slow first byte": _slow_first_byte,
    "half of a JSON": lambda x: x.wire.whole(encoded(x.whole)[:-9]),
    "another JSON": lambda x: x.wire.whole(["not", "an", "answer"]),
    "an error in a 200": lambda x: x.wire.whole({"error": {"message": "overloaded"}}),
    "gzip": _zipped,
    "a huge body": _huge,
    "another content type": _other_type,
    "no choices": _of_whole(lambda whole: {**whole, "choices": []}),
    "choices left out": _of_whole(_without("choices")),
    "a choice without text": _of_whole(_choice({"message": {}, "text": None})),
    "null content": _content(None),
    "a number for a text": _content(12),
    "no finish reason": _of_whole(_choice({"finish_reason": None})),
    "no usage": _usage(None),
    "usage in words": _usage({"prompt_tokens": "many", "completion_tokens": [1], "x": None}),
    "usage below nothing": _usage({"prompt_tokens": -3, "completion_tokens": 2.5}),
    "usage of other kind": _usage("none"),
    "the same id": _same_id,
    "filtered": _filtered,
    **OF_STREAMS,
}


def seeded(seed: int, names: Sequence[str], share: float) -> Callable[[int, Body], str | None]:
    """A plan by which about this share of the requests misbehave, in ways drawn from `names`.

    What a request does depends on its number and the seed alone.
    """

    def plan(number: int, _: Body) -> str | None:
        draw = random.Random(seed * 1_000_003 + number)
        return draw.choice(names) if draw.random() < share else None

    return plan
