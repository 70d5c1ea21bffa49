"""What lm-eval may pass to `dllm-api`, checked once.

Knows names, types and ranges; knows no card, no request and no connection. `api.py` parses by it,
`api_facts.py` fills in what a card says, and the engines' arguments derive from it.
"""

import json
import math
import re
from collections.abc import Collection
from typing import Annotated, Any, Literal
from urllib.parse import urlsplit

from pydantic import BaseModel, ConfigDict, Field, field_validator

from dllm_eval.catalogue.arguments_reading import Accepts

OWN_FIELDS = (
    *("model", "messages", "prompt", "suffix", "max_tokens", "max_completion_tokens", "stop"),
    *("temperature", "seed", "stream", "stream_options", "diffusing", "n", "reasoning_effort"),
)
"""Fields of a request's body that arguments of their own decide."""


class ApiArguments(BaseModel):
    """The arguments of `dllm-api`."""

    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)

    model: str = ""
    """The server's name for the model; needed, here or as `pretrained`, which says the same."""
    base_url: Annotated[str, Accepts("http://HOST:PORT/v1, https://HOST/v1")] = ""
    """Where the routes begin; unset is the card's address. An address of its own uses no card,
    unless `card` names one."""
    card: Annotated[str, Accepts("a card with an API, such as mercury-2")] = ""
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
    """The environment variable that has the key; unset is the card's, at the card's own address."""
    plain_http: bool = False
    """Whether a key may travel unencrypted to another machine."""
    kind: Literal["auto", "diffusion", "autoregressive"] = "auto"
    """"auto" is diffusion where a card of the model says so."""
    batch_size: int = Field(default=1, ge=1)
    """How many requests are in flight at once."""
    max_batch_size: None = None
    """lm-eval passes it; it has no meaning here."""
    stream: bool = True
    """Whether answers are streamed, which times their first visible text."""
    drafts: bool = False
    """Whether a diffusion server is asked for its intermediate states; they replace each other, and
    only the last one is kept."""
    reasoning_effort: Annotated[
        str | None, Accepts("the server's words; of Mercury: instant, low, medium, high")
    ] = None
    """How long the model may think before it answers; unset is the server's own."""
    reasoning_room: int | None = Field(default=None, ge=0)
    """Tokens added to each limit where reasoning shares it with the answer; unset is the card's."""
    temperature: Annotated[
        float | Literal["auto", "server"], Accepts("at least 0, auto, server")
    ] = "auto"
    """"auto" is 0, or the server's own where the card says that it takes no 0; "server" sends
    none."""
    gen_length: int | None = Field(default=None, ge=1)
    """Most tokens per answer, whatever a task asks; unset leaves it to the task."""
    max_gen_toks: int = Field(default=256, ge=1)
    """Most tokens per answer where neither `gen_length` nor the task says."""
    most_stops: int = Field(default=4, ge=0)
    """How many of a task's stop strings a server is told; OpenAI's API takes four (openai-python
    3.54.0, `types/chat/completion_create_params.py`). Answers are cut at all of them here."""
    seed: int = 0
    """Sent with every request, another one for each repeat, to servers that take seeds."""
    limit_field: Literal["max_tokens", "max_completion_tokens"] = "max_tokens"
    """What the body calls the token limit; OpenAI's reasoning models want the second name."""
    extra: Annotated[str, Accepts("name:value+name:value")] = ""
    """Further fields of every body; a dot in a name nests: "top_p:0.9+vllm_xargs.steps:8"."""
    tokenizer: Annotated[str | None, Accepts("a folder")] = None
    """Whose tokenizer counts visible tokens; unset leaves that to the server, and dllm-engine takes
    the checkpoint's own where it is a folder."""
    connect_s: float = Field(default=10.0, gt=0)
    """Seconds until the connection stands, TLS included; of one try, as the next three."""
    first_byte_s: float = Field(default=120.0, gt=0)
    """Seconds from sending to the first byte of a streamed answer."""
    idle_s: float = Field(default=60.0, gt=0)
    """Seconds between two pieces of a streamed answer."""
    whole_s: float = Field(default=600.0, gt=0)
    """Seconds from sending to the last byte."""
    tries: int = Field(default=6, ge=1)
    """How often a request is sent at most; what is tried again stands in docs/servers.md."""
    records: Annotated[str | None, Accepts("a file")] = None
    """One row per request is appended to it, and what it holds is not asked again; unset keeps the
    records in memory."""
    warmup: int = Field(default=0, ge=0)
    """Untimed requests before the first timed one; they are paid for."""
    timing_repeats: int = Field(default=1, ge=1)
    """How often each request is sent and timed, and paid for; its seconds are the median."""

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
        if any(one.isspace() for one in value):
            raise ValueError("accepted: an address without spaces")
        parts = urlsplit(value)
        if parts.port == 0:  # asking for the port refuses one that is no number
            raise ValueError("accepted: a port from 1 to 65535")
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
        if last in place:
            raise ValueError(f"{name} stands there twice; keep one of them")
        place[last] = _value(value)
    return found


def _value(text: str) -> object:
    try:
        return json.loads(text, parse_constant=_no_number, parse_float=_number)
    except json.JSONDecodeError:
        return text
    except RecursionError:
        raise ValueError("it is nested too deeply") from None


def _no_number(text: str) -> object:
    raise ValueError(f"{text} is no number that JSON has; accepted: finite numbers")


def _number(text: str) -> float:
    found = float(text)
    return found if math.isfinite(found) else float(str(_no_number(text)))
