"""How many requests are open, which connection they take, and when each is sent."""

import threading
from itertools import pairwise

import pytest
from asking import (
    DONE,
    Collected,
    Got,
    Handler,
    Loopback,
    collect,
    completion,
    delta,
    prompt,
    server,
)

from dllm_eval.endpoint.ask import Reply
from dllm_eval.endpoint.client import answer_all
from dllm_eval.measure.wall import instant_s


def echo(handler: Handler, got: Got) -> None:
    """Says the prompt again, whole."""
    handler.whole(completion(got.body["prompt"]))


@pytest.mark.parametrize("in_flight", [1, 3, 50])
def test_so_many_are_open_and_no_more(in_flight: int) -> None:
    """Nobody is answered before the expected number are open; one more would be seen."""
    expected = min(in_flight, 12)
    together, lock, is_open, most = threading.Barrier(expected, timeout=10), threading.Lock(), 0, 0

    def answer(handler: Handler, got: Got) -> None:
        nonlocal is_open, most
        with lock:
            is_open += 1
            most = max(most, is_open)
        together.wait()
        with lock:
            is_open -= 1
        echo(handler, got)

    texts = [f"question {number}" for number in range(12)]
    with Loopback(answer) as loopback:
        found = collect(
            server(loopback.base_url), [prompt(text) for text in texts], in_flight=in_flight
        )
    assert [reply.text for reply in found] == texts
    assert most == expected
    if in_flight == 1:
        assert [got.body["prompt"] for got in loopback.got] == texts


def test_connections_are_used_again() -> None:
    with Loopback(echo) as loopback:
        collect(server(loopback.base_url), [prompt()] * 5)
    assert len({got.connection for got in loopback.got}) == 1


def test_the_end_of_a_body_is_waited_for_off_the_clock() -> None:
    """HTTP's own end comes 0.1 s after [DONE]; the connection is used again all the same."""

    def answer(handler: Handler, _: Got) -> None:
        handler.begin()
        handler.write(delta("4", "stop") + DONE)
        pause.wait(0.1)
        handler.wfile.write(b"0\r\n\r\n")

    pause = threading.Event()
    with Loopback(answer) as loopback:
        found = collect(server(loopback.base_url), [prompt()] * 4)
    assert len({got.connection for got in loopback.got}) < 4
    assert min(reply.seconds for reply in found) < 0.1


def test_each_starts_at_its_time() -> None:
    starts_s = [0.0, 0.1, 0.1, 0.3]
    begun_s = instant_s()
    with Loopback(echo) as loopback:
        found = collect(server(loopback.base_url), [prompt()] * 4, in_flight=4, starts_s=starts_s)
    assert [reply.offered_s for reply in found] == pytest.approx(starts_s)
    assert all(got.at_s - begun_s >= due for got, due in zip(loopback.got, starts_s, strict=True))
    assert all(reply.whole_s >= reply.seconds for reply in found)


def test_who_waits_for_a_place_waits_on_the_clock() -> None:
    """Three due at once, one place, 0.1 s each: they take 0.1, 0.2 and 0.3 s from being due."""

    def answer(handler: Handler, got: Got) -> None:
        pause.wait(0.1)
        echo(handler, got)

    pause = threading.Event()
    with Loopback(answer) as loopback:
        found = collect(
            server(loopback.base_url), [prompt()] * 3, in_flight=1, starts_s=[0, 0, 0], until_s=0.05
        )
    assert all(reply.offered_s == pytest.approx(0.0) for reply in found)
    assert all(later.whole_s >= earlier.whole_s + 0.1 for earlier, later in pairwise(found))
    assert found[2].whole_s - found[2].seconds >= 0.2


def test_nothing_becomes_due_after_the_end() -> None:
    def answer(handler: Handler, got: Got) -> None:
        pause.wait(0.1)
        echo(handler, got)

    pause = threading.Event()
    found, late = Collected(), Collected()
    with Loopback(answer) as loopback:
        asked = server(loopback.base_url)
        answer_all(asked, [prompt()] * 50, found, in_flight=2, until_s=0.25)
        starts_s = [0.0, 0.1, 0.2, 5.0]
        answer_all(asked, [prompt()] * 4, late, in_flight=4, starts_s=starts_s, until_s=0.25)
    assert 2 <= len(found.order) <= 6
    assert sorted(found.order) == list(range(len(found.order)))
    assert sorted(late.order) == [0, 1, 2]
    assert all(reply.offered_s <= 0.25 for reply in found.replies.values())


def test_answers_are_handed_over_here_and_as_they_come() -> None:
    def answer(handler: Handler, got: Got) -> None:
        pause.wait({"slow": 0.3}.get(got.body["prompt"], 0.0))
        echo(handler, got)

    def done(index: int, _: Reply) -> None:
        order.append(index)
        threads.add(threading.get_ident())

    pause, order, threads = threading.Event(), list[int](), set[int]()
    with Loopback(answer) as loopback:
        asks = [prompt("slow"), prompt("a"), prompt("b")]
        answer_all(server(loopback.base_url), asks, done, in_flight=3)
    assert order[-1] == 0
    assert sorted(order) == [0, 1, 2]
    assert threads == {threading.get_ident()}
