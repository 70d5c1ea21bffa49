"""A server for the OpenAI-compatible routes and Mercury's, which misbehaves on demand.

Real HTTP, by the standard library. What it answers is a function of the request's body. Tests
start it as a context manager, and as a program it stands for an engine:

    python tests/support/protocol_server.py --port 8000 --as sglang --backend echo
"""

import json
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import replace
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread
from time import monotonic, sleep
from typing import Any, Self

from exchange import Exchange, reply
from misbehaviours import MISBEHAVIOURS
from protocol_answer import Answer, Wording, counted, usage_of, with_reasoning
from protocol_flavours import EFFORTS, FLAVOURS
from protocol_state import Backend, Plan, Received, RefusalError, State
from protocol_wire import Wire

ROUTES = {
    "/v1/chat/completions": "chat",
    "/v1/completions": "completions",
    "/v1/fim/completions": "fim",
    "/v1/edit/completions": "edit",
}
KEY = "sk-protocol-0123456789abcdef"


class ProtocolServer:
    """Answers on a free port of the loopback until the block ends.

    Args:
        answer: What to say to a body: a text, which is cut and counted as a server would, or an
            `Answer` as it is. Called in the thread of the request.
        misbehave: Which request misbehaves, and how (`misbehaviours.py`); a mapping goes by the
            number of the request, from 0.
        key: What a client has to send; None lets everyone in.
        models: Names that it answers to.
        flavour: Which server it plays (`protocol_flavours.py`).
        first_s: Seconds before the first byte.
        chunk_s: Seconds between two events of a stream.
        port: 0 is a free one.
        log: A file to which every request is written, when it comes and when it is answered.
        elsewhere: Where the misbehaviour "redirect" sends a client.
    """

    def __init__(
        self,
        answer: Backend = lambda _: "hello there",
        *,
        misbehave: Plan | Mapping[int, str] | None = None,
        key: str | None = KEY,
        models: Sequence[str] = ("protocol-model",),
        flavour: str = "openai",
        first_s: float = 0.0,
        chunk_s: float = 0.0,
        port: int = 0,
        log: Path | None = None,
        elsewhere: str = "",
    ) -> None:
        self.state = State(
            answer=answer,
            flavour=FLAVOURS[flavour],
            models=models,
            key=key,
            plan=_plan(misbehave),
            first_s=first_s,
            chunk_s=chunk_s,
            log=log,
            elsewhere=elsewhere,
        )
        handler = type("BoundHandler", (_Handler,), {"state": self.state})
        self._server = _Server(("127.0.0.1", port), handler)
        self._thread = Thread(target=self._server.serve_forever, args=(0.02,), daemon=True)

    @property
    def port(self) -> int:
        return int(self._server.server_address[1])

    @property
    def base_url(self) -> str:
        return f"http://127.0.0.1:{self.port}/v1"

    @property
    def requests(self) -> list[Received]:
        """Every request for an answer so far, in the order of arrival."""
        return self.state.requests

    @property
    def most_in_flight(self) -> int:
        return self.state.most_in_flight

    def settled(self) -> list[Received]:
        """`requests`, once none of them is being answered any more."""
        until = monotonic() + 20
        while self.state.in_flight and monotonic() < until:
            sleep(0.005)
        return self.requests

    def forget(self, misbehave: Plan | Mapping[int, str] | None = None) -> None:
        """Begins to count requests anew, and misbehaves by another plan."""
        with self.state.lock:
            self.state.requests = []
            self.state.plan = _plan(misbehave)
            self.state.most_in_flight = self.state.in_flight

    def serve(self) -> None:
        """Answers in this thread until it is interrupted."""
        self._server.serve_forever(0.1)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.state.stopping.set()
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()


def _plan(misbehave: Plan | Mapping[int, str] | None) -> Plan:
    if misbehave is None:
        return lambda *_: None
    if isinstance(misbehave, Mapping):
        return lambda number, _: misbehave.get(number)
    return misbehave


class _Server(ThreadingHTTPServer):
    daemon_threads = True
    block_on_close = False
    request_queue_size = 256

    def handle_error(self, *_: object) -> None:
        """A client that goes away in the middle is no news."""


class _Handler(BaseHTTPRequestHandler):
    state: State
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True

    def log_message(self, *_: object) -> None:
        """Nothing: the tests read `requests`."""

    def do_GET(self) -> None:
        wire, flavour = Wire(self, self.state.stopping), self.state.flavour
        if self.path == "/health":
            return wire.whole({"status": "ok"})
        if self.path in flavour.information:
            return wire.whole(flavour.information[self.path])
        if self.path in ("/v1/models", *flavour.more_models):
            try:
                self._check_key()
            except RefusalError as refusal:
                return wire.whole(refusal.content, status=refusal.status)
            models = [{"id": name, "object": "model"} for name in self.state.models]
            return wire.whole({"object": "list", "data": models})
        return wire.whole({"error": {"message": "Not Found"}}, status=404)

    def do_POST(self) -> None:
        body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        wire, request = Wire(self, self.state.stopping), self._received(body)
        try:
            self._answer(wire, request)
        except RefusalError as refusal:
            request.status = refusal.status
            wire.whole(refusal.content, status=refusal.status)
        finally:
            request.sent = wire.complete
            request.ended_s = monotonic()
            with self.state.lock:
                self.state.in_flight -= 1
            self.state.note("answered" if wire.complete else "given up", request)

    def _received(self, body: dict[str, Any]) -> Received:
        with self.state.lock:
            number = len(self.state.requests)
            route = ROUTES.get(self.path, self.path)
            request = Received(number, route, body, dict(self.headers.items()), monotonic())
            self.state.requests.append(request)
            self.state.in_flight += 1
            self.state.most_in_flight = max(self.state.most_in_flight, self.state.in_flight)
            self.state.note("received", request)
        return request

    def _answer(self, wire: Wire, request: Received) -> None:
        state, body = self.state, request.body
        self._check_key()
        self._check_body(request.route, body)
        request.misbehaviour = state.plan(request.number, body)
        streamed = bool(body.get("stream"))
        answer = self._found(body)
        wording = Wording(
            route=request.route,
            model=body["model"],
            answer_id=f"cmpl-{request.number}",
            usage=usage_of(answer, nested=state.flavour.nested_usage),
            usage_chunk=bool((body.get("stream_options") or {}).get("include_usage")),
            diffusing=bool(body.get("diffusing")) and streamed,
        )
        exchange = Exchange(
            wire=wire,
            answer=answer,
            wording=wording,
            streamed=streamed,
            chunk_s=state.chunk_s,
            elsewhere=state.elsewhere,
            key=self._key(),
        )
        wire.wait(state.first_s)
        act = reply if request.misbehaviour is None else MISBEHAVIOURS[request.misbehaviour]
        with suppress(ConnectionError):
            act(exchange)

    def _found(self, body: dict[str, Any]) -> Answer:
        flavour = self.state.flavour
        answer = counted(self.state.answer(body), body)
        if flavour.reasons and "messages" in body and not answer.reasoning_tokens:
            answer = with_reasoning(answer, body, EFFORTS)
        low, high = flavour.temperatures or (0.0, float("inf"))
        if "messages" in body and not low <= body.get("temperature", low) <= high:
            return replace(answer, warning=f"temperature was reset: it is not in {low} to {high}")
        return answer

    def _key(self) -> str:
        return self.headers.get("Authorization", "").removeprefix("Bearer ")

    def _check_key(self) -> None:
        if self.state.key not in (None, self._key()):
            message, kind = "Incorrect API key provided", "authentication_error"
            raise RefusalError(401, message, kind, "invalid_api_key")

    def _check_body(self, route: str, body: dict[str, Any]) -> None:
        flavour, kind = self.state.flavour, "invalid_request_error"
        if route not in flavour.fields:
            raise RefusalError(404, f"Not Found: {route}", kind)
        if body.get("model") not in self.state.models:
            message = f"model `{body.get('model')}` not found"
            raise RefusalError(404, message, kind, "model_not_found")
        unknown = sorted(set(body) - flavour.fields[route])
        if unknown and flavour.unknown_fields is not None:
            message = f"Unexpected fields in the request: {', '.join(unknown)}"
            raise RefusalError(flavour.unknown_fields, message, kind)
        if route == "edit" and [m.get("role") for m in body["messages"]] != ["user"]:
            raise RefusalError(400, "Edit requests accept a single user message", kind)


if __name__ == "__main__":
    from protocol_program import main

    main()
