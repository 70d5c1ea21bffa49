"""How long is waited before a request is sent again, and who waits."""

import logging
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from itertools import pairwise
from threading import Event

import pytest
from asking import (
    QUICK,
    SECRET,
    Got,
    Handler,
    Loopback,
    collect,
    completion,
    prompt,
    server,
)

from dllm_eval.endpoint import pace
from dllm_eval.endpoint.pace import Pace, retry_after_s
from dllm_eval.endpoint.server import Retries, ServerError

Act = Callable[[Handler], None]
PAUSE = Event()


def failing(times: int, act: Act) -> Callable[[Handler, Got], None]:
    """Fails the first so many requests, then answers."""

    def answer(handler: Handler, got: Got) -> None:
        if got.number < times:
            act(handler)
        else:
            handler.whole(completion("4"))

    return answer


def refuse(status: int, **headers: str) -> Act:
    return lambda handler: handler.whole({"error": {"message": "no"}}, status, **headers)


@pytest.mark.parametrize("headers", [{"Retry_After": "1"}, {"retry_after_ms": "1000"}])
def test_the_servers_wait_is_kept_by_everybody(headers: dict[str, str]) -> None:
    """The first request of four is told to wait: the three behind it hold back as well."""
    with Loopback(failing(1, refuse(429, **headers))) as loopback:
        found = collect(
            server(loopback.base_url, retries=Retries(first_wait_s=0.01)), [prompt()] * 4
        )
    assert [reply.tries for reply in found] == [2, 1, 1, 1]
    seen = [got.at_s for got in loopback.got]
    assert min(seen[1:]) - seen[0] >= 1.0


def test_a_request_that_is_behind_another_one_waits_too() -> None:
    """Of two in flight, one is told to wait; the other one's next request holds back."""
    told = Event()

    def answer(handler: Handler, got: Got) -> None:
        if got.body["prompt"] == "first" and not told.is_set():
            told.set()
            handler.whole({"error": "slow down"}, 429, Retry_After="1")
            return
        told.wait(5)
        PAUSE.wait(0.2)
        handler.whole(completion("4"))

    with Loopback(answer) as loopback:
        asks = [prompt("first"), prompt("second"), prompt("third")]
        collect(server(loopback.base_url, retries=Retries(first_wait_s=0.01)), asks, in_flight=2)
    seen = {got.body["prompt"]: got.at_s for got in loopback.got}
    told_at_s = min(got.at_s for got in loopback.got if got.body["prompt"] == "first")
    assert seen["third"] - told_at_s >= 1.0


@pytest.mark.parametrize(
    ("headers", "seconds"),
    [
        ({"Retry-After": "7"}, 7.0),
        ({"Retry-After": "0.5"}, 0.5),
        ({"Retry-After": "7", "retry-after-ms": "1500"}, 1.5),
        ({"Retry-After": "-1"}, None),
        ({"Retry-After": "nan"}, None),
        ({"Retry-After": "inf"}, None),
        ({"Retry-After": "soon"}, None),
        ({}, None),
        (
            {
                "Retry-After": "Sun, 22 Nov 2026 07:00:30 GMT",
                "Date": "Sun, 22 Nov 2026 07:00:10 GMT",
            },
            20.0,
        ),
        (
            {
                "Retry-After": "Sun, 22 Nov 2026 07:00:00 GMT",
                "Date": "Sun, 22 Nov 2026 07:00:10 GMT",
            },
            0.0,
        ),
    ],
)
def test_retry_after(headers: dict[str, str], seconds: float | None) -> None:
    assert retry_after_s(headers) == seconds


def test_a_date_without_the_servers_own_is_read_by_our_clock() -> None:
    due = format_datetime(datetime.now(UTC) + timedelta(seconds=90), usegmt=True)
    found = retry_after_s({"Retry-After": due})
    assert found is not None
    assert 85 < found <= 90


def test_waits_are_drawn_below_a_limit_that_doubles() -> None:
    rules = Retries(first_wait_s=0.5, most_wait_s=3.0, seed=3)
    first = Pace(rules, host="h")
    waits = [[first.wait_s(tries, None) for _ in range(200)] for tries in range(1, 6)]
    for drawn, most in zip(waits, [0.5, 1.0, 2.0, 3.0, 3.0], strict=True):
        assert 0 <= min(drawn) < 0.1 * most
        assert 0.9 * most < max(drawn) <= most
    again = Pace(rules, host="h")
    assert [again.wait_s(1, None) for _ in range(200)] == waits[0]
    other = Pace(Retries(first_wait_s=0.5, most_wait_s=3.0, seed=4), host="h")
    assert [other.wait_s(1, None) for _ in range(200)] != waits[0]


def test_the_servers_wait_wins_up_to_the_most() -> None:
    waits = Pace(Retries(first_wait_s=0.5, most_wait_s=3.0), host="h")
    asked = [waits.wait_s(1, 2.0) for _ in range(100)]
    capped = [waits.wait_s(5, 1000.0) for _ in range(100)]
    assert all(2.0 <= wait <= 2.5 for wait in asked)
    assert all(3.0 <= wait <= 3.5 for wait in capped)
    assert len(set(asked)) > 1


def test_a_long_wait_is_told_without_the_key(
    caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert pace.SAID_FROM_S == 5.0
    monkeypatch.setattr(pace, "SAID_FROM_S", 0.2)
    busy = {"error": {"message": f"{SECRET} is too fast"}}
    act = failing(1, lambda handler: handler.whole(busy, 429, Retry_After="6"))
    with caplog.at_level(logging.DEBUG), Loopback(act) as loopback:
        retries = Retries(first_wait_s=0.01, most_wait_s=0.5)
        collect(server(loopback.base_url, retries=retries), [prompt()])
    (said,) = [record.message for record in caplog.records if "waiting" in record.message]
    assert said == f"127.0.0.1:{loopback.server_port}: 429: *** is too fast; waiting 0.5 s"


def test_tries_are_counted_and_spaced() -> None:
    with Loopback(failing(9, refuse(500))) as loopback, pytest.raises(ServerError) as caught:
        collect(server(loopback.base_url, retries=QUICK), [prompt()])
    assert str(caught.value).endswith(": no answer in 4 tries; the last: 500: no")
    assert len(loopback.got) == 4
    seen = [got.at_s for got in loopback.got]
    assert all(later > earlier for earlier, later in pairwise(seen))
