"""One answer on its way to a client: HTTP heads, chunks, server-sent events, and cuts in them.

Knows the socket of one request; knows neither routes nor answers. `protocol_server.py` and
`misbehaviours.py` write through it.
"""

import json
import socket
import struct
from http.server import BaseHTTPRequestHandler
from threading import Event
from typing import Any


class Wire:
    """Writes to one client. An answer counts as sent once its last byte was."""

    def __init__(self, handler: BaseHTTPRequestHandler, stopping: Event) -> None:
        self._handler = handler
        self._stopping = stopping
        self.complete = False

    def whole(
        self,
        content: Any,
        *,
        status: int = 200,
        content_type: str = "application/json",
        headers: dict[str, str] | None = None,
    ) -> None:
        """A whole answer of known length: an object as JSON, a text or bytes as they are."""
        self.head(status, content_type, {**(headers or {}), "Content-Length": "{length}"}, content)
        self.complete = True

    def head(
        self, status: int, content_type: str, headers: dict[str, str], content: Any = b""
    ) -> None:
        body = encoded(content)
        self._handler.send_response(status)
        self._handler.send_header("Content-Type", content_type)
        for name, value in headers.items():
            self._handler.send_header(name, value.replace("{length}", str(len(body))))
        self._handler.end_headers()
        self._handler.wfile.write(body)

    def begin(self, content_type: str = "text/event-stream") -> None:
        """The head of a stream."""
        self.head(200, content_type, {"Transfer-Encoding": "chunked", "Cache-Control": "no-cache"})

    def send(self, data: bytes) -> None:
        """One chunk of the stream, at once."""
        self._handler.wfile.write(b"%x\r\n%s\r\n" % (len(data), data))
        self._handler.wfile.flush()

    def event(self, content: Any) -> None:
        """One event of the stream."""
        self.send(event(content))

    def done(self) -> None:
        """[DONE], and the end of the stream."""
        self.event("[DONE]")
        self.end()

    def end(self) -> None:
        """The end of the stream as HTTP says it."""
        self._handler.wfile.write(b"0\r\n\r\n")
        self._handler.wfile.flush()
        self.complete = True

    def part_of_chunk(self, data: bytes) -> None:
        """The length of a whole chunk, and half of its bytes."""
        self._handler.wfile.write(b"%x\r\n%s" % (len(data), data[: len(data) // 2]))
        self._handler.wfile.flush()

    def cut(self) -> None:
        """The connection is reset, as by a machine that has died."""
        self._handler.close_connection = True
        linger = struct.pack("ii", 1, 0)
        self._handler.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, linger)
        self._handler.connection.close()

    def wait(self, seconds: float) -> None:
        """Says nothing for a while, or until the server ends."""
        self._stopping.wait(seconds)


def event(content: Any) -> bytes:
    """An object or text as a server-sent event."""
    return b"data: %s\n\n" % encoded(content)


def encoded(content: Any) -> bytes:
    """Bytes as they are, a text in UTF-8, anything else as JSON that keeps its characters."""
    if isinstance(content, bytes):
        return content
    text = content if isinstance(content, str) else json.dumps(content, ensure_ascii=False)
    return text.encode()
