"""How a model is reached that answers over the network only: a card's section `api`.

Plain data with sources; opens no connection. `cards.py` reads it, `adapters/api_facts.py` goes by
it, and `dllm-eval models` shows it.
"""

from typing import Any, Literal
from urllib.parse import urlsplit

from pydantic import Field

from dllm_eval.catalogue.parts import Evidence, Part

RouteName = Literal["chat", "completions", "fim", "edit"]


class ApiRoute(Part):
    """What one route of a server takes."""

    max_output: int | None = None
    """Most tokens that it writes, reasoning included."""
    default_output: int | None = None
    """As many where a request says none."""
    temperature: tuple[float, float] | None = None
    """The lowest and the highest that it takes; None where no source states a range."""
    default_temperature: float | None = None
    unsupported: tuple[str, ...] = ()
    """Fields of a body that its description does not have: they are not sent."""
    body: dict[str, Any] = Field(default_factory=dict)
    """Further fields that are sent, because what an absent one means would change the answers."""


class Prices(Part):
    """What answers cost."""

    input_usd_per_million: float
    output_usd_per_million: float
    """Reasoning tokens are output."""
    source: str
    """Where it was read, and of which day it is."""


class Dial(Part):
    """An argument that trades speed for quality."""

    argument: str
    values: tuple[str, ...] = Field(min_length=2)
    """From the fastest on."""
    default: str
    no_reasoning: tuple[str, ...] = ()
    """The values at which no token goes to reasoning."""


class ApiFacts(Part):
    """Where a model is served, and on which terms."""

    base_url: str
    key_env: str
    """The environment variable in which its users keep their key."""
    routes: dict[RouteName, ApiRoute] = Field(min_length=1)
    prices: Prices | None = None
    dial: Dial | None = None
    source: str
    """Of routes, limits and dial."""
    evidence: Evidence = "page"

    @property
    def host(self) -> str:
        """Who serves it."""
        return urlsplit(self.base_url).netloc
