"""The bytes of an answer to its parts, streamed or whole, whatever its content type says.

Knows no socket and no clock: it is told when each piece came. `exchange.py` feeds it.
"""

import json
from typing import Any

from dllm_eval.endpoint.answer import Parts, read_answer
from dllm_eval.endpoint.assembly import Assembly
from dllm_eval.endpoint.complaint import raise_complaint
from dllm_eval.endpoint.faults import FinalError, PassingError
from dllm_eval.endpoint.sse import Event, EventReader

MOST_BYTES = 64 * 1024 * 1024
"""Of one answer: more is no answer to anything that was asked here."""

DONE = "[DONE]"


class Reading:
    """One answer while it comes in.

    A body that begins with "{" or "[" is JSON and everything else a stream of events; servers
    that ignore `stream` and proxies that change content types are read by what they send.
    """

    def __init__(self, *, drafts_asked: bool) -> None:
        self._assembly = Assembly(drafts_asked=drafts_asked)
        self._events: EventReader | None = None
        self._whole = bytearray()
        self._is_whole = False
        self._bytes = 0
        self._chunks = 0
        self._seen: set[str] = set()
        self.is_done = False
        """The stream has said that nothing follows."""

    def feed(self, piece: bytes, at_s: float) -> None:
        """Take a piece in that came at this moment.

        Raises:
            PassingError: If a chunk is no JSON, or the server complains within the stream.
            FinalError: If the answer is longer than `MOST_BYTES`, or no further try will help.
        """
        self._bytes += len(piece)
        if self._bytes > MOST_BYTES:
            raise FinalError(f"the answer has over {MOST_BYTES} bytes")
        if self._events:
            self._take(self._events.feed(piece), at_s)
            return
        self._whole += piece
        if self._is_whole:
            return
        self._whole = self._whole.lstrip(b"\xef\xbb\xbf \t\r\n")
        start = self._whole[:1]
        self._is_whole = bytes(start) in (b"{", b"[")
        if start and not self._is_whole:
            self._events = EventReader()
            self._take(self._events.feed(bytes(self._whole)), at_s)

    def end(self, at_s: float, *, content_type: str) -> Parts:
        """The answer, now that no byte follows.

        Args:
            at_s: When the end came.
            content_type: What the server called it, for the error line.

        Raises:
            PassingError: If it is cut off, malformed or a complaint.
            FinalError: If it is a complaint that no further try will help.
        """
        if self._events is None:
            return read_answer(_parsed(bytes(self._whole).decode("utf-8", "replace")))
        self._take(self._events.end(), at_s)
        if not self._chunks and not self.is_done:
            raise PassingError(
                f"neither JSON nor a stream of events came ({content_type or 'no type'})"
            )
        if not self.is_done and not self._assembly.is_finished:
            raise PassingError("the stream broke off before its end")
        return self._assembly.parts()

    def _take(self, events: list[Event], at_s: float) -> None:
        """Take events in, up to the end of the stream; what stands behind it is not read."""
        for event in events:
            if self.is_done:
                return
            if event.id and event.id in self._seen:
                continue
            self._seen.add(event.id)
            if event.data.strip() == DONE:
                self.is_done = True
            else:
                self._chunks += 1
                self._assembly.take(_parsed(event.data), at_s)


def _parsed(text: str) -> dict[str, Any]:
    """A JSON object that is no complaint."""
    try:
        found = json.loads(text)
    except (ValueError, RecursionError):
        found = None
    if not isinstance(found, dict):
        raise PassingError("the server sent something that is no JSON object")
    if found.get("error"):
        raise_complaint(found["error"])
    return found
