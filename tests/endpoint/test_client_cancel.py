"""A call that ends early: nothing new is sent, open requests are closed, what was done is done."""

import os
import signal
import subprocess
import sys
import threading
from contextlib import suppress
from pathlib import Path

import pytest
from asking import Collected, Got, Handler, Loopback, completion, delta, prompt, server

from dllm_eval.endpoint.ask import Reply
from dllm_eval.endpoint.client import answer_all
from dllm_eval.endpoint.server import ServerError

SUPPORT = Path(__file__).parent.parent / "support"

PROGRAM = """
import sys
from asking import Collected, prompt, server
from dllm_eval.endpoint.client import answer_all

def done(index, reply):
    print(index, flush=True)

try:
    answer_all(server(sys.argv[1]), [prompt(str(n)) for n in range(40)], done, in_flight=4)
except KeyboardInterrupt:
    print("interrupted", flush=True)
"""


class Holding:
    """Answers what is "quick"; holds everything else open and notes which clients went away."""

    def __init__(self) -> None:
        self.held = threading.Event()
        self.left = threading.Semaphore(0)

    def __call__(self, handler: Handler, got: Got) -> None:
        if got.body["prompt"] == "quick":
            handler.whole(completion("4"))
            return
        if got.body["prompt"] == "bad":
            self.held.wait(5)
            handler.whole({"error": {"message": "no"}}, 400)
            return
        with suppress(ConnectionResetError, BrokenPipeError):
            handler.begin()
            handler.write(delta("half"))
            self.held.set()
            handler.connection.settimeout(5)
            assert handler.rfile.read(1) == b""
        self.left.release()
        handler.close_connection = True


def test_the_first_ask_that_fails_ends_the_call() -> None:
    found, holding = Collected(), Holding()
    asks = [prompt("quick"), prompt("held"), prompt("bad"), *[prompt("held")] * 20]
    with Loopback(holding) as loopback:
        with pytest.raises(ServerError, match="it does not take the request"):
            answer_all(server(loopback.base_url), asks, found, in_flight=3)
        sent = [got.body["prompt"] for got in loopback.got]
        assert all(holding.left.acquire(timeout=5) for _ in range(sent.count("held")))
    assert found.order == [0]
    assert len(sent) <= 5


def test_a_caller_that_fails_ends_the_call() -> None:
    def full(index: int, _: Reply) -> None:
        holding.held.wait(5)
        raise OSError(f"no space left for {index}")

    holding = Holding()
    with Loopback(holding) as loopback:
        asks = [prompt("held"), prompt("quick"), *[prompt("held")] * 20]
        with pytest.raises(OSError, match="no space left for 1"):
            answer_all(server(loopback.base_url), asks, full, in_flight=2)
        held = [got.body["prompt"] for got in loopback.got].count("held")
        assert all(holding.left.acquire(timeout=5) for _ in range(held))
    assert held <= 2


@pytest.mark.parametrize("kind", [KeyboardInterrupt, SystemExit])
def test_an_interrupt_hands_over_what_has_been_answered(kind: type[BaseException]) -> None:
    """The caller is interrupted at the first reply; those that came meanwhile are not lost."""
    found, holding, answered = Collected(), Holding(), threading.Event()

    def answer(handler: Handler, got: Got) -> None:
        holding(handler, got)
        if sum(got.body["prompt"] == "quick" for got in loopback.got) == 4:
            answered.set()

    def interrupted(index: int, reply: Reply) -> None:
        found(index, reply)
        if len(found.order) == 1:
            answered.wait(5)
            threading.Event().wait(0.2)
            raise kind

    with Loopback(answer) as loopback:
        asks = [*[prompt("quick")] * 4, *[prompt("held")] * 20]
        with pytest.raises(kind):
            answer_all(server(loopback.base_url), asks, interrupted, in_flight=4)
        held = [got.body["prompt"] for got in loopback.got].count("held")
    assert sorted(found.order) == [0, 1, 2, 3]
    assert held == 0


def test_no_more_is_sent_than_a_kill_may_cost() -> None:
    """Until `done` returns an answer is not kept: with 3 in flight, never more than 3 are not."""

    def slow(index: int, reply: Reply) -> None:
        threading.Event().wait(0.05)
        unkept.append(len(loopback.got) - len(kept.order))
        kept(index, reply)

    kept, unkept = Collected(), list[int]()
    with Loopback(lambda handler, _: handler.whole(completion("4"))) as loopback:
        answer_all(server(loopback.base_url), [prompt()] * 12, slow, in_flight=3)
    assert sorted(kept.order) == list(range(12))
    assert 0 < max(unkept) <= 3


def test_ctrl_c_leaves_nothing_behind() -> None:
    """A real SIGINT, in a process where every warning is an error that is printed."""
    tenth = threading.Event()

    def answer(handler: Handler, got: Got) -> None:
        if got.number < 10:
            handler.whole(completion("4"))
            return
        tenth.set()
        handler.begin()
        handler.write(delta("half"))
        handler.connection.settimeout(10)
        handler.rfile.read(1)
        handler.close_connection = True

    with Loopback(answer) as loopback:
        process = subprocess.Popen(
            [sys.executable, "-W", "error", "-c", PROGRAM, loopback.base_url],
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            env={**os.environ, "PYTHONPATH": str(SUPPORT)},
        )
        assert tenth.wait(20)
        assert process.stdout is not None
        first = [process.stdout.readline().strip() for _ in range(10)]
        process.send_signal(signal.SIGINT)
        out, err = process.communicate(timeout=20)
    assert sorted(first) == sorted(got.body["prompt"] for got in loopback.got[:10])
    assert out == "interrupted\n"
    assert err == ""
    assert process.returncode == 0
    assert len(loopback.got) <= 14
