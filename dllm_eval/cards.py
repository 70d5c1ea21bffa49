"""Model cards: one checkpoint's published facts, read from YAML.

Knows the cards' schema and where they lie; knows no weights and imports neither torch nor lm-eval.
The loader checks ids against a card, and `dllm-eval models` prints them. Every published score
names its source.
"""

from functools import cache
from importlib import import_module
from pathlib import Path
from typing import Literal

import yaml
from pydantic import BaseModel, ConfigDict, ValidationError, model_validator

from dllm_eval.errors import UsageError
from dllm_eval.families import Attention, Noise
from dllm_eval.registry import FAMILIES, MODEL_TYPES


class _Part(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class DecodingSettings(_Part):
    """How a published score was decoded; None where its source does not say."""

    gen_length: int | None = None
    block_length: int | None = None
    steps: int | None = None
    cfg_scale: float | None = None
    num_fewshot: int | None = None
    eos_policy: Literal["none", "forbid", "last"] | None = None
    samples: int | None = None
    """Monte-Carlo samples of a likelihood score."""


class PublishedScore(_Part):
    """One number as its source prints it, in percent unless the metric says otherwise."""

    task: str
    value: float
    metric: str
    harness: str
    settings: DecodingSettings = DecodingSettings()
    source: str


class Card(_Part):
    """One checkpoint. A report-only card has scores and no loader."""

    name: str
    hub_id: str | None = None
    kind: Literal["checkpoint", "report_only"] = "checkpoint"
    family: str | None = None
    native_class: str | None = None
    mask_id: int | None = None
    eos_id: int | None = None
    eot_id: int | None = None
    noise: Noise | None = None
    attention: Attention | None = None
    logits_shift: int | None = None
    context_length: int | None = None
    licence: str | None = None
    likelihood: str = ""
    """What a likelihood of this model is: exact, a bound, or nothing."""
    notes: list[str] = []
    scores: list[PublishedScore] = []

    @model_validator(mode="after")
    def _loadable(self) -> "Card":
        if self.kind == "checkpoint" and self.family not in FAMILIES:
            raise ValueError(f"family {self.family!r} is not one of {', '.join(FAMILIES)}")
        return self


def cards_folder() -> Path:
    """Where the shipped cards lie."""
    module = import_module("dllm_eval.adapters")
    return Path(str(module.__file__)).parent / "cards"


def read_card(path: Path) -> Card:
    """One card; a bad one is a `UsageError` naming the file and the field."""
    try:
        content = yaml.safe_load(path.read_text(encoding="utf-8"))
    except yaml.YAMLError as error:
        line = " ".join(str(error).split())
        raise UsageError(f"card {path} is not valid YAML: {line}") from error
    try:
        return Card.model_validate(content)
    except ValidationError as error:
        first = error.errors()[0]
        field = ".".join(str(part) for part in first["loc"]) or "card"
        message = first["msg"].removeprefix("Value error, ")
        raise UsageError(f"card {path}: {field}: {message}") from error


@cache
def load_cards(folder: Path | None = None) -> tuple[Card, ...]:
    """Every card of a folder, by file name; None means the shipped ones."""
    cards = tuple(read_card(path) for path in sorted((folder or cards_folder()).glob("*.yaml")))
    names = [card.name for card in cards]
    twice = sorted({name for name in names if names.count(name) > 1})
    if twice:
        raise UsageError(f"two cards are named {twice[0]!r}")
    return cards


def card_for(name_or_path: str) -> Card | None:
    """The card of a card name, a hub id, or a folder of a card's name; case does not matter."""
    wanted = name_or_path.lower()
    for card in load_cards():
        name = card.name.lower()
        if wanted in (name, (card.hub_id or name).lower()) or Path(wanted).name == name:
            return card
    return None


class FamilyRow(_Part):
    """One line of the table of families."""

    family: str
    model_types: list[str]
    cards: list[str]
    generation: str
    infilling: str
    likelihood: str


def family_table() -> list[FamilyRow]:
    """What each family that loads today supports."""
    return [
        FamilyRow(
            family=family,
            model_types=sorted(kind for kind, name in MODEL_TYPES.items() if name == family),
            cards=[card.name for card in load_cards() if card.family == family],
            generation="any sampler, any step count, semi-autoregressive blocks, guidance",
            infilling="native, between prefix and suffix",
            likelihood=next((c.likelihood for c in load_cards() if c.family == family), ""),
        )
        for family in FAMILIES
    ]
