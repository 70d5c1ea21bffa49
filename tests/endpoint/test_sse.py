"""Events come out the same however their bytes are cut, and as the specification reads them."""

import random

import pytest

from dllm_eval.endpoint import sse
from dllm_eval.endpoint.faults import FinalError
from dllm_eval.endpoint.sse import EventReader


def slow(text: str) -> list[tuple[str, str, str]]:
    """(data, id, name) of each event, from the standard's rules, a character at a time.

    As `sse.py` says, an `id:` counts for its own event, and the end of the text ends an event.
    """
    lines, line, place = [], "", 0
    while place < len(text):
        if text[place] in "\r\n":
            lines.append(line)
            line = ""
            place += 2 if text[place : place + 2] == "\r\n" else 1
        else:
            line += text[place]
            place += 1
    lines += [line, ""]
    events, data, ident, name = [], "", "", ""
    for line in lines:
        if line == "":
            if data:
                events.append((data[:-1], ident, name))
            data, ident, name = "", "", ""
        elif line[0] != ":":
            field, value = line, ""
            if ":" in line:
                field, value = line[: line.index(":")], line[line.index(":") + 1 :]
                value = value[1:] if value[:1] == " " else value
            if field == "data":
                data += value + "\n"
            elif field == "id" and "\0" not in value:
                ident = value
            elif field == "event":
                name = value
    return events


def read(pieces: list[bytes]) -> list[tuple[str, str, str]]:
    reader = EventReader()
    events = [event for piece in pieces for event in reader.feed(piece)] + reader.end()
    return [(event.data, event.id, event.name) for event in events]


@pytest.mark.parametrize(
    ("text", "data"),
    [
        ("data: a\n\ndata: b\n\n", ["a", "b"]),
        ("data: a\r\n\r\ndata: b\r\n\r\n", ["a", "b"]),
        ("data: a\r\rdata: b\r\r", ["a", "b"]),
        ("data: a\ndata:  b\ndata:c\n\n", ["a\n b\nc"]),
        ("data\n\n", [""]),
        ("data:\ndata:\n\n", ["\n"]),
        (": comment\n\n: another\ndata: a\n\n", ["a"]),
        ("retry: 10\nnobody: knows\ndata: a\n\n", ["a"]),
        ("event: x\n\ndata: a\n\n", ["a"]),
        ("data: a\n\ndata: last", ["a", "last"]),
        ("data: a\n\ndata: last\n", ["a", "last"]),
        ("\n\n\n", []),
        ("", []),
    ],
)
def test_the_specification_by_hand(text: str, data: list[str]) -> None:
    assert [event[0] for event in read([text.encode()])] == data


def test_a_mark_at_the_beginning_is_no_text() -> None:
    assert read([b"\xef\xbb", b"\xbfdata: a\n\n"]) == [("a", "", "")]


def test_ids_and_names_belong_to_their_event() -> None:
    text = b"id: 1\nevent: x\ndata: a\n\ndata: b\n\nid: no\0ne\ndata: c\n\n"
    assert read([text]) == [("a", "1", "x"), ("b", "", ""), ("c", "", "")]


@pytest.mark.parametrize("seed", range(20))
def test_any_cut_gives_what_the_slow_reading_gives(seed: int) -> None:
    draw = random.Random(seed)
    parts = ["data:", "data: ", "id: 7", "event: e", ": c", "é", "漢😀", " ", "{", "x", "\0"]
    ends = ["\n", "\r", "\r\n", "\n\n", "\r\r", "\r\n\r\n", ""]
    text = "".join(draw.choice(parts) + draw.choice(ends) for _ in range(draw.randrange(200)))
    data, pieces = text.encode(), []
    while data:
        length = draw.choice([1, 2, 3, 17])
        pieces.append(data[:length])
        data = data[length:]
    assert read(pieces) == slow(text)
    assert read([text.encode()]) == slow(text)


def test_bytes_that_are_no_text_do_not_end_the_stream() -> None:
    assert read([b"data: a\xff\n\ndata: b\n\n"]) == [("a\ufffd", "", ""), ("b", "", "")]


@pytest.mark.parametrize("piece", [b"x" * 50, b"data: 1234567890\n"])
def test_neither_a_line_nor_an_event_grows_without_end(
    piece: bytes, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sse, "MOST_CHARACTERS", 100)
    reader = EventReader()
    for _ in range(100 // len(piece)):
        reader.feed(piece)
    with pytest.raises(FinalError, match="a single event of the stream has over 100 characters"):
        reader.feed(piece * 10)
