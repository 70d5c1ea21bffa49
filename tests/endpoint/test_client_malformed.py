"""Bytes that are no answer: a later try is answered, or one line says what came instead."""

import gzip
import zlib

import pytest
from asking import (
    DONE,
    QUICK,
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

from dllm_eval.endpoint import reading
from dllm_eval.endpoint.server import Retries, ServerError
from dllm_eval.errors import UsageError

ANSWER = b'{"choices":[{"text":"4","finish_reason":"stop"}]}'


def message(body: bytes, *headers: bytes, length: int | None = None) -> bytes:
    """An answer as it goes over the wire; a length that is not None is a lie."""
    size = len(body) if length is None else length
    return b"\r\n".join([b"HTTP/1.1 200 OK", b"Content-Length: %d" % size, *headers, b"", body])


def raw(data: bytes, times: int = 99) -> Loopback:
    """A server that writes these bytes and closes, so many times; then it answers."""

    def answer(handler: Handler, got: Got) -> None:
        if got.number >= times:
            handler.whole(completion("4"))
            return
        handler.wfile.write(data)
        handler.close_connection = True

    return Loopback(answer)


NO_HTTP = "what came back is no HTTP that can be read"
BROKEN = "the answer broke off, or cannot be unpacked"
NO_JSON = "the server sent something that is no JSON object"
MALFORMED = {
    "no HTTP": (b"\x00\x01garbage\r\n\r\n", NO_HTTP),
    "headers without end": (b"HTTP/1.1 200 OK\r\nX: " + b"y" * 100_000 + b"\r\n\r\n", NO_HTTP),
    "a packing nobody knows": (message(b"xxxx", b"Content-Encoding: br"), NO_HTTP),
    "a body that is too short": (message(ANSWER, length=999), BROKEN),
    "a broken archive": (message(b"no archive", b"Content-Encoding: gzip"), BROKEN),
    "nothing at all": (b"", "the connection broke off"),
    "JSON without end": (message(b'{"a":' * 100_000), NO_JSON),
    "a count without end": (
        message(b'{"choices":[{"text":"4"}],"x":' + b"9" * 9999 + b"}"),
        NO_JSON,
    ),
    "a list": (message(b"[" + ANSWER + b"]"), NO_JSON),
    "choices that are none": (message(b'{"choices":{"text":"4"}}'), "the answer has no choices[0]"),
    "another text code": (
        message('{"choices":[]}'.encode("utf-16")),
        "neither JSON nor a stream of events came (application/octet-stream)",
    ),
}


@pytest.mark.parametrize("name", MALFORMED)
@pytest.mark.parametrize("stream", [True, False])
def test_each_is_asked_again_and_then_one_line(name: str, stream: bool) -> None:
    data, line = MALFORMED[name]
    with raw(data, times=2) as loopback:
        (found,) = collect(server(loopback.base_url, stream=stream), [prompt()])
    assert (found.text, found.tries) == ("4", 3)
    twice = Retries(most_tries=2, first_wait_s=0.01)
    with raw(data) as loopback, pytest.raises(ServerError) as caught:
        collect(server(loopback.base_url, stream=stream, retries=twice), [prompt()])
    assert str(caught.value) == (
        f"127.0.0.1:{loopback.server_port}: no answer in 2 tries; the last: {line}"
    )


@pytest.mark.parametrize(
    "data",
    [
        message(gzip.compress(ANSWER), b"Content-Encoding: gzip"),
        message(zlib.compress(ANSWER), b"Content-Encoding: deflate"),
        message(b"\xef\xbb\xbf \r\n" + ANSWER),
        message(ANSWER, b"Content-Type: text/html"),
        b"HTTP/1.0 200 OK\r\n\r\n" + ANSWER,
        b"HTTP/1.1 100 Continue\r\n\r\n" + message(ANSWER),
        message(delta("4", "stop") + DONE, b"Content-Type: application/json"),
    ],
)
@pytest.mark.parametrize("stream", [True, False])
def test_odd_answers_that_can_be_read_are(data: bytes, stream: bool) -> None:
    with raw(data) as loopback:
        (found,) = collect(server(loopback.base_url, stream=stream, retries=QUICK), [prompt()])
    assert (found.text, found.finish_reason, found.tries) == ("4", "stop", 1)


@pytest.mark.parametrize(
    "body", [b" " * 3000, b'{"choices": "' + b"x" * 3000, b": comment\n\n" * 300]
)
def test_an_answer_has_an_end(body: bytes, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(reading, "MOST_BYTES", 2000)
    packed = message(gzip.compress(body), b"Content-Encoding: gzip")
    with raw(packed) as loopback, pytest.raises(ServerError) as caught:
        collect(server(loopback.base_url), [prompt()])
    assert str(caught.value).endswith(": the answer has over 2000 bytes")
    assert len(loopback.got) == 1


def test_halves_of_a_character_belong_together() -> None:
    """A server that cuts a surrogate pair of JSON in two, and one that sends half of one."""
    halves = [event({"choices": [{"text": half}]}) for half in ("a\ud83d", "\ude00b")]
    with Loopback(lambda handler, _: handler.stream(*halves, delta("\ud83d", "stop"))) as loopback:
        (found,) = collect(server(loopback.base_url), [prompt()])
    assert found.text == "a😀b\ufffd"


def test_a_complaint_with_half_a_character_can_be_printed() -> None:
    with (
        Loopback(lambda handler, _: handler.whole({"error": "x\ud83d"}, 400)) as loopback,
        pytest.raises(ServerError) as caught,
    ):
        collect(server(loopback.base_url), [prompt()])
    assert "(400: x\ufffd)" in str(caught.value)


@pytest.mark.parametrize("headers", [{"X-A": "b\r\nX-B: c"}, {"X\n": "a"}, {"X-A": "é"}])
def test_headers_that_would_break_a_request_are_refused(headers: dict[str, str]) -> None:
    with pytest.raises(UsageError, match="is not accepted: printable ASCII characters are"):
        server("http://127.0.0.1:1/v1", headers=headers)
