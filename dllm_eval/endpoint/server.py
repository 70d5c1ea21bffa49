"""A server, and how patiently it is asked.

Knows no socket: plain data, checked. `client.py` and `probe.py` ask it; adapters make one from the
user's arguments and a card.
"""

import ipaddress
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Literal
from urllib.parse import urlsplit

from dllm_eval.endpoint.key import Key
from dllm_eval.errors import UsageError


class ServerError(UsageError):
    """A server that cannot be reached, refuses, or answers what nobody can read: one line."""


@dataclass(frozen=True, kw_only=True)
class Timeouts:
    """How long is waited for a server; each is of one try, in seconds."""

    connect_s: float = 10.0
    """Until the connection stands, TLS included."""
    first_byte_s: float = 120.0
    """From sending to the first byte of a streamed answer. An answer that is not streamed comes as
    a whole, so `whole_s` alone bounds it."""
    idle_s: float = 60.0
    """Between two pieces of a streamed answer."""
    whole_s: float = 600.0
    """From sending to the last byte."""

    def __post_init__(self) -> None:
        for name in ("connect_s", "first_byte_s", "idle_s", "whole_s"):
            _above_zero(name, getattr(self, name))


@dataclass(frozen=True, kw_only=True)
class Retries:
    """How often a request is sent again, and after which wait."""

    most_tries: int = 6
    """The first one counts."""
    first_wait_s: float = 0.5
    """The longest wait before the second try; it doubles from try to try. What is waited is drawn
    evenly between zero and that ("full jitter")."""
    most_wait_s: float = 60.0
    """No wait is longer, whatever a server's Retry-After says."""
    seed: int = 0
    """Of the waits."""

    def __post_init__(self) -> None:
        if self.most_tries < 1:
            raise UsageError(f"tries={self.most_tries} is not accepted: at least 1")
        _above_zero("first_wait_s", self.first_wait_s)
        _above_zero("most_wait_s", self.most_wait_s)


ROUTE_ENDS = ("/completions", "/models")
"""What a base URL does not end with: the routes themselves."""


@dataclass
class Learnt:
    """What calls have found out about a server, so that the next one does not ask again."""

    takes_usage: bool = True
    """Whether it takes `stream_options`."""


@dataclass(frozen=True, kw_only=True)
class Server:
    """Where requests go, and how."""

    base_url: str
    """What stands before the routes: "https://host/v1"."""
    model: str
    """The model every request names."""
    key: Key | None = None
    key_names: Sequence[str] = ()
    """The environment variables in which a key is looked for; error lines name them."""
    headers: Mapping[str, str] = field(default_factory=dict)
    """Further headers, none of them secret."""
    timeouts: Timeouts = field(default_factory=Timeouts)
    retries: Retries = field(default_factory=Retries)
    stream: bool = True
    """Answers come piece by piece, which gives the time to the first text. The edit route is never
    streamed: Mercury's does not offer it."""
    drafts: bool = False
    """Ask a diffusion model for its intermediate texts (`diffusing`); later ones replace them."""
    limit_field: Literal["max_tokens", "max_completion_tokens"] = "max_tokens"
    """What the body calls the token limit; OpenAI's reasoning models want the second."""
    plain_http: bool = False
    """A key may travel unencrypted to other machines."""
    learnt: Learnt = field(default_factory=Learnt, compare=False, repr=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "base_url", self.base_url.rstrip("/"))
        _check_url(self.base_url)
        if self.key and not (self.is_loopback or self.plain_http or self.scheme == "https"):
            raise UsageError(
                f"base_url={self.base_url} would send {self.key.name} unencrypted to another "
                "machine: use https, or plain_http=true if that network is yours"
            )
        if "authorization" in {name.lower() for name in self.headers}:
            raise UsageError(
                "an Authorization header is not accepted among headers: a key stands in an "
                "environment variable"
            )
        for name, value in self.headers.items():
            if not (name + value).isascii() or not (name + value).isprintable():
                raise UsageError(f"header {name!r} is not accepted: printable ASCII characters are")
        if self.drafts and not self.stream:
            raise UsageError("drafts=true needs stream=true: drafts exist in streams only")

    @property
    def scheme(self) -> str:
        """Either http or https."""
        return urlsplit(self.base_url).scheme

    @property
    def host(self) -> str:
        """Host and, where the URL names it, port: what tables call this server."""
        return urlsplit(self.base_url).netloc.rpartition("@")[2]

    @property
    def is_loopback(self) -> bool:
        """Whether this is the very machine."""
        name = urlsplit(self.base_url).hostname or ""
        if name == "localhost" or name.endswith(".localhost"):
            return True
        try:
            return ipaddress.ip_address(name).is_loopback
        except ValueError:
            return False

    def hide(self, text: str) -> str:
        """`text` without the key."""
        return self.key.hide(text) if self.key else text

    def hide_in_answer(self, answer: str) -> str:
        """The text of an answer without the key."""
        return self.key.hide_in_answer(answer) if self.key else answer


def _above_zero(name: str, value: float) -> None:
    """A duration has to be finite and above zero."""
    if not 0 < value < float("inf"):
        raise UsageError(f"{name}={value} is not accepted: seconds above 0")


def _check_url(base_url: str) -> None:
    """Refuse what is no address of a server; the line does not quote a password."""
    try:
        parts = urlsplit(base_url)
        known = parts.scheme in ("http", "https") and bool(parts.hostname)
        _ = parts.port
    except ValueError:
        known, parts = False, urlsplit("")
    if not known:
        raise UsageError(
            f"base_url={base_url.rpartition('@')[2]} is no address of a server: accepted is "
            "http:// or https://, a host and a path, for example http://127.0.0.1:8000/v1"
        )
    if parts.username or parts.password:
        raise UsageError(
            f"base_url at {parts.hostname} holds a user name or password: a key stands in an "
            "environment variable"
        )
    if parts.query or parts.fragment:
        shown = base_url.partition("?")[0].partition("#")[0]
        raise UsageError(f"base_url={shown} has a query or fragment: accepted is a path only")
    if parts.path.endswith(ROUTE_ENDS):
        raise UsageError(
            f"base_url={base_url} ends with a route: accepted is what stands before the routes, "
            "for example http://127.0.0.1:8000/v1"
        )
