"""Server-sent events: bytes as they arrive, in any pieces, to events.

Knows neither HTTP nor JSON. `reading.py` feeds it.

Source: HTML Living Standard, section 9.2 (server-sent events). One thing differs on purpose: the
standard drops a last event that no blank line ends; servers that close the connection right
behind their last line mean it, so `end` gives it.
"""

import codecs
from dataclasses import dataclass

from dllm_eval.endpoint.faults import FinalError

MOST_CHARACTERS = 16 * 1024 * 1024
"""Of one event or line: more is no answer to anything that was asked here."""


@dataclass(frozen=True, kw_only=True)
class Event:
    """One event of a stream."""

    data: str
    """Its data lines, joined by line feeds."""
    id: str = ""
    """Its own `id:` line; "" where it has none."""
    name: str = ""


class EventReader:
    """Cuts a stream of bytes into events."""

    def __init__(self) -> None:
        self._decode = codecs.getincrementaldecoder("utf-8")(errors="replace").decode
        self._rest: list[str] = []
        self._rest_characters = 0
        self._after_return = False
        self._at_start = True
        self._data: list[str] = []
        self._data_characters = 0
        self._id = ""
        self._name = ""

    def feed(self, piece: bytes) -> list[Event]:
        """The events that this piece completes.

        Raises:
            FinalError: If a line or an event is longer than `MOST_CHARACTERS`.
        """
        return self._read(self._decode(piece))

    def end(self) -> list[Event]:
        """The last event, where no blank line ended it."""
        found = self._read(self._decode(b"", final=True))
        if self._rest_characters:
            found += self._line("".join(self._rest))
            self._rest, self._rest_characters = [], 0
        return found + self._line("")

    def _read(self, text: str) -> list[Event]:
        """Cut into lines at CR, LF and CR LF, which may itself be cut in two."""
        if self._at_start and text:
            self._at_start = False
            text = text.removeprefix("\ufeff")
        if self._after_return and text:
            self._after_return = False
            text = text.removeprefix("\n")
        self._after_return = self._after_return or text.endswith("\r")
        lines = text.replace("\r\n", "\n").replace("\r", "\n").split("\n")
        found: list[Event] = []
        for line in lines[:-1]:
            found += self._line("".join([*self._rest, line]))
            self._rest, self._rest_characters = [], 0
        if lines[-1]:
            self._rest.append(lines[-1])
            self._rest_characters += len(lines[-1])
        self._bounded(self._rest_characters)
        return found

    def _line(self, line: str) -> list[Event]:
        """Take one line in; a blank one ends the event."""
        if not line:
            return self._finished()
        name, _, value = line.partition(":")
        value = value.removeprefix(" ")
        if name == "data":
            self._data.append(value)
            self._data_characters += len(value)
            self._bounded(self._data_characters)
        elif name == "id" and "\0" not in value:
            self._id = value
        elif name == "event":
            self._name = value
        return []

    def _finished(self) -> list[Event]:
        """The event so far, if it has data."""
        data, self._data, self._data_characters = self._data, [], 0
        event = Event(data="\n".join(data), id=self._id, name=self._name)
        self._id = self._name = ""
        return [event] if data else []

    @staticmethod
    def _bounded(characters: int) -> None:
        """A line without end would fill the memory."""
        if characters > MOST_CHARACTERS:
            raise FinalError(f"a single event of the stream has over {MOST_CHARACTERS} characters")
