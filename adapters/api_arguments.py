"""What lm-eval may pass to `dllm-api`, checked once.

Knows names, types and ranges; knows no card, no request and no connection. `api.py` parses by it,
`api_facts.py` fills in what a card says, and the engines' arguments derive from it.
"""

import json
import re
from collections.abc import Collection
from typing import Any, Literal
from urllib.parse import urlsplit

from pydantic import BaseModel, ConfigDict, Field, field_validator

OWN_FIELDS = (
    *("model", "messages", "prompt", "suffix", "max_tokens", "max_completion_tokens", "stop"),
    *("temperature", "seed", "stream", "stream_options", "diffusing", "n", "reasoning_effort"),
)
"""Fields of a request's body that arguments of their own decide."""


class ApiArguments(BaseModel):
    """The arguments of `dllm-api`."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    model: str = ""
    """The server's name for the model; `pretrained` says the same."""
    base_url: str = ""
    """Where the routes begin, for example https://host/v1; "" takes the card's. An address of its
    own uses no card, unless `card` names one."""
    card: str = ""
    """The card of a model with an API whose routes, limits, dial and prices hold at `base_url` too:
    a gateway or a proxy before it. Its key does not go there, see `key_env`."""
    route: Literal["auto", "chat", "completions", "edit"] = "auto"
    """"auto" is the card's; without one, chat where a chat template is applied, else completions.
    "edit" sends a task's text as the one message of a next-edit request."""
    infill: Literal["auto", "fim", "suffix", "prefix_only"] = "auto"
    """How a gap is asked: by a fim route, by `suffix` on the completions route, or by the text
    before it alone; "auto" is the card's fim route, else the prefix."""
    prefill: Literal["refuse", "send", "continue"] = "refuse"
    """What is done where a task begins the answer of a chat itself: nothing, the beginning sent as
    the last message, or that with the fields by which vLLM and SGLang continue it."""
    key_env: str | None = None
    """The environment variable that has the key; None is the card's, at the card's own address."""
    plain_http: bool = False
    """Whether a key may travel unencrypted to another machine."""
    kind: Literal["auto", "diffusion", "autoregressive"] = "auto"
    """"auto" is diffusion where a card of the model says so."""
    batch_size: int = Field(default=1, ge=1)
    """How many requests are in flight at once."""
    max_batch_size: None = None
    """lm-eval passes it."""
    stream: bool = True
    """Whether answers are streamed, which times their first visible text."""
    drafts: bool = False
    """Whether a diffusion server is asked for its intermediate states; they replace each other, and
    only the last one is kept."""
    reasoning_effort: str | None = None
    reasoning_room: int | None = Field(default=None, ge=0)
    """Tokens added to every limit where reasoning shares it with the answer; None is the card's."""
    temperature: float | Literal["auto", "server"] = "auto"
    """"auto" is 0, or the server's own where the card says that it takes no 0; "server" sends
    none."""
    gen_length: int | None = Field(default=None, ge=1)
    """Most tokens per answer, whatever a task asks; None leaves it to the task."""
    max_gen_toks: int = Field(default=256, ge=1)
    """Most tokens per answer where neither `gen_length` nor the task says."""
    most_stops: int = Field(default=4, ge=0)
    """How many of a task's stop strings a server is told; OpenAI's API takes four (openai-python
    3.54.0, `types/chat/completion_create_params.py`). Answers are cut at all of them here."""
    seed: int = 0
    limit_field: Literal["max_tokens", "max_completion_tokens"] = "max_tokens"
    """What the body calls the token limit."""
    extra: str = ""
    """Further fields of every body, as "name:value+name:value"; a dot nests."""
    tokenizer: str | None = None
    """A local folder whose tokenizer counts visible tokens; None leaves that to the server."""
    connect_s: float = Field(default=10.0, gt=0)
    first_byte_s: float = Field(default=120.0, gt=0)
    idle_s: float = Field(default=60.0, gt=0)
    whole_s: float = Field(default=600.0, gt=0)
    tries: int = Field(default=6, ge=1)
    records: str | None = None
    """Path of a request log to continue; None keeps the records in memory."""
    warmup: int = Field(default=0, ge=0)
    """Untimed requests before the first timed one."""
    timing_repeats: int = Field(default=1, ge=1)

    @field_validator("model", "card", "reasoning_effort", "extra", mode="before")
    @classmethod
    def _is_text(cls, value: object) -> object:
        """lm-eval's argument string turns what looks like a number into one."""
        return str(value) if isinstance(value, int | float) else value

    @field_validator("base_url")
    @classmethod
    def _where_routes_begin(cls, value: str) -> str:
        if not value:
            return value
        parts = urlsplit(value)
        if parts.scheme not in ("http", "https") or not parts.hostname:
            raise ValueError("accepted: http://HOST:PORT/v1 or https://HOST/v1")
        ending = re.search(r"/((chat|fim|edit)/)?completions/?$", parts.path)
        if ending is not None:
            start = value.rstrip("/").removesuffix(ending.group().rstrip("/"))
            raise ValueError(f"write base_url={start}; route=chat or route=completions picks one")
        return value.rstrip("/")

    @field_validator("temperature", mode="before")
    @classmethod
    def _temperature(cls, value: object) -> object:
        if value is None:
            return "auto"
        number = isinstance(value, int | float) and not isinstance(value, bool)
        if value in ("auto", "server") or (number and 0 <= float(str(value)) < 100):
            return value
        raise ValueError("accepted: a number of at least 0, auto, server")

    @field_validator("extra")
    @classmethod
    def _fields(cls, value: str) -> str:
        _nested(value)
        return value

    @property
    def more(self) -> dict[str, Any]:
        """The fields of `extra`."""
        return _nested(self.extra)

    def as_json(self, left_out: Collection[str]) -> str:
        """The arguments but some, as requests' identities hold them.

        A card that is not named is left out too, so that older logs go on.
        """
        return self.model_dump_json(exclude={*left_out, *(() if self.card else ("card",))})


COST_ONLY = frozenset(
    {"records", "batch_size", "max_batch_size", "warmup", "timing_repeats", "key_env", "plain_http"}
    | {"connect_s", "first_byte_s", "idle_s", "whole_s", "tries", "stream"}
)
"""Arguments that change what an answer costs, or where it is kept, but not the answer."""


def _nested(text: str) -> dict[str, Any]:
    """The fields that "a:1+b.c:x" names; values are JSON where they can be, else texts."""
    found: dict[str, Any] = {}
    for part in text.split("+") if text else ():
        name, colon, value = part.partition(":")
        if not colon or not re.fullmatch(r"\w+(\.\w+)*", name):
            raise ValueError('accepted: "name:value", several joined by "+", a dot to nest')
        *groups, last = name.split(".")
        first = name.split(".")[0]
        if first in OWN_FIELDS:
            raise ValueError(f"{first} is no field for extra; it has an argument of its own")
        place = found
        for group in groups:
            place = place.setdefault(group, {})
            if not isinstance(place, dict):
                raise ValueError(f"{group} is both a value and a group of fields")
        place[last] = _value(value)
    return found


def _value(text: str) -> object:
    try:
        return json.loads(text)
    except ValueError:
        return text
