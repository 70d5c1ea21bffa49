"""Asking many things at once: what is sent, what comes back, in which order and when."""

import asyncio
import threading

import pytest
from asking import (
    DONE,
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

from dllm_eval.endpoint.ask import Ask, Reply
from dllm_eval.endpoint.server import ServerError
from dllm_eval.errors import UsageError
from dllm_eval.measure.wall import instant_s

COUNTS = {"prompt_tokens": 5, "completion_tokens": 7, "total_tokens": 12}
CHAT = ({"role": "system", "content": "Be short."}, {"role": "user", "content": "2 + 2 = ?"})


def echo(handler: Handler, got: Got) -> None:
    """Says the prompt again, whole."""
    handler.whole(completion(got.body["prompt"]))


@pytest.mark.parametrize(
    ("ask", "path", "body"),
    [
        (
            Ask(route="chat", messages=CHAT, max_tokens=9, more={"reasoning_effort": "low"}),
            "/v1/chat/completions",
            {"messages": list(CHAT), "max_tokens": 9, "reasoning_effort": "low"},
        ),
        (
            Ask(
                route="completions", prompt="a", max_tokens=9, temperature=0.0, stop=["\n"], seed=3
            ),
            "/v1/completions",
            {"prompt": "a", "max_tokens": 9, "temperature": 0.0, "stop": ["\n"], "seed": 3},
        ),
        (
            Ask(route="fim", prompt="a", suffix="", max_tokens=9),
            "/v1/fim/completions",
            {"prompt": "a", "suffix": "", "max_tokens": 9},
        ),
        (
            Ask(route="edit", messages=CHAT[1:], max_tokens=9),
            "/v1/edit/completions",
            {"messages": [CHAT[1]], "max_tokens": 9},
        ),
    ],
    ids=lambda value: value.route if isinstance(value, Ask) else "",
)
@pytest.mark.parametrize("stream", [False, True])
def test_what_is_sent(ask: Ask, path: str, body: dict[str, object], stream: bool) -> None:
    streamed = {"stream": True, "stream_options": {"include_usage": True}}
    more = streamed if stream and ask.route != "edit" else {}
    with Loopback(lambda handler, _: handler.whole(completion("4"))) as loopback:
        (found,) = collect(server(loopback.base_url, stream=stream), [ask])
    (got,) = loopback.got
    assert (got.method, got.path) == ("POST", path)
    assert got.body == {"model": "m"} | body | more
    assert got.headers["authorization"] == "Bearer sk-secret-0123456789"
    assert got.headers["content-type"] == "application/json"
    assert found.text == "4"


def test_the_limit_has_another_name_where_a_server_wants_it() -> None:
    with Loopback(lambda handler, _: handler.whole(completion("4"))) as loopback:
        asked = server(
            loopback.base_url, stream=False, limit_field="max_completion_tokens", secret=None
        )
        collect(asked, [prompt()])
    (got,) = loopback.got
    assert got.body == {"model": "m", "prompt": "2 + 2 =", "max_completion_tokens": 8}
    assert "authorization" not in got.headers


@pytest.mark.parametrize("content", ["four", [{"type": "text", "text": "fo"}, {"text": "ur"}]])
def test_a_whole_answer(content: object) -> None:
    body = {
        "choices": [{"index": 0, "message": {"content": content}, "finish_reason": "stop"}],
        "usage": COUNTS,
        "model": "m-0305",
        "system_fingerprint": "fp_1",
        "warning": "temperature was reset",
    }
    with Loopback(lambda handler, _: handler.whole(body)) as loopback:
        (found,) = collect(server(loopback.base_url), [prompt()])
    assert (found.text, found.finish_reason, found.flag, found.tries) == ("four", "stop", None, 1)
    assert (found.prompt_tokens, found.completion_tokens, found.reasoning_tokens) == (5, 7, None)
    assert (found.served_model, found.fingerprint) == ("m-0305", "fp_1")
    assert found.warning == "temperature was reset"
    assert found.first_text_s is None
    assert 0 < found.seconds <= found.whole_s
    assert found.offered_s >= 0


def test_a_streamed_answer() -> None:
    def answer(handler: Handler, _: Got) -> None:
        handler.begin()
        handler.write(delta("", model="m-0305", system_fingerprint="fp_1"))
        handler.write(delta(" \n"))
        pause.wait(0.1)
        handler.write(delta("fo")[:20])
        handler.write(delta("fo")[20:])
        pause.wait(0.1)
        handler.write(delta("ur") + delta(None, "stop"))
        handler.write(event({"choices": [], "usage": COUNTS}))
        handler.write(DONE)
        handler.wfile.write(b"0\r\n\r\n")

    pause = threading.Event()
    with Loopback(answer) as loopback:
        (found,) = collect(server(loopback.base_url), [prompt()])
    assert (found.text, found.finish_reason) == (" \nfour", "stop")
    assert (found.prompt_tokens, found.completion_tokens) == (5, 7)
    assert (found.served_model, found.fingerprint) == ("m-0305", "fp_1")
    assert found.first_text_s is not None
    assert 0.1 <= found.first_text_s < found.seconds
    assert found.seconds >= 0.2


@pytest.mark.parametrize("ended", [(DONE,), (), (DONE, delta(" not this"))])
def test_streams_end_in_several_ways(ended: tuple[bytes, ...]) -> None:
    with Loopback(lambda h, _: h.stream(delta("four"), delta(None, "stop"), *ended)) as loopback:
        (found,) = collect(server(loopback.base_url), [prompt()])
    assert (found.text, found.completion_tokens) == ("four", None)


def test_events_that_are_sent_again_count_once() -> None:
    first, second = b"id: 1\n" + delta("fo"), b"id: 2\n" + delta("ur", "stop")
    with Loopback(lambda h, _: h.stream(first, first, second, first, DONE)) as loopback:
        (found,) = collect(server(loopback.base_url), [prompt()])
    assert found.text == "four"


@pytest.mark.parametrize(
    ("usage", "counts"),
    [
        ({**COUNTS, "completion_tokens_details": {"reasoning_tokens": 3}}, (5, 7, 3)),
        ({**COUNTS, "reasoning_tokens": 3}, (5, 7, 3)),
        ({**COUNTS, "reasoning_tokens": 3, "total_tokens": 15}, (5, 10, 3)),
        ({"prompt_tokens": "5", "completion_tokens": 7.5, "reasoning_tokens": -1}, (None,) * 3),
        ({"prompt_tokens": True}, (None,) * 3),
        ("none", (None,) * 3),
        (None, (None,) * 3),
    ],
)
def test_counts_are_the_servers_or_none(usage: object, counts: tuple[int | None, ...]) -> None:
    with Loopback(lambda handler, _: handler.whole(completion("4", usage=usage))) as loopback:
        (found,) = collect(server(loopback.base_url), [prompt()])
    assert (found.prompt_tokens, found.completion_tokens, found.reasoning_tokens) == counts


@pytest.mark.parametrize(
    ("message", "reason", "usage", "flag"),
    [
        ({"content": ""}, "length", {"reasoning_tokens": 8}, "reasoning_limit"),
        ({"content": None, "reasoning_content": "hm"}, "length", None, "reasoning_limit"),
        ({"content": "", "reasoning": "hm"}, "length", None, "reasoning_limit"),
        ({"content": "4"}, "length", {"reasoning_tokens": 8}, None),
        ({"content": ""}, "length", {"reasoning_tokens": 0}, None),
        ({"content": ""}, "length", None, None),
        ({"content": ""}, "stop", {"reasoning_tokens": 8}, None),
        ({"content": ""}, "content_filter", None, "content_filter"),
        ({"content": None, "refusal": "I will not"}, "stop", None, "refusal"),
    ],
)
def test_why_an_answer_says_little(
    message: dict[str, object], reason: str, usage: object, flag: str | None
) -> None:
    body = {"choices": [{"message": message, "finish_reason": reason}], "usage": usage}
    chunk = {"choices": [{"delta": message, "finish_reason": reason}], "usage": usage}

    def answer(handler: Handler, got: Got) -> None:
        if "stream" in got.body:
            handler.stream(event(chunk), DONE)
        else:
            handler.whole(body)

    with Loopback(answer) as loopback:
        flags = [
            collect(server(loopback.base_url, stream=stream), [prompt()])[0].flag
            for stream in (True, False)
        ]
    assert flags == [flag, flag]


def test_a_thread_that_runs_a_loop_may_ask_too() -> None:
    async def notebook(base_url: str) -> list[Reply]:
        return collect(server(base_url), [prompt("x")])

    with Loopback(echo) as loopback:
        (found,) = asyncio.run(notebook(loopback.base_url))
    assert found.text == "x"


def test_a_server_that_takes_no_stream_options_is_asked_without() -> None:
    def answer(handler: Handler, got: Got) -> None:
        if "stream_options" in got.body:
            handler.whole({"detail": "Unexpected fields: {'stream_options'}"}, status=422)
        else:
            handler.stream(delta("4", "stop"), DONE)

    with Loopback(answer) as loopback:
        asked = server(loopback.base_url)
        found = collect(asked, [prompt()] * 2) + collect(asked, [prompt()])
    assert [reply.text for reply in found] == ["4"] * 3
    assert [reply.tries for reply in found] == [2, 1, 1]
    assert len(loopback.got) == 4


def test_another_refusal_is_not_taken_for_that() -> None:
    refusal = {"error": {"message": "stop has too many strings"}}
    with (
        Loopback(lambda handler, _: handler.whole(refusal, status=400)) as loopback,
        pytest.raises(ServerError, match=r"400: stop has too many strings"),
    ):
        collect(server(loopback.base_url), [prompt()])
    assert len(loopback.got) == 1


@pytest.mark.parametrize(
    ("settings", "line"),
    [
        ({"in_flight": 0}, "0 requests in flight are not accepted: at least 1"),
        ({"starts_s": [0.0]}, "1 starts for 2 requests: one each is accepted"),
        (
            {"starts_s": [1.0, 0.5]},
            "starts that go back in time: accepted are starts in ascending order",
        ),
    ],
)
def test_what_cannot_be_offered(settings: dict[str, object], line: str) -> None:
    with pytest.raises(UsageError) as caught:
        collect(server("http://127.0.0.1:1/v1"), [prompt()] * 2, **settings)
    assert str(caught.value) == line


def test_nothing_to_ask_is_nothing_sent() -> None:
    begun_s = instant_s()
    assert collect(server("http://127.0.0.1:1/v1"), []) == []
    assert instant_s() - begun_s < 0.5
