"""What a model's card says about the server that answers for it, joined with the arguments.

Knows cards and arguments; knows no request and opens no connection. `api.py`, `api_requests.py` and
`api_forecast.py` ask it.
"""

from dataclasses import dataclass
from typing import Literal
from urllib.parse import urlsplit

from dllm_eval.catalogue.api_facts import ApiFacts, ApiRoute
from dllm_eval.catalogue.cards import Card, card_for, load_cards
from dllm_eval.endpoint.ask import Route
from dllm_eval.errors import UsageError, unknown

from .api_arguments import ApiArguments
from .api_key import names_for

NO_FACTS = ApiRoute()
"""A route of which no card says anything takes whatever is asked."""


@dataclass(frozen=True, kw_only=True)
class Service:
    """A model at a server: arguments, and its card's facts where it is served as the card says."""

    arguments: ApiArguments
    card: Card | None
    base_url: str
    facts: ApiFacts | None
    """None where another server answers for the model than the card's and no argument `card` says
    that its rules hold there, or none has a card."""

    @property
    def host(self) -> str:
        """HOST, or HOST:PORT where the address names a port."""
        return urlsplit(self.base_url).netloc

    @property
    def as_published(self) -> bool:
        """Whether it is the card's own server."""
        return self.facts is not None and self.host == self.facts.host

    @property
    def attached(self) -> bool:
        """Whether it looks like somebody's own server: plain HTTP, or a port in its address."""
        parts = urlsplit(self.base_url)
        return not self.as_published and (parts.scheme == "http" or parts.port is not None)

    @property
    def kind(self) -> Literal["diffusion", "autoregressive"]:
        """Which kind of model it is."""
        if self.arguments.kind != "auto":
            return self.arguments.kind
        return "autoregressive" if self.card is None else "diffusion"

    @property
    def key_names(self) -> tuple[str, ...]:
        """The environment variables that may hold its key."""
        facts = self.facts if self.as_published else None
        published = None if facts is None else facts.key_env
        return names_for(self.arguments.key_env, published, self.base_url)

    @property
    def fills_in(self) -> Literal["fim", "suffix", "prefix_only"]:
        """How a gap is asked."""
        if self.arguments.infill != "auto":
            return self.arguments.infill
        return "fim" if self.facts is not None and "fim" in self.facts.routes else "prefix_only"

    def route(self, name: Route) -> ApiRoute:
        """What is known of a route.

        Raises:
            UsageError: The server does not have it.
        """
        if self.facts is None:
            return NO_FACTS
        if name not in self.facts.routes:
            raise UsageError(
                f"{self.arguments.model} has no {name} route; it has"
                f" {', '.join(self.facts.routes)}{_what_for(self.facts)}"
            )
        return self.facts.routes[name]

    def text_route(self, *, chat: bool) -> Route:
        """The route of a request without a gap.

        Args:
            chat: Whether its prompt is a conversation.

        Raises:
            UsageError: A conversation is to go where only texts go.
        """
        asked = self.arguments.route
        if asked == "auto":
            known = self.facts is not None and "completions" not in self.facts.routes
            return "chat" if chat or known else "completions"
        if chat and asked == "completions":
            raise UsageError(
                "route=completions takes a text, and a chat template was asked for: leave"
                " apply_chat_template off, or pass route=chat, where the server applies its own"
            )
        return asked

    def temperature(self, route: Route) -> float | None:
        """What is sent; None leaves it to the server."""
        asked, facts = self.arguments.temperature, self.route(route)
        if asked == "server" or "temperature" in facts.unsupported:
            return None
        if asked != "auto":
            return float(asked)
        takes_greedy = facts.temperature is None or facts.temperature[0] <= 0
        return 0.0 if takes_greedy else None

    def decodes_at(self, route: Route) -> float | None:
        """The temperature in force; None where only the server knows it."""
        sent = self.temperature(route)
        return self.route(route).default_temperature if sent is None else sent

    def takes_seed(self, route: Route) -> bool:
        """Whether a seed is sent."""
        return "seed" not in self.route(route).unsupported

    def reasoning_room(self, route: Route) -> int:
        """Tokens added to an answer's limit, because the server counts reasoning against it."""
        if self.arguments.reasoning_room is not None:
            return self.arguments.reasoning_room
        dial = None if self.facts is None else self.facts.dial
        if dial is None or route != "chat":
            return 0
        effort = self.arguments.reasoning_effort or dial.default
        return 0 if effort in dial.no_reasoning else self.route(route).default_output or 0

    def most_stops(self, route: Route) -> int:
        """How many stop strings are sent. Answers are cut at all of them here in any case.

        None where a model reasons first, because servers cut its reasoning at them as well (vLLM
        001999d2, `v1/engine/detokenizer.py:IncrementalDetokenizer.update`, looks for them in all
        that is written, and OpenAI's reasoning models take none).
        """
        if "stop" in self.route(route).unsupported or self.reasoning_room(route):
            return 0
        return self.arguments.most_stops

    def max_tokens(self, route: Route, answer: int) -> int:
        """The limit that is sent for an answer of at most so many tokens."""
        most = self.route(route).max_output
        wanted = answer + self.reasoning_room(route)
        return wanted if most is None else min(wanted, most)


def service_of(name: str, arguments: ApiArguments, *, base_url: str = "") -> Service:
    """Joins arguments with the model's card, and checks the one against the other.

    Args:
        name: lm-eval's name of the model class, for messages.
        arguments: As parsed.
        base_url: Where it is served, if neither the arguments nor a card say so.

    Raises:
        UsageError: The model or its address is missing, or the card refuses a value.
    """
    if not arguments.model:
        raise UsageError(f"{name} needs the argument model, the server's name for it")
    if arguments.drafts and not arguments.stream:
        raise UsageError("drafts=True needs stream=True: drafts exist in streams only")
    if arguments.reasoning_effort is not None and arguments.route not in ("auto", "chat"):
        raise no_effort(arguments.route)
    if arguments.reasoning_effort is not None and arguments.infill in ("fim", "suffix"):
        raise UsageError(
            f"reasoning_effort means nothing to gaps that are filled by infill={arguments.infill}; "
            "leave one of the two out, or pass infill=prefix_only"
        )
    card = _named(arguments) if arguments.card else card_for(arguments.model)
    if card is not None and card.kind == "report_only":
        raise UsageError(
            f"model {arguments.model!r} is no longer, or was never, offered: its card is report"
            f" only; `dllm-eval models` lists those with an API ({', '.join(_offered())})"
        )
    published = None if card is None else card.api
    where = arguments.base_url or base_url or (published.base_url if published is not None else "")
    if not where:
        raise UsageError(
            f"{name} needs the argument base_url, for example http://127.0.0.1:8000/v1: no card"
            f" says where {arguments.model!r} is served (those that do: {', '.join(_offered())})"
        )
    same = published is not None and urlsplit(where).netloc == published.host
    holds = same or bool(arguments.card)
    service = Service(
        arguments=arguments, card=card, base_url=where, facts=published if holds else None
    )
    if service.facts is not None:
        _check(service, service.facts)
    return service


def check_protocol(service: Service, *, chat: bool) -> None:
    """Compares the arguments with the way in which a suite's texts are sent.

    Args:
        service: The server.
        chat: Whether a chat template is applied.

    Raises:
        UsageError: Every request of the suite would be refused: an effort goes to the chat route
            alone, and a conversation to no route for texts.
    """
    if service.fills_in != "prefix_only":  # gaps take another route, and only tasks have gaps
        return
    route = service.text_route(chat=chat)
    if service.arguments.reasoning_effort is not None and route != "chat":
        raise no_effort(route)


def no_effort(route: str) -> UsageError:
    """The error for an effort on a route that has no field for it."""
    return UsageError(
        f"reasoning_effort means nothing to the {route} route; leave it unset, or have requests go"
        " to the chat route (route=chat, or apply_chat_template)"
    )


def _named(arguments: ApiArguments) -> Card:
    """The card of the argument `card`."""
    name = arguments.card
    if not arguments.base_url:
        raise UsageError(
            f"card={name} needs the argument base_url: it says whose rules hold at an address of"
            f" your own; at the card's own address model={name} is enough"
        )
    card = card_for(name)
    if card is None or card.api is None:
        raise unknown("card with an API", name, _offered())
    return card


def _check(service: Service, facts: ApiFacts) -> None:
    asked = service.arguments
    effort = asked.reasoning_effort
    if effort is not None and facts.dial is None:
        raise UsageError(f"reasoning_effort means nothing to {asked.model}; leave it unset")
    if effort is not None and facts.dial is not None and effort not in facts.dial.values:
        raise UsageError(
            f"reasoning_effort={effort!r} of {asked.model}; accepted: "
            f"{', '.join(facts.dial.values)}"
        )
    if asked.route != "auto":
        service.route(asked.route)
    if asked.infill in ("fim", "suffix"):
        service.route("fim" if asked.infill == "fim" else "completions")
    if isinstance(asked.temperature, float | int):
        _check_temperature(float(asked.temperature), asked.model, facts)


def _check_temperature(asked: float, model: str, facts: ApiFacts) -> None:
    taken = [route for route in facts.routes.values() if "temperature" not in route.unsupported]
    if not taken:
        raise UsageError(f"{model} takes no temperature; leave it unset")
    for route in taken:
        lowest, highest = route.temperature or (asked, asked)
        if not lowest <= asked <= highest:
            raise UsageError(
                f"temperature={asked:g} of {model}; accepted: {lowest:g} to {highest:g}, or server"
                " for the server's own"
            )


def _what_for(facts: ApiFacts) -> str:
    """What a server without a route for texts can be asked."""
    texts = {"chat", "completions"} & set(facts.routes)
    return "" if texts else ": it is asked to fill in gaps (an infilling task), not to answer"


def _offered() -> list[str]:
    return [card.name for card in load_cards() if card.api is not None]
