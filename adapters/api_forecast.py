"""What a server's answers will cost at most, told before any is asked for.

Knows arguments, cards' prices and the texts of requests; opens no connection. Sweeps reach it by
`registry.FORECASTS` and `registry.COSTS`. Forward passes are not told: no server reports any.
"""

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from dllm_eval.endpoint.ask import Route
from dllm_eval.errors import UsageError
from dllm_eval.measure.work import Request, Work

from .api import ApiLM
from .api_facts import Service, service_of

TEMPLATE_TOKENS = 64
"""Room for what a server's chat template puts around the messages of one request."""

MILLION = 1_000_000


def forwards(given: Mapping[str, Any], folder: Path | None) -> Callable[[Request], Work | None]:
    """A forecast of forward passes that tells none.

    Raises:
        UsageError: A bad argument.
    """
    del folder
    service_of(ApiLM.name, ApiLM.parsed(given))
    return lambda request: None  # noqa: ARG005 - a forecast's shape


def dollars(given: Mapping[str, Any]) -> Callable[[Request], float | None] | None:
    """What a request costs at most, in US dollars; None where no card has prices.

    A prompt has at most as many tokens as bytes, because a token spells at least one, and 64 more
    for the chat template; an answer has at most its limit, room for reasoning included. Tries that
    a server bills without answering are not in it.

    Raises:
        UsageError: A bad argument.
    """
    service = service_of(ApiLM.name, ApiLM.parsed(given))
    prices = None if service.facts is None else service.facts.prices
    if prices is None:
        return None

    def cost(request: Request) -> float | None:
        if request.request_type != "generate_until":
            return None
        limits = [n for n in (service.arguments.gen_length, request.most_tokens) if n is not None]
        answer = min(limits, default=service.arguments.max_gen_toks)
        try:
            written = service.max_tokens(_route(service, request), answer)
        except UsageError:  # it has no such route, and says so when it is asked
            return None
        # Several gaps are asked in turn, each behind all texts and answers before it.
        gaps = max(1, len(request.middles))
        texts = sum(len(text.encode()) for text in (request.prompt, *request.texts))
        read = texts + TEMPLATE_TOKENS + (gaps - 1) * written
        return gaps * (
            read * prices.input_usd_per_million / MILLION
            + written * prices.output_usd_per_million / MILLION
        )

    return cost


def _route(service: Service, request: Request) -> Route:
    if request.middles and service.fills_in != "prefix_only":
        return "fim" if service.fills_in == "fim" else "completions"
    return service.text_route(chat=False)
