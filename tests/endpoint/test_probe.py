"""What is known of a server before anything is asked that costs something."""

import asyncio

import pytest
from asking import Got, Handler, Loopback, server

from dllm_eval.endpoint.probe import check
from dllm_eval.endpoint.server import Retries, ServerError, Timeouts
from dllm_eval.errors import UsageError

NAMES = ["mercury-2", "mercury-edit-2", "other"]


def listing(content: object) -> Loopback:
    """A server whose list of models is this; it has no other route."""

    def answer(handler: Handler, got: Got) -> None:
        if got.path == "/v1/models":
            handler.whole(content)
        else:
            handler.whole({"detail": "Not Found"}, 404)

    return Loopback(answer)


@pytest.mark.parametrize(
    "content",
    [
        {"object": "list", "data": [{"id": name, "object": "model"} for name in NAMES]},
        {"models": [{"name": name} for name in NAMES]},
        NAMES,
        {"data": [{"id": name} for name in NAMES] + [{"id": 3}, None, {}]},
    ],
)
def test_the_list_as_servers_write_it(content: object) -> None:
    with listing(content) as loopback:
        assert check(server(loopback.base_url), "mercury-2") == tuple(NAMES)
        assert check(server(loopback.base_url), "") == tuple(NAMES)
    assert loopback.got[0].headers["authorization"] == "Bearer sk-secret-0123456789"


def test_a_model_that_is_not_there() -> None:
    with listing(NAMES) as loopback, pytest.raises(UsageError) as caught:
        check(server(loopback.base_url), "mercury2")
    assert str(caught.value) == (
        f"unknown model at 127.0.0.1:{loopback.server_port} 'mercury2' (did you mean "
        "'mercury-2'?); known: mercury-2, mercury-edit-2, other"
    )


def test_of_a_long_list_the_nearest_are_shown() -> None:
    names = [f"vendor/model-{number:03}" for number in range(300)] + ["mercury-2"]
    with listing(names) as loopback, pytest.raises(UsageError) as caught:
        check(server(loopback.base_url), "mercury-3")
    assert "did you mean 'mercury-2'?" in str(caught.value)
    assert len(str(caught.value)) < 250


def test_mercurys_own_list_is_asked_too() -> None:
    def answer(handler: Handler, got: Got) -> None:
        names = {"/v1/models": ["a"], "/v1/chat/completions/models": ["a", "b"]}[got.path]
        handler.whole({"data": [{"id": name} for name in names]})

    with Loopback(answer) as loopback:
        assert check(server(loopback.base_url), "b") == ("a", "b")
        assert check(server(loopback.base_url), "a") == ("a",)
        with pytest.raises(UsageError, match="known: a, b"):
            check(server(loopback.base_url), "c")


@pytest.mark.parametrize("status", [400, 404, 405, 429, 500, 501, 503])
def test_a_server_without_a_list_is_taken_as_it_is(status: int) -> None:
    with Loopback(lambda handler, _: handler.whole({"detail": "no"}, status)) as loopback:
        assert check(server(loopback.base_url), "anything") == ()


@pytest.mark.parametrize(
    "content", ["<html></html>", "{", {"data": None}, {}, [], "null", {"x": 1}]
)
def test_what_is_no_list_is_none(content: object) -> None:
    with listing(content) as loopback:
        assert check(server(loopback.base_url), "anything") == ()


def test_a_folder_is_not_looked_for() -> None:
    with listing(NAMES) as loopback:
        assert check(server(loopback.base_url), "/models/ar") == tuple(NAMES)


@pytest.mark.parametrize(
    ("secret", "status", "line"),
    [
        ("sk-wrong", 401, "it does not take SOME_KEY (401: no): set it to a valid key"),
        (None, 401, "it wants a key (401: no): set A_KEY in the environment"),
        ("sk-weak", 403, "SOME_KEY may not do this (403: no): check its rights to 'm'"),
        ("sk-poor", 402, "the account is not paid up (402: no): see to the account of SOME_KEY"),
    ],
)
def test_a_key_that_will_not_do(secret: str | None, status: int, line: str) -> None:
    refusal = {"error": {"message": "no"}}
    with (
        Loopback(lambda handler, _: handler.whole(refusal, status)) as loopback,
        pytest.raises(ServerError) as caught,
    ):
        check(server(loopback.base_url, secret=secret, key_names=("A_KEY",)), "m")
    assert str(caught.value) == f"127.0.0.1:{loopback.server_port}: {line}"
    assert len(loopback.got) == 1


def test_nobody_there() -> None:
    with Loopback(lambda handler, _: handler.whole({})) as gone:
        port = gone.server_port
    with pytest.raises(ServerError) as caught:
        check(server(f"http://127.0.0.1:{port}/v1"), "m")
    assert str(caught.value) == (
        f"127.0.0.1:{port}: no connection (connection refused); start the server, or change"
        " base_url"
    )


def test_an_unknown_host() -> None:
    asked = server("https://no-such-host.invalid/v1", timeouts=Timeouts(connect_s=5))
    with pytest.raises(ServerError, match=r"^no-such-host\.invalid: no connection"):
        check(asked, "m")


def test_it_is_asked_again_where_that_may_help() -> None:
    def answer(handler: Handler, got: Got) -> None:
        if got.number == 0:
            handler.close_connection = True
            handler.connection.close()
        else:
            handler.whole(NAMES)

    with Loopback(answer) as loopback:
        assert check(server(loopback.base_url), "other") == tuple(NAMES)
    assert len(loopback.got) == 2


def test_silence_ends() -> None:
    limits = Timeouts(whole_s=0.2)
    once = Retries(most_tries=1)

    def silent(handler: Handler, _: Got) -> None:
        handler.rfile.read(1)

    with Loopback(silent) as loopback:
        asked = server(loopback.base_url, timeouts=limits, retries=once)
        with pytest.raises(ServerError, match=r"no answer within 0\.2 s"):
            check(asked, "m")


def test_a_thread_that_runs_a_loop_may_ask_too() -> None:
    async def notebook(base_url: str) -> tuple[str, ...]:
        return check(server(base_url), "other")

    with listing(NAMES) as loopback:
        assert asyncio.run(notebook(loopback.base_url)) == tuple(NAMES)
