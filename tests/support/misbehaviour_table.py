"""What has to come of every misbehaviour: data that the tests of the client and of `dllm-api` read.

Three ends are possible. "borne": the first try is the answer. "retried": the next try is; if every
try misbehaves, one line says so. "refused": one line after a single try, as no other would help.
"""

from dataclasses import dataclass
from typing import Literal

ANSWER = "one two three four five six"

End = Literal["borne", "retried", "refused"]
Way = Literal["plain", "streamed"]


@dataclass(frozen=True, kw_only=True)
class Expected:
    """What has to come of one misbehaviour."""

    end: End
    line: str = ""
    """What the line says, as a pattern, where there is one."""
    ways: tuple[Way, ...] = ("plain", "streamed")
    """How the answer has to be asked for to meet the misbehaviour."""
    text: str = ANSWER
    """Of an answer that is borne."""
    finish_reason: str = "stop"
    flag: str | None = None
    counted: bool = True
    """Whether the server says what an answer that is borne cost."""
    wait_s: float = 0.0
    """The shortest wait before the second try."""
    routes: tuple[str, ...] = ("chat", "completions")
    drafts: bool = False
    """Whether drafts are asked for."""


def _retried(line: str, *ways: Way, wait_s: float = 0.0) -> Expected:
    return Expected(end="retried", line=line, ways=ways or ("plain", "streamed"), wait_s=wait_s)


def _refused(line: str, *ways: Way) -> Expected:
    return Expected(end="refused", line=line, ways=ways or ("plain", "streamed"))


def _borne(*ways: Way) -> Expected:
    return Expected(end="borne", ways=ways or ("plain", "streamed"))


UNCOUNTED = Expected(end="borne", counted=False)

EXPECTED: dict[str, Expected] = {
    "429 and seconds": _retried("429", wait_s=1.0),
    # A date has whole seconds only, so one that is a second away may be just ahead.
    "429 and a date": _retried("429"),
    "429 alone": _retried("429"),
    "429 for good": _refused("not paid up"),
    "400": _refused("longer than the model's context"),
    "402": _refused("not paid up"),
    "403": _refused("may not do this"),
    "408": _retried("408"),
    "500": _retried("500"),
    "503": _retried("503"),
    "529": _retried("529"),
    "the key in a 400": _refused("cannot work with"),
    "the key in a 500": _retried("cannot work with"),
    "the key in a 200": _retried("cannot work with"),
    "the key around the text": _borne(),
    "the key in an event": _retried("cannot work with", "streamed"),
    "a proxy's 502": _retried("502: a web page"),
    "a proxy's page": _retried("neither JSON nor a stream"),
    "a redirect": _refused("redirects"),
    "cut before the head": _retried("broke off"),
    "silence": _retried("no (byte of the )?answer"),
    "a slow first byte": _borne(),
    "half of a JSON": _retried("no JSON"),
    "another JSON": _retried("no JSON object"),
    "an error in a 200": _retried("overloaded"),
    "gzip": _borne("plain"),
    "a huge body": _refused("bytes", "plain"),
    "another content type": _borne("plain"),
    "no choices": _retried("choices"),
    "choices left out": _retried("choices"),
    "a choice without text": _retried("no text"),
    "a number for a text": _retried("no text"),
    # A message's content may be null; a completion's text may not.
    "null content": Expected(end="borne", text="", routes=("chat",)),
    "no finish reason": Expected(end="borne", finish_reason="", ways=("plain",)),
    "no usage": UNCOUNTED,
    "usage in words": UNCOUNTED,
    "usage below nothing": UNCOUNTED,
    "usage of other kind": UNCOUNTED,
    "the same id": _borne(),
    "filtered": Expected(
        end="borne", text="", finish_reason="content_filter", flag="content_filter"
    ),
    "a stall": _retried("stood still", "streamed"),
    "cut in a chunk": _retried("broke off", "streamed"),
    "an early end": _retried("broke off before its end", "streamed"),
    "a broken event": _retried("no JSON", "streamed"),
    "an error event": _retried("overloaded", "streamed"),
    "an error's text as event": _retried("out of memory", "streamed"),
    "comments alone": _retried("no answer within", "streamed"),
    "no [DONE]": _borne("streamed"),
    "two [DONE]s": _borne("streamed"),
    "text behind [DONE]": _borne("streamed"),
    "events sent again": _borne("streamed"),
    "CR LF and comments": _borne("streamed"),
    "data over several lines": _borne("streamed"),
    "a few bytes at a time": _borne("streamed"),
    "an endless line": _refused("characters", "streamed"),
    "drafts that shrink": Expected(end="borne", ways=("streamed",), routes=("chat",), drafts=True),
    "drafts that shrink to nothing": Expected(
        end="borne", text="", ways=("streamed",), routes=("chat",), drafts=True
    ),
}
"""Of every name in `misbehaviours.MISBEHAVIOURS`; a test compares."""
