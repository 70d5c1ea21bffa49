"""One request to a server and its answer, as plain data.

Knows no socket. `client.py` sends one and gives the other; `adapters/api.py` writes and reads them.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

from dllm_eval.records import Flag

Route = Literal["chat", "completions", "fim", "edit"]
"""`/chat/completions` and `/completions` of every OpenAI-compatible server; `/fim/completions` and
`/edit/completions` of Mercury's."""

Message = Mapping[str, str]
"""{"role": ..., "content": ...}."""


@dataclass(frozen=True, kw_only=True)
class Ask:
    """What one request asks."""

    route: Route
    prompt: str = ""
    """Of `completions` and `fim`."""
    suffix: str | None = None
    """Of `fim`, and of `completions` where the server fills in."""
    messages: Sequence[Message] = ()
    """Of `chat` and `edit`."""
    max_tokens: int
    temperature: float | None = None
    """None leaves it to the server."""
    stop: Sequence[str] = ()
    seed: int | None = None
    more: Mapping[str, Any] = field(default_factory=dict)
    """Further fields of the body, for example {"reasoning_effort": "low"}."""


@dataclass(frozen=True, kw_only=True)
class Reply:
    """A server's answer to one request, and what it says the answer cost."""

    text: str
    finish_reason: str
    """The server's own word: "stop", "length", ...; "" where it says none."""
    flag: Flag | None = None
    prompt_tokens: int | None = None
    completion_tokens: int | None = None
    """Reasoning included, as servers count."""
    reasoning_tokens: int | None = None
    served_model: str = ""
    """The model that the server says has answered."""
    fingerprint: str = ""
    """The server's word for the software behind it."""
    warning: str = ""
    """What the server remarks of its answer, for example that it has reset the temperature."""
    seconds: float
    """From sending to the last byte, of the try that was answered."""
    first_text_s: float | None = None
    """From sending to the first visible text that stayed; None where the answer was not streamed
    or had no text."""
    offered_s: float
    """When the request was due, from the beginning of the call."""
    whole_s: float
    """From then to the answer, with waits for a free place and between tries."""
    tries: int = 1
