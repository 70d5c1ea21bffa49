"""What is asked again and when, what is not, and the line that says so."""

import socket
from collections.abc import Callable
from threading import Event

import pytest
from asking import (
    DONE,
    SECRET,
    Got,
    Handler,
    Loopback,
    collect,
    completion,
    delta,
    event,
    prompt,
    server,
)

from dllm_eval.endpoint.server import Retries, ServerError, Timeouts

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


def cut(handler: Handler) -> None:
    handler.close_connection = True
    handler.connection.shutdown(socket.SHUT_RDWR)


def cut_stream(handler: Handler) -> None:
    handler.begin()
    handler.write(delta("half"))
    cut(handler)


def stall(handler: Handler) -> None:
    handler.begin()
    handler.write(delta("half"))
    PAUSE.wait(0.8)
    cut(handler)


def nothing(handler: Handler) -> None:
    PAUSE.wait(0.8)
    cut(handler)


PASSING: dict[str, Act] = {
    **{str(status): refuse(status) for status in (408, 409, 425, 429, 500, 502, 503, 504, 529)},
    "cut before the head": cut,
    "cut in the stream": cut_stream,
    "an early end": lambda handler: handler.stream(delta("half")),
    "half of a JSON": lambda handler: handler.whole('{"choices": [{"te'),
    "a broken event": lambda handler: handler.stream(b"data: {broken\n\n", DONE),
    "a page": lambda handler: handler.whole("<html>busy</html>", kind="text/html"),
    "an error in a 200": lambda handler: handler.whole({"error": {"message": "overloaded"}}),
    "an error's text in a stream": lambda handler: handler.stream(
        delta("half"), event({"error": "out of memory"})
    ),
    "an overload in a stream": lambda handler: handler.stream(
        event({"error": {"message": "busy", "type": "rate_limit_error", "code": 429}})
    ),
    "no choices": lambda handler: handler.whole({"choices": []}),
    "a number for text": lambda handler: handler.whole(completion(12)),
    "nothing": lambda handler: handler.whole(""),
}


@pytest.mark.parametrize("name", PASSING)
def test_what_may_pass_is_asked_again(name: str) -> None:
    with Loopback(failing(2, PASSING[name])) as loopback:
        (found,) = collect(server(loopback.base_url), [prompt()])
    assert (found.text, found.tries, len(loopback.got)) == ("4", 3, 3)
    assert found.seconds < found.whole_s


@pytest.mark.parametrize(
    ("act", "limits", "line"),
    [
        (stall, {"idle_s": 0.2}, "the stream stood still for 0.2 s"),
        (
            nothing,
            {"first_byte_s": 0.1, "connect_s": 0.1},
            "no byte of the answer within 0.1 s",
        ),
        (nothing, {"whole_s": 0.2}, "no answer within 0.2 s"),
    ],
    ids=["idle", "first byte", "whole"],
)
def test_patience_ends(act: Act, limits: dict[str, float], line: str) -> None:
    limited = Timeouts(**limits)
    twice = Retries(most_tries=2, first_wait_s=0.01)
    with Loopback(failing(1, act)) as loopback:
        (found,) = collect(server(loopback.base_url, timeouts=limited), [prompt()])
    assert (found.text, found.tries) == ("4", 2)
    with Loopback(failing(9, act)) as loopback, pytest.raises(ServerError) as caught:
        collect(server(loopback.base_url, timeouts=limited, retries=twice), [prompt()])
    assert str(caught.value).endswith(f": no answer in 2 tries; the last: {line}")


def test_a_machine_that_takes_no_connection() -> None:
    """Two wait in a queue of one; the third one's first packet is dropped."""
    with (
        socket.create_server(("127.0.0.1", 0), backlog=0) as full,
        socket.create_connection(full.getsockname()),
        socket.socket() as second,
    ):
        second.setblocking(False)
        second.connect_ex(full.getsockname())
        url = f"http://127.0.0.1:{full.getsockname()[1]}/v1"
        asked = server(url, timeouts=Timeouts(connect_s=0.2), retries=Retries(most_tries=1))
        with pytest.raises(ServerError, match=r"no connection within 0\.2 s"):
            collect(asked, [prompt()])


def test_an_answer_that_is_not_streamed_has_the_whole_time() -> None:
    def slow(handler: Handler, _: Got) -> None:
        PAUSE.wait(0.4)
        handler.whole(completion("4"))

    limits = Timeouts(connect_s=0.1, first_byte_s=0.1, idle_s=0.1, whole_s=5)
    with Loopback(slow) as loopback:
        (found,) = collect(server(loopback.base_url, timeouts=limits, stream=False), [prompt()])
    assert (found.text, found.tries) == ("4", 1)


def error(status: int, message: str, code: str | None = None) -> Act:
    body = {"error": {"message": message, "type": "x", "code": code}}
    return lambda handler: handler.whole(body, status)


FINAL = {
    "wrong key": (
        error(401, f"Incorrect API key provided: {SECRET}", "invalid_api_key"),
        "it does not take SOME_KEY (401: Incorrect API key provided: ***): set it to a valid key",
    ),
    "no right": (error(403, "no"), "SOME_KEY may not do this (403: no): check its rights to 'm'"),
    "account": (
        error(402, "Account is inactive", "account_error"),
        "the account is not paid up (402: Account is inactive): see to the account of SOME_KEY",
    ),
    "quota": (
        error(429, "You exceeded your quota", "insufficient_quota"),
        "the account is not paid up (429: You exceeded your quota): see to the account of SOME_KEY",
    ),
    "model": (
        error(404, "model `m` not found", "model_not_found"),
        "no model 'm' there for this key (404: model `m` not found): check model=",
    ),
    "route": (
        lambda handler: handler.whole({"detail": "Not Found"}, 404),
        "no route /completions or no model 'm' there (404: Not Found): check base_url=, route= and "
        "model=",
    ),
    "context": (
        error(400, "too long", "context_length_exceeded"),
        "prompt and answer are longer than the model's context (400: too long): lower max_gen_toks",
    ),
    "field": (
        lambda handler: handler.whole({"detail": [{"loc": ["body", "x"], "msg": "extra"}]}, 422),
        'it does not take the request (422: [{"loc": ["body", "x"], "msg": "extra"}]): '
        "change what it names",
    ),
    "not JSON": (
        lambda handler: handler.whole("go\n  away", 418, kind="text/plain"),
        "it does not take the request (418: go away): change what it names",
    ),
    "refused within a stream": (
        lambda handler: handler.stream(
            delta("half"), event({"error": {"message": "bad", "type": "invalid_request_error"}})
        ),
        "the server broke off with an error: bad",
    ),
}


@pytest.mark.parametrize("name", FINAL)
def test_what_will_not_pass_is_one_line_at_once(name: str) -> None:
    act, line = FINAL[name]
    with Loopback(failing(9, act)) as loopback, pytest.raises(ServerError) as caught:
        collect(server(loopback.base_url), [prompt()])
    assert str(caught.value) == f"127.0.0.1:{loopback.server_port}: {line}"
    assert len(loopback.got) == 1


@pytest.mark.parametrize(
    ("names", "remedy"),
    [
        (("INCEPTION_API_KEY",), "set INCEPTION_API_KEY in the environment"),
        (("A_KEY", "B_KEY"), "set A_KEY or B_KEY in the environment"),
        ((), "export a key and name its variable by key_env=NAME"),
    ],
)
def test_a_missing_key_is_asked_for_by_name(names: tuple[str, ...], remedy: str) -> None:
    with Loopback(failing(9, refuse(401))) as loopback, pytest.raises(ServerError) as caught:
        collect(server(loopback.base_url, secret=None, key_names=names), [prompt()])
    assert str(caught.value).endswith(f": it wants a key (401: no): {remedy}")


def test_a_long_complaint_is_cut() -> None:
    with (
        Loopback(failing(9, error(400, "x" * 10_000))) as loopback,
        pytest.raises(ServerError) as caught,
    ):
        collect(server(loopback.base_url), [prompt()])
    assert len(str(caught.value)) < 400


def test_nobody_there() -> None:
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    with pytest.raises(ServerError) as caught:
        collect(server(f"http://127.0.0.1:{port}/v1"), [prompt()])
    assert str(caught.value) == (
        f"127.0.0.1:{port}: no answer in 4 tries; the last: no connection (connection refused);"
        " start the server, or change base_url"
    )
