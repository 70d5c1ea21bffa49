"""What tests of the client share: a server that answers byte for byte as told, and one-line asks.

Knows no route; a test gives the function that writes each answer.
"""

import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Lock, Thread
from typing import Any, Self

from dllm_eval.endpoint.ask import Ask, Reply
from dllm_eval.endpoint.client import answer_all
from dllm_eval.endpoint.key import Key
from dllm_eval.endpoint.server import Retries, Server, Timeouts
from dllm_eval.measure.wall import instant_s

SECRET = "sk-secret-0123456789"
QUICK = Retries(most_tries=4, first_wait_s=0.02, most_wait_s=1.0)
SHORT = Timeouts(connect_s=2.0, first_byte_s=2.0, idle_s=2.0, whole_s=5.0)


@dataclass(frozen=True, kw_only=True)
class Got:
    """One request as the server got it."""

    number: int
    method: str
    path: str
    headers: dict[str, str]
    """Names in lower case."""
    body: dict[str, Any]
    at_s: float
    connection: int
    """The client's port: the same for requests over one connection."""


class Handler(BaseHTTPRequestHandler):
    """One connection; `write` and `whole` are what answers are made of."""

    protocol_version = "HTTP/1.1"
    server: "Loopback"

    def do_POST(self) -> None:
        self.server.take(self)

    def do_GET(self) -> None:
        self.server.take(self)

    def do_CONNECT(self) -> None:
        self.server.take(self)

    def log_message(self, *_: object) -> None:
        """Nothing is printed."""

    def whole(
        self, content: object, status: int = 200, kind: str = "application/json", **more: str
    ) -> None:
        """A whole answer: a text as it is, anything else as JSON; `more` are further headers."""
        data = content.encode() if isinstance(content, str) else json.dumps(content).encode()
        self.send_response(status)
        for name, value in more.items():
            self.send_header(name.replace("_", "-"), value)
        self.send_header("Content-Type", kind)
        self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        self.wfile.write(data)

    def stream(self, *pieces: bytes) -> None:
        """A streamed answer, each piece a chunk of HTTP's."""
        self.begin()
        for piece in pieces:
            self.write(piece)
        self.wfile.write(b"0\r\n\r\n")

    def begin(self) -> None:
        self.send_response(200)
        self.send_header("Content-Type", "text/event-stream")
        self.send_header("Transfer-Encoding", "chunked")
        self.end_headers()

    def write(self, piece: bytes) -> None:
        self.wfile.write(b"%x\r\n%s\r\n" % (len(piece), piece))


Answer = Callable[[Handler, Got], None]


class Loopback(ThreadingHTTPServer):
    """Answers on a free port until the block ends."""

    daemon_threads = True
    request_queue_size = 128

    def __init__(self, answer: Answer) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self._answer = answer
        self._lock = Lock()
        self.got: list[Got] = []
        self._thread = Thread(target=self.serve_forever, kwargs={"poll_interval": 0.01})

    @property
    def base_url(self) -> str:
        return f"http://127.0.0.1:{self.server_port}/v1"

    def take(self, handler: Handler) -> None:
        """Note a request and let the test answer it; clients that have gone are no error."""
        length = int(handler.headers.get("Content-Length", 0))
        data = handler.rfile.read(length)
        with self._lock:
            got = Got(
                number=len(self.got),
                method=handler.command,
                path=handler.path,
                headers={name.lower(): value for name, value in handler.headers.items()},
                body=json.loads(data) if data else {},
                at_s=instant_s(),
                connection=handler.client_address[1],
            )
            self.got.append(got)
        try:
            self._answer(handler, got)
        except (BrokenPipeError, ConnectionResetError):
            handler.close_connection = True

    def handle_error(self, *_: object) -> None:
        """A client that goes away is no error."""

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.shutdown()
        self._thread.join()
        self.server_close()


def server(base_url: str, *, secret: str | None = SECRET, **settings: Any) -> Server:
    """A server to ask, with short limits unless a test says otherwise."""
    key = None if secret is None else Key(secret, name="SOME_KEY")
    chosen = {"model": "m", "timeouts": SHORT, "retries": QUICK, **settings}
    return Server(base_url=base_url, key=key, **chosen)


def prompt(text: str = "2 + 2 =", **settings: Any) -> Ask:
    """An ask of the completions route."""
    return Ask(**{"route": "completions", "prompt": text, "max_tokens": 8, **settings})


@dataclass
class Collected:
    """Replies by index, and the order they came in."""

    replies: dict[int, Reply] = field(default_factory=dict)
    order: list[int] = field(default_factory=list)

    def __call__(self, index: int, reply: Reply) -> None:
        self.replies[index] = reply
        self.order.append(index)


def collect(asked: Server, asks: Sequence[Ask], **settings: Any) -> list[Reply]:
    """All replies in the asks' order."""
    found = Collected()
    answer_all(asked, asks, found, **{"in_flight": 1, **settings})
    return [found.replies[index] for index in range(len(asks))]


def completion(text: object, reason: str = "stop", **more: object) -> dict[str, Any]:
    """A whole answer of the completions route."""
    return {"choices": [{"index": 0, "text": text, "finish_reason": reason}], **more}


def event(content: object) -> bytes:
    """An object as a server-sent event."""
    return b"data: %s\n\n" % json.dumps(content).encode()


DONE = b"data: [DONE]\n\n"


def delta(text: str | None, reason: str | None = None, **more: object) -> bytes:
    """A streamed piece of the chat route."""
    content = {} if text is None else {"content": text}
    choice = {"index": 0, "delta": content, "finish_reason": reason}
    return event({"id": "c", "choices": [choice], **more})


def draft(text: str, progress: float | None, reason: str | None = None) -> bytes:
    """A whole state of the text, marked as Mercury marks it."""
    meta: dict[str, object] = {"diffusion_content": True}
    if progress is not None:
        meta["diffusion_progress"] = progress
    return delta(text, reason, diffusion_meta=meta)
