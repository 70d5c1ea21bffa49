"""What tells one kind of server from another: routes, fields, where it lists models, its errors.

Facts with their source; knows no socket and no model. `protocol_server.py` plays one of them.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

EFFORTS = {"instant": 0, "low": 4, "medium": 16, "high": 64}
"""Tokens that a thinking model spends, by `reasoning_effort`; the numbers are made up."""

COMPLETIONS = frozenset(
    {
        *("model", "prompt", "suffix", "max_tokens", "temperature", "top_p", "stop", "seed"),
        *("stream", "stream_options", "n", "echo", "logprobs", "best_of", "user", "logit_bias"),
        *("presence_penalty", "frequency_penalty"),
    }
)
CHAT = frozenset(
    {
        *("model", "messages", "max_tokens", "max_completion_tokens", "temperature", "top_p"),
        *("stop", "seed", "stream", "stream_options", "n", "user", "logprobs", "top_logprobs"),
        *("presence_penalty", "frequency_penalty", "logit_bias", "tools", "tool_choice"),
        *("response_format", "reasoning_effort"),
    }
)
MERCURY_FIELDS = {
    "chat": frozenset(
        {
            *("messages", "model", "max_tokens", "temperature", "stop", "tools", "tool_choice"),
            *("stream", "stream_options", "diffusing", "extra_body", "realtime"),
            *("response_format", "reasoning_summary", "reasoning_summary_wait", "reasoning_effort"),
        }
    ),
    "fim": frozenset(
        {
            *("prompt", "suffix", "model", "max_tokens", "top_p", "top_k", "frequency_penalty"),
            *("presence_penalty", "repetition_penalty", "stop", "stream", "stream_options"),
        }
    ),
    "edit": frozenset(
        {"messages", "model", "max_tokens", "temperature", "top_p", "presence_penalty"}
    ),
}
"""api-evangelist/inception, commit 2f784396, openapi/inception-{chat,fim,edit}-api-openapi.yml."""


@dataclass(frozen=True, kw_only=True)
class Flavour:
    """One kind of server."""

    name: str
    fields: Mapping[str, frozenset[str]]
    """Route -> the fields it knows; a route that is not here does not exist."""
    unknown_fields: int | None = None
    """The status that a request with other fields gets; None overlooks them."""
    reasons: bool = False
    """Whether its models think first, by `reasoning_effort`."""
    nested_usage: bool = True
    temperatures: tuple[float, float] | None = None
    """The range of chat temperatures; others are set to the default, with a warning."""
    information: Mapping[str, Any] = field(default_factory=dict)
    """Path -> what GET says there."""
    more_models: tuple[str, ...] = ()
    """Further paths under which models are listed."""


FLAVOURS = {
    flavour.name: flavour
    for flavour in (
        Flavour(
            name="openai",
            fields={"chat": CHAT, "completions": COMPLETIONS},
            unknown_fields=400,
        ),
        # Fields, ranges and errors as in Inception's OpenAPI files. That it refuses other fields is
        # not said there: refusing them here shows what we send.
        Flavour(
            name="mercury",
            fields=MERCURY_FIELDS,
            unknown_fields=400,
            reasons=True,
            nested_usage=False,
            temperatures=(0.5, 1.0),
            more_models=tuple(f"/v1/{name}/completions/models" for name in ("chat", "fim", "edit")),
        ),
        # transformers 5.23.0, cli/serving/utils.py, BaseHandler._validate_request: 422.
        Flavour(
            name="transformers",
            fields={
                "chat": CHAT | {"generation_config", "chat_template_kwargs"},
                "completions": COMPLETIONS | {"generation_config"},
            },
            unknown_fields=422,
        ),
        # vllm-project/vllm, entrypoints/openai, OpenAIBaseModel: other fields are allowed, and
        # passed over with a line in its log.
        Flavour(
            name="vllm",
            fields={
                "chat": CHAT | {"vllm_xargs"},
                "completions": COMPLETIONS | {"vllm_xargs"},
            },
            information={"/version": {"version": "0.33.0"}},
        ),
        # sgl-project/sglang: pydantic models that overlook other fields.
        Flavour(
            name="sglang",
            fields={"chat": CHAT, "completions": COMPLETIONS},
            information={"/get_server_info": {"version": "0.5.23"}},
        ),
        # InternLM/lmdeploy, serve/openai/protocol.py: pydantic models that overlook other fields.
        Flavour(name="lmdeploy", fields={"chat": CHAT, "completions": COMPLETIONS}),
    )
}
