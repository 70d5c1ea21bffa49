"""The pages of `dllm-eval models` for a terminal: all families, one family, one card.

Lays out what `index.py` and the cards know, as rich tables and as lines that must not be
broken (commands). Prints nothing itself; called by `cli.py`.
"""

from collections.abc import Iterable, Sequence
from typing import Any

from rich.box import SIMPLE_HEAD
from rich.console import RenderableType
from rich.table import Table

from dllm_eval.catalogue.api_page import api_command, api_lines
from dllm_eval.catalogue.capabilities import CAPABILITIES
from dllm_eval.catalogue.cards import Card, card_for, cards_of
from dllm_eval.catalogue.index import (
    COLUMNS,
    all_cards,
    behind_api,
    model_types,
    report_only,
    shared,
    supports,
    supports_of_api,
)
from dllm_eval.catalogue.published import recipe
from dllm_eval.registry import FAMILIES

Page = Sequence[RenderableType]
"""Tables wrap to the terminal; plain strings are lines that stay whole."""

FAMILY_WIDTH = 16
"""Of the names of families, which are never broken; names of single models may be."""

HINT = (
    "dllm-eval models NAME        a family or a checkpoint: settings, scores, sources",
    "dllm-eval models --reported  published scores against reproduced ones",
)


def overview() -> Page:
    """Every family with what it supports, then every checkpoint."""
    families = _table()
    families.add_column("family", min_width=FAMILY_WIDTH)
    for column in COLUMNS:
        families.add_column(column.replace("loglikelihood", "log\nlikelihood"), no_wrap=True)
    families.add_column("cards", min_width=6, no_wrap=True)
    for name, family in CAPABILITIES.items():
        families.add_row(name, *supports(family).values(), str(len(cards_of(name))))
    for card in behind_api():
        families.add_row(card.name, *supports_of_api(card).values(), "API")
    for card in report_only():
        families.add_row(card.name, *["–"] * len(COLUMNS), "report\nonly")
    return [families, *_missing_loaders(), _card_table(all_cards()), *HINT]


def page_of(name: str) -> Page | None:
    """The page of a family or a card; None for another name."""
    if name.lower() in CAPABILITIES:
        return _family_page(name.lower())
    card = card_for(name)
    return None if card is None else _card_page(card)


def _missing_loaders() -> Page:
    missing = [name for name in CAPABILITIES if name not in FAMILIES]
    return [f"not loadable in this version: {', '.join(missing)}"] if missing else []


def _family_page(name: str) -> Page:
    family, cards = CAPABILITIES[name], cards_of(name)
    facts = {
        "family": f"{name}: {family.title}",
        "supports": ", ".join(f"{k} {v}" for k, v in supports(family).items()),
        "loads by": FAMILIES.get(name, "nothing in this version"),
        "model_type": ", ".join(model_types(name)) or "none; pass family=" + name,
        "native class": shared(cards, "native_class"),
        "tensor names": shared(cards, "weight_names"),
        "noise": shared(cards, "noise"),
        "attention": shared(cards, "attention"),
        "logits shift": shared(cards, "logits_shift"),
        "block length": shared(cards, "block_length"),
        "likelihood": shared(cards, "likelihood"),
        "rule": shared(cards, "rule"),
        "defaults": _shared_defaults(cards),
    }
    return [_facts(facts), _card_table(cards)]


def _table() -> Table:
    return Table(box=SIMPLE_HEAD, pad_edge=False, padding=(0, 1, 0, 0))


def _card_table(cards: Iterable[Card]) -> Table:
    table = _table()
    for column in ("checkpoint", "hub id", "scores"):
        table.add_column(column)
    for card in cards:
        table.add_row(card.name, card.where, str(len(card.scores) or "–"))
    return table


def _card_page(card: Card) -> Page:
    shown = {
        "card": card.name,
        "hub id": card.where if card.api is None else None,
        "revision": card.revision,
        "paper": card.paper,
        "family": card.family,
        "model_type": card.model_type,
        "native class": card.native_class,
        "tensor names": card.weight_names,
        "mask id": card.mask_id,
        "end of text": card.eos_id,
        "end of turn": card.eot_id,
        "noise": card.noise,
        "attention": card.attention,
        "logits shift": card.logits_shift,
        "block length": card.block_length,
        "context": card.context_length and f"{card.context_length} tokens",
        "licence": card.licence,
        "likelihood": card.likelihood,
        "rule": card.rule,
        "defaults": _settings(card.decoding.stated()),
        **({} if card.api is None else api_lines(card.api)),
    }
    page = [_facts(shown)]
    if card.notes:
        page.append(_bullets(card.notes))
    if card.scores:
        page += _score_tables(card)
    return [*page, *_how_to(card)]


def _score_tables(card: Card) -> list[Table]:
    table = _table()
    for column in ("task", "score", "metric", "harness", "settings", "source"):
        table.add_column(column)
    sources: dict[str, int] = {}
    protocols: dict[str, int] = {}
    for score in card.scores:
        settings = _settings(score.settings.stated())
        number = protocols.setdefault(settings, len(protocols) + 1) if settings else "not stated"
        source = sources.setdefault(score.source, len(sources) + 1)
        task = score.task if score.variant is None else f"{score.task} ({score.variant})"
        value = f"{score.value:g}"
        table.add_row(task, value, score.metric, score.harness, str(number), str(source))
    read = {score.source: _read(score.evidence) for score in card.scores}
    remarks = dict.fromkeys(f"{s.task}: {s.remark}" for s in card.scores if s.remark)
    return [
        table,
        _numbered("settings", protocols),
        _numbered("source", {f"{text} ({read[text]})": n for text, n in sources.items()}),
        *([_bullets(remarks)] if remarks else []),
    ]


def _how_to(card: Card) -> Page:
    if card.kind == "report_only":
        return ["report only: there are no weights to run"]
    if card.api is not None:
        return ["evaluate, for example:", *api_command(card.name, card.api)]
    if card.hub_id is None:
        return [f"{card.where}: a folder in the family's format loads by its path"]
    commands = (recipe(card, score).command for score in card.scores)
    command = next((text for text in commands if text), None)
    pinned = f', revision="{card.revision}"' if card.revision else ""
    lines = ["load:", f'  dllm_eval.load_model("{card.hub_id}"{pinned})']
    if command:
        lines += ["evaluate, for example:", f"  {command}"]
    return [*lines, f"all commands: dllm-eval models {card.name} --reported"]


def _read(evidence: str) -> str:
    return {
        "repository": "read in the repository",
        "page": "read on the page",
        "quoted": "quoted by a third party",
    }[evidence]


def _shared_defaults(cards: list[Card]) -> str:
    found: dict[str, list[str]] = {}
    for card in cards:
        found.setdefault(_settings(card.decoding.sampler_settings()), []).append(card.name)
    stated = {text: names for text, names in found.items() if text}
    if len(found) == 1:
        return next(iter(stated), "")
    return "; ".join(f"{', '.join(names)}: {text}" for text, names in stated.items())


def _settings(stated: dict[str, Any]) -> str:
    return ", ".join(f"{name}={_text(value)}" for name, value in stated.items())


def _text(value: object) -> str:
    if isinstance(value, bool) or value is None:
        return str(value).lower()
    return f"{value:g}" if isinstance(value, float) else str(value)


def _facts(values: dict[str, Any]) -> Table:
    table = Table.grid(padding=(0, 2))
    table.add_column(no_wrap=True)
    table.add_column()
    for name, value in values.items():
        if value not in (None, ""):
            table.add_row(name, str(value))
    return table


def _bullets(texts: Iterable[str]) -> Table:
    table = Table.grid(padding=(0, 1))
    for text in texts:
        table.add_row("-", text)
    return table


def _numbered(kind: str, texts: dict[str, int]) -> Table:
    table = Table.grid(padding=(0, 1))
    table.add_column(no_wrap=True)
    for text, number in texts.items():
        table.add_row(f"{kind} {number}", text)
    return table
