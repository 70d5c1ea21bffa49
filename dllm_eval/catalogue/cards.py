"""Model cards: one checkpoint's published facts, read from YAML.

Knows the cards' schema and where they lie; knows no weights and imports neither torch nor lm-eval.
The loader checks ids against a card, `published.py` turns its scores into commands, and
`dllm-eval models` prints them. Every published score names its source and how it was read.
"""

import re
from dataclasses import dataclass
from functools import cache
from importlib import import_module
from pathlib import Path
from typing import Any, Literal, Self

import yaml
from pydantic import Field, ValidationError, model_validator

from dllm_eval.catalogue.api_facts import ApiFacts
from dllm_eval.catalogue.capabilities import CAPABILITIES
from dllm_eval.catalogue.parts import Evidence, Part
from dllm_eval.errors import UsageError
from dllm_eval.families import Attention, Noise

PROTOCOL = ("num_fewshot", "chat_template", "infill_length", "samples", "target_end")
"""The fields of `DecodingSettings` that are no sampler setting."""

_Loader: type[Any] = getattr(yaml, "CSafeLoader", yaml.SafeLoader)


class DecodingSettings(Part):
    """How a published score was decoded, in the words of `SamplerConfig`.

    A field that is not in `model_fields_set` is one the source does not state; a stated None means
    that the rule is switched off.
    """

    sampler: str | None = None
    schedule: str | None = None
    steps: int | None = None
    """Over the whole canvas."""
    steps_per_block: int | None = None
    """Where a default has to fit a canvas of any length."""
    gen_length: int | None = None
    block_length: int | None = None
    sub_block_length: int | None = None
    initial_length: int | None = None
    temperature: float | None = None
    final_temperature: float | None = None
    top_k: int | None = None
    top_p: float | None = None
    top_p_cut: str | None = None
    confidence: str | None = None
    threshold: float | None = None
    strict_threshold: bool | None = None
    at_least: str | None = None
    position_temperature: float | None = None
    first_token: str | None = None
    edit_threshold: float | None = None
    max_edit_steps: int | None = None
    window: int | None = None
    entropy_threshold: float | None = None
    position_penalty: float | None = None
    entropy_bound: float | None = None
    stop_entropy: float | None = None
    stable_steps: int | None = None
    transition: str | None = None
    cfg_scale: float | None = None
    eos_policy: Literal["none", "forbid", "last"] | None = None
    stop: Literal["none", "eos"] | None = None
    num_fewshot: int | None = None
    chat_template: bool | None = None
    infill_length: str | None = None
    samples: int | None = None
    """Monte-Carlo samples of a likelihood score."""
    target_end: Literal["none", "eos"] | None = None
    """What stood behind the target of a likelihood score."""

    def stated(self) -> dict[str, Any]:
        """What the source states, in the order of the fields."""
        own = type(self).model_fields
        return {name: getattr(self, name) for name in own if name in self.model_fields_set}

    def sampler_settings(self) -> dict[str, Any]:
        """The stated settings of the sampler, without the protocol's."""
        return {name: value for name, value in self.stated().items() if name not in PROTOCOL}


class PublishedScore(Part):
    """One number as its source prints it, in percent unless the metric says otherwise."""

    task: str
    """The benchmark, in one spelling for all cards."""
    value: float
    metric: str
    harness: str
    """What computed it: "lm-eval", "OpenCompass", "internal" and the like."""
    asked_by: Literal["generation", "likelihood"] = "generation"
    lm_eval_task: str | None = None
    """The lm-eval task its source ran, where it says so."""
    variant: str | None = None
    """What tells it from a score with the same task and settings, for example "S mode"."""
    settings: DecodingSettings = DecodingSettings()
    source: str
    evidence: Evidence = "repository"
    remark: str | None = None


class Card(Part):
    """One model.

    An unpublished checkpoint has no weights, a model behind an API answers over the network only,
    and a report-only one has neither weights nor a server.
    """

    name: str
    hub_id: str | None = None
    kind: Literal["checkpoint", "unpublished", "api", "report_only"] = "checkpoint"
    family: str | None = None
    revision: str | None = Field(default=None, pattern="^([0-9a-f]{40}|refs/pr/[0-9]+)$")
    """The commit of the weights, where it could be read, or the pull request that has them."""
    model_type: str | None = None
    """The published config.json's, where it could be read."""
    paper: str | None = None
    native_class: str | None = None
    weight_names: str | None = None
    """The file whose table maps published tensor names to native parameters."""
    mask_id: int | None = None
    eos_id: int | None = None
    eot_id: int | None = None
    noise: Noise | None = None
    attention: Attention | None = None
    logits_shift: int | None = None
    block_length: int | None = None
    context_length: int | None = None
    licence: str | None = None
    """Of the weights, where a source for it could be read."""
    likelihood: str = ""
    """What a likelihood of this model is: exact, a bound, or nothing."""
    rule: str = ""
    """Which published decoding rule the loop follows for it."""
    decoding: DecodingSettings = DecodingSettings()
    """The published default settings."""
    api: ApiFacts | None = None
    """How it is reached, if its kind is "api"; its name is then the one that the server knows."""
    notes: list[str] = Field(default_factory=list)
    scores: list[PublishedScore] = Field(default_factory=list)

    @property
    def where(self) -> str:
        """The hub id, or in words why there is none."""
        absent = {"unpublished": "no checkpoint published", "report_only": "report only"}
        if self.api is not None:
            return f"API, {self.api.host}"
        return self.hub_id or absent.get(self.kind, "not on the hub")

    @model_validator(mode="after")
    def _reachable(self) -> Self:
        if (self.kind == "api") != (self.api is not None):
            raise ValueError("a card has a section api exactly if its kind is api")
        return self

    @model_validator(mode="after")
    def _loadable(self) -> Self:
        if self.kind in ("report_only", "api"):
            return self
        if self.family not in CAPABILITIES:
            raise ValueError(f"family {self.family!r} is not one of {', '.join(CAPABILITIES)}")
        if self.kind == "unpublished" and self.hub_id is not None:
            raise ValueError(f"an unpublished checkpoint has no hub_id, here {self.hub_id!r}")
        return self


def cards_folder() -> Path:
    """Where the shipped cards lie."""
    module = import_module("dllm_eval.adapters")
    return Path(str(module.__file__)).parent / "cards"


def read_card(path: Path) -> Card:
    """One card; a bad one is a `UsageError` naming the file and the field."""
    try:
        return Card.model_validate(_content(path))
    except ValidationError as error:
        first = error.errors()[0]
        field = ".".join(str(part) for part in first["loc"]) or "card"
        message = first["msg"].removeprefix("Value error, ")
        raise UsageError(f"card {path}: {field}: {message}") from error


def _content(path: Path) -> object:
    try:
        return yaml.load(path.read_text(encoding="utf-8"), Loader=_Loader)
    except UnicodeDecodeError as error:
        raise UsageError(f"card {path} is not UTF-8 text: {error.reason}") from error
    except (yaml.YAMLError, ValueError, RecursionError) as error:
        line = " ".join(str(error).split())
        raise UsageError(f"card {path} is not valid YAML: {line}") from error
    except OSError as error:
        raise UsageError(f"card {path} cannot be read: {error.strerror}") from error


@dataclass(frozen=True, kw_only=True)
class BrokenCard:
    """A file that is no card."""

    names: frozenset[str]
    """What would have asked for it, in small letters: its file's name, and those that it states."""
    message: str
    """One line: the file, and what is wrong with it."""


def load_cards(folder: Path | None = None) -> tuple[Card, ...]:
    """Every card of a folder, by file name, without broken ones; None means the shipped ones."""
    return _read_all(folder)[0]


def broken_cards(folder: Path | None = None) -> tuple[BrokenCard, ...]:
    """The files of a folder that are no cards: only who asks for one of them has to know."""
    return _read_all(folder)[1]


@cache
def _read_all(folder: Path | None) -> tuple[tuple[Card, ...], tuple[BrokenCard, ...]]:
    cards: dict[str, tuple[Card, Path]] = {}
    broken: list[BrokenCard] = []
    for path in sorted((folder or cards_folder()).glob("*.yaml")):
        try:
            card = read_card(path)
            if card.name in cards:
                other = cards[card.name][1].name
                raise UsageError(f"card {path}: two cards are named {card.name!r}, see {other}")
        except UsageError as error:
            broken.append(BrokenCard(names=_names_of(path), message=str(error)))
        else:
            cards[card.name] = (card, path)
    return tuple(card for card, _ in cards.values()), tuple(broken)


def _names_of(path: Path) -> frozenset[str]:
    """As far as the file can be read at all."""
    try:
        content = _content(path)
    except UsageError:
        content = None
    stated = content if isinstance(content, dict) else {}
    found = (path.stem, stated.get("name"), stated.get("hub_id"))
    return frozenset(name.lower() for name in found if isinstance(name, str))


def card_for(name_or_path: str) -> Card | None:
    """The card of a card name, a hub id, or a folder of a card's name; case does not matter.

    Raises:
        UsageError: That card is broken.
    """
    wanted = name_or_path.lower()
    for card in load_cards():
        name = card.name.lower()
        if wanted in (name, (card.hub_id or name).lower()) or Path(wanted).name == name:
            return card
    for each in broken_cards():
        if not each.names.isdisjoint((wanted, Path(wanted).name)):
            raise UsageError(each.message)
    return None


def cards_of(family: str) -> list[Card]:
    """The cards of a family; numbers in their names sort as numbers."""
    return sorted((card for card in load_cards() if card.family == family), key=_natural)


def _natural(card: Card) -> list[tuple[float, str]]:
    parts = re.split(r"(\d+(?:\.\d+)?)", card.name.lower())
    return [(float(part), "") if part[:1].isdigit() else (-1.0, part) for part in parts]
