"""What is known of families and checkpoints, as plain data and as a page of the documentation.

Joins capabilities, cards and the registry; prints nothing and imports neither torch nor lm-eval.
`pages.py` lays it out for a terminal; `cli.py` calls both.
"""

from collections.abc import Iterable
from difflib import get_close_matches
from typing import Any

from dllm_eval.catalogue.capabilities import CAPABILITIES, Capabilities
from dllm_eval.catalogue.cards import Card, card_for, cards_of, load_cards
from dllm_eval.catalogue.published import recipe
from dllm_eval.errors import FEW, UsageError
from dllm_eval.registry import FAMILIES, MODEL_TYPES

COLUMNS = ("generate", "infill", "loglikelihood", "rolling", "batch", "cache")

FAMILIES_LEGEND = (
    "Made by `dllm-eval models --out docs/families.md` from `dllm_eval/catalogue/capabilities.py` "
    "and `adapters/cards/`. *bound*: a lower bound on the log-likelihood; *exact* under "
    "likelihood: the model's own; *exact* under cache: finished blocks keep their keys, and no "
    "answer changes."
)


def supports(family: Capabilities) -> dict[str, str]:
    """One word per capability: yes, no, exact or bound."""
    scored = {True: family.likelihood, False: "no"}
    plain = {True: "yes", False: "no"}
    return {
        "generate": plain[family.generate],
        "infill": plain[family.infill],
        "loglikelihood": scored[family.log_likelihood],
        "rolling": scored[family.rolling],
        "batch": plain[family.batch],
        "cache": {True: "exact", False: "no"}[family.cache],
    }


def report_only() -> list[Card]:
    """The cards of models without weights to run."""
    return [card for card in load_cards() if card.kind == "report_only"]


def behind_api() -> list[Card]:
    """The cards of models that answer over the network only."""
    return [card for card in load_cards() if card.kind == "api"]


def supports_of_api(card: Card) -> dict[str, str]:
    """One word per capability of a model behind an API."""
    routes = set() if card.api is None else set(card.api.routes)
    answers, fills = bool(routes & {"chat", "completions"}), "fim" in routes
    return {
        "generate": "yes" if answers else "no",
        "infill": "yes" if fills else "no",
        "loglikelihood": "no",
        "rolling": "no",
        "batch": "yes",
        "cache": "–",
    }


def all_cards() -> list[Card]:
    """Every card: the families in their order, then what has no weights."""
    families = [card for name in CAPABILITIES for card in cards_of(name)]
    return [*families, *behind_api(), *report_only()]


def cards_named(name: str) -> list[Card]:
    """The cards of a family, or the one card of a name.

    Raises:
        UsageError: The name is neither.
    """
    if name.lower() in CAPABILITIES:
        return cards_of(name.lower())
    card = card_for(name)
    if card is None:
        raise unknown_model(name, ())
    return [card]


def unknown_model(name: str, also: Iterable[str]) -> UsageError:
    """The error for a name that is neither, with those that begin so, else the nearest one."""
    known = [*CAPABILITIES, *(card.name for card in load_cards()), *also]
    lowered = {entry.lower(): entry for entry in known}
    begun = [entry for entry in lowered if entry.startswith(name.lower())]
    near = begun[:FEW] or get_close_matches(name.lower(), lowered, n=1)
    shown = " or ".join(repr(lowered[entry]) for entry in near)
    hint = f" (did you mean {shown}?)" if near else ""
    return UsageError(f"unknown model card {name!r}{hint}; `dllm-eval models` lists them all")


def data_of(name: str | None) -> Any:  # noqa: ANN401 - JSON
    """What a page says, as plain data; None for a name that is neither a family nor a card."""
    if name is None:
        return {
            "families": [_family_data(family) for family in CAPABILITIES],
            "cards": [_card_data(card) for card in all_cards()],
        }
    if name.lower() in CAPABILITIES:
        return _family_data(name.lower())
    card = card_for(name)
    return None if card is None else _card_data(card)


def families_markdown() -> str:
    """The overview as a file of the documentation."""
    header = ("family", "models", *COLUMNS, "how it loads")
    lines = ["# Families and checkpoints", "", FAMILIES_LEGEND, ""]
    lines += [_line(header), _line(["---"] * len(header))]
    for name, family in CAPABILITIES.items():
        loads = shared(cards_of(name), "native_class") or "–"
        lines.append(_line([f"`{name}`", family.title, *supports(family).values(), loads]))
    for card in behind_api():
        loads = f"`--model dllm-api`, {card.api.host}" if card.api else ""
        lines.append(_line([f"`{card.name}`", "API", *supports_of_api(card).values(), loads]))
    names = ", ".join(card.name for card in report_only())
    lines += ["", f"Report only, without weights to run: {names}.", "", "## Checkpoints", ""]
    columns = ("checkpoint", "family", "hub id", "context", "licence of the weights", "scores")
    lines += [_line(columns), _line(["---"] * len(columns))]
    for card in all_cards():
        lines.append(
            _line(
                [
                    card.name,
                    f"`{card.family}`" if card.family in CAPABILITIES else "–",
                    card.where,
                    str(card.context_length or "–"),
                    card.licence or "not verified",
                    str(len(card.scores)),
                ]
            )
        )
    return "\n".join([*lines, ""])


def shared(cards: list[Card], field: str) -> str:
    """A field of several cards; where they differ, every value once."""
    found = dict.fromkeys(getattr(card, field) for card in cards)
    return "; ".join(str(value) for value in found if value not in (None, ""))


def model_types(family: str) -> list[str]:
    """The `model_type`s of config.json that are read as this family."""
    return sorted(kind for kind, name in MODEL_TYPES.items() if name == family)


def _family_data(name: str) -> dict[str, Any]:
    return {
        "family": name,
        "title": CAPABILITIES[name].title,
        **supports(CAPABILITIES[name]),
        "loader": FAMILIES.get(name),
        "model_types": model_types(name),
        "cards": [card.name for card in cards_of(name)],
    }


def _card_data(card: Card) -> dict[str, Any]:
    scores = [
        {
            **score.model_dump(exclude={"settings"}),
            "settings": score.settings.stated(),
            "command": recipe(card, score).command,
        }
        for score in card.scores
    ]
    facts = card.model_dump(exclude={"scores", "decoding"})
    return {**facts, "decoding": card.decoding.stated(), "scores": scores}


def _line(cells: Iterable[str]) -> str:
    return "| " + " | ".join(cell.replace("|", "\\|") for cell in cells) + " |"
