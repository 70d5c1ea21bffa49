"""The tests' own server speaks HTTP and each route's JSON as the real ones do.

Asked by the standard library alone, so that our client is not its own judge.
"""

import json
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from http.client import HTTPConnection
from typing import Any

import pytest
from protocol_answer import Answer
from protocol_server import KEY, ProtocolServer

MESSAGES = [{"role": "user", "content": "say it"}]
CHAT = {"model": "protocol-model", "messages": MESSAGES}


class Client:
    """One connection, kept alive from request to request."""

    def __init__(self, server: ProtocolServer, key: str = KEY) -> None:
        self._connection = HTTPConnection("127.0.0.1", server.port, timeout=20)
        self._headers = {"Authorization": f"Bearer {key}"}

    def get(self, path: str) -> tuple[int, Any]:
        self._connection.request("GET", path, headers=self._headers)
        answer = self._connection.getresponse()
        return answer.status, json.loads(answer.read())

    def post(self, path: str, **body: Any) -> tuple[int, Any]:
        status, text = self.text(path, **body)
        return status, json.loads(text)

    def text(self, path: str, **body: Any) -> tuple[int, str]:
        self._connection.request("POST", path, json.dumps(body), self._headers)
        answer = self._connection.getresponse()
        return answer.status, answer.read().decode()

    def socket(self) -> object:
        return self._connection.sock

    def close(self) -> None:
        self._connection.close()


Connect = Callable[..., Client]


@pytest.fixture
def connect() -> Iterator[Connect]:
    """`connect(server, key=KEY)`: a client that is closed at the test's end."""
    with ExitStack() as stack:

        def client(server: ProtocolServer, key: str = KEY) -> Client:
            found = Client(server, key)
            stack.callback(found.close)
            return found

        yield client


def events(text: str) -> list[Any]:
    """The data of each event; [DONE] as it is."""
    blocks = [block for block in text.split("\n\n") if block]
    assert all(block.startswith("data: ") for block in blocks)
    data = [block.removeprefix("data: ") for block in blocks]
    return [entry if entry == "[DONE]" else json.loads(entry) for entry in data]


def contents(found: list[Any]) -> list[str]:
    """What each chunk of a chat says."""
    chunks = [chunk for chunk in found if chunk != "[DONE]" and chunk["choices"]]
    return [chunk["choices"][0]["delta"].get("content", "") for chunk in chunks]


@pytest.fixture(scope="module")
def plain() -> Iterator[ProtocolServer]:
    with ProtocolServer(lambda body: "a b c " + str(body.get("prompt", ""))) as server:
        yield server


@pytest.fixture(scope="module")
def mercury() -> Iterator[ProtocolServer]:
    answer = Answer(text="done well", completion_tokens=2, drafts=("d___", "done w___"))
    with ProtocolServer(lambda _: answer, flavour="mercury") as server:
        yield server


def test_whole_answers_on_one_connection(connect: Connect, plain: ProtocolServer) -> None:
    client = connect(plain)
    status, found = client.post("/v1/completions", model="protocol-model", prompt="x y")
    first = client.socket()
    assert (status, found["choices"][0]["text"]) == (200, "a b c x y")
    assert found["usage"] == {"prompt_tokens": 2, "completion_tokens": 5, "total_tokens": 7}
    status, found = client.post("/v1/chat/completions", **CHAT, max_tokens=2)
    assert found["choices"][0]["message"] == {"role": "assistant", "content": "a b "}
    assert found["choices"][0]["finish_reason"] == "length"
    assert first is client.socket() is not None


def test_a_stream_ends_with_usage_and_done(connect: Connect, plain: ProtocolServer) -> None:
    options = {"include_usage": True}
    _, text = connect(plain).text(
        "/v1/chat/completions", **CHAT, stream=True, stream_options=options, stop=["c"]
    )
    found = events(text)
    assert found[-1] == "[DONE]"
    assert found[-2]["choices"] == []
    assert found[-2]["usage"]["completion_tokens"] == 2
    assert found[-3]["choices"][0]["finish_reason"] == "stop"
    assert "".join(contents(found)) == "a b "


@pytest.mark.parametrize(
    ("flavour", "status"),
    [("openai", 400), ("transformers", 422), ("vllm", 200), ("sglang", 200), ("mercury", 400)],
)
def test_a_field_that_nobody_knows(connect: Connect, flavour: str, status: int) -> None:
    with ProtocolServer(flavour=flavour) as server:
        found, body = connect(server).post("/v1/chat/completions", **CHAT, steps=8)
    assert found == status
    assert status == 200 or "steps" in body["error"]["message"]


def test_what_is_refused(connect: Connect, mercury: ProtocolServer) -> None:
    status, body = connect(mercury, "sk-wrong").post("/v1/chat/completions", **CHAT)
    assert (status, body["error"]["code"]) == (401, "invalid_api_key")
    assert body["error"]["message"] == "Incorrect API key provided"
    status, body = connect(mercury).post("/v1/chat/completions", model="x", messages=MESSAGES)
    assert (status, body["error"]["code"]) == (404, "model_not_found")
    status, _ = connect(mercury).post("/v1/completions", model="protocol-model", prompt="x")
    assert status == 404
    system = [{"role": "system", "content": "be good"}, *MESSAGES]
    status, _ = connect(mercury).post("/v1/edit/completions", model=CHAT["model"], messages=system)
    assert status == 400


def test_models_are_listed_where_each_server_lists_them(
    connect: Connect, mercury: ProtocolServer
) -> None:
    for path in ("/v1/models", "/v1/chat/completions/models", "/v1/fim/completions/models"):
        status, found = connect(mercury).get(path)
        assert (status, [row["id"] for row in found["data"]]) == (200, ["protocol-model"])
    assert connect(mercury, "sk-wrong").get("/v1/models")[0] == 401


@pytest.mark.parametrize(
    ("effort", "limit", "text", "reason", "reasoning", "completion"),
    [
        ("instant", 10, "done well", "stop", 0, 2),
        ("low", 10, "done well", "stop", 4, 6),
        ("low", 5, "done ", "length", 4, 5),
        ("medium", 10, "", "length", 10, 10),
        ("medium", 16, "", "length", 16, 16),
        ("high", 100, "done well", "stop", 64, 66),
    ],
)
def test_reasoning_eats_the_limit(
    connect: Connect,
    mercury: ProtocolServer,
    effort: str,
    limit: int,
    text: str,
    reason: str,
    reasoning: int,
    completion: int,
) -> None:
    _, found = connect(mercury).post(
        "/v1/chat/completions", **CHAT, reasoning_effort=effort, max_tokens=limit
    )
    (choice,) = found["choices"]
    assert (choice["message"]["content"], choice["finish_reason"]) == (text, reason)
    usage = found["usage"]
    assert (usage["reasoning_tokens"], usage["completion_tokens"]) == (reasoning, completion)


def test_drafts_are_whole_states_and_marked(connect: Connect, mercury: ProtocolServer) -> None:
    _, text = connect(mercury).text(
        "/v1/chat/completions", **CHAT, stream=True, diffusing=True, reasoning_effort="instant"
    )
    found = events(text)
    frames = [chunk for chunk in found if "diffusion_meta" in chunk]
    assert contents(frames) == ["d___", "done w___", "done well"]
    progress = [chunk["diffusion_meta"]["diffusion_progress"] for chunk in frames]
    assert progress == [pytest.approx(1 / 3), pytest.approx(2 / 3), 1.0]
    _, text = connect(mercury).text("/v1/chat/completions", **CHAT, stream=True, max_tokens=99)
    assert "".join(contents(events(text))) == "done well"


def test_a_temperature_out_of_range_is_remarked(connect: Connect, mercury: ProtocolServer) -> None:
    _, found = connect(mercury).post("/v1/chat/completions", **CHAT, temperature=0.0)
    assert "temperature was reset" in found["warning"]
    _, found = connect(mercury).post("/v1/chat/completions", **CHAT, temperature=0.7)
    assert "warning" not in found


def test_the_server_knows_what_came(connect: Connect, plain: ProtocolServer) -> None:
    plain.forget({1: "500"})
    client = connect(plain)
    statuses = [client.text("/v1/chat/completions", **CHAT)[0] for _ in range(3)]
    assert statuses == [200, 500, 200]
    assert [request.misbehaviour for request in plain.requests] == [None, "500", None]
    assert [request.number for request in plain.requests] == [0, 1, 2]
    assert all(request.sent for request in plain.settled())
    assert plain.requests[0].headers["Authorization"] == f"Bearer {KEY}"
    assert plain.most_in_flight == 1
