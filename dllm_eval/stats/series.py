"""Which settings of a model belong together, and which dial they turn.

A series is one way of decoding: a model with its sampler, and every setting besides, apart from
the one number that varies along it, its dial; words that have an order, such as an effort, count as
numbers. Plain mappings; knows neither samplers nor figures.
Called by `tables.py`, and by the report for cells that are not finished.
"""

import json
from collections import defaultdict
from collections.abc import Hashable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any, TypeGuard

from dllm_eval.stats import tiers

DIAL_SETTINGS = {"samples": "mc_samples"}
"""Dial -> the setting it turns, where they are not called alike."""
FIRST_DIALS = (
    *("steps", "mc_samples", "threshold", "entropy_threshold", "entropy_bound"),
    *("race", "reasoning_effort"),
)
"""Where several numbers vary, the first of these is the dial, and else the first by name."""
TEXT_DIALS = {
    "reasoning_effort": ("none", "minimal", "instant", "low", "medium", "high", "xhigh"),
}
"""Setting -> its words, the least first. A word's number is its place here: on a figure's axis such
a dial has categories, not distances."""
_OF_THE_RUN = ("seed", "batch_size")
_NEVER_DIALS = ("infill_length",)
"""What may be a number but says how the model was asked: two lengths are two series."""


@dataclass(frozen=True, kw_only=True)
class Setting:
    """What one configuration was run with."""

    config_id: str
    model: str
    settings: Mapping[str, Any]
    dial: str
    """What the sweep took for its dial; a number that varies in the results goes before it."""
    dial_value: float
    approximate: bool = False
    """Whether a cache may have changed its answers; its series says so, whatever the others do."""
    tier: str = ""
    """What stands for the settings of `tiers.SETTINGS`, as the model said; "" where it did not."""

    @classmethod
    def of(cls, cell: Mapping[Hashable, Any], *, approximate: bool = False) -> "Setting":
        """That of a cell, given as a row of the frame of cells."""
        kept = {k: v for k, v in (cell["settings"] or {}).items() if k not in _OF_THE_RUN}
        return cls(
            config_id=str(cell["config_id"]),
            model=str(cell["model"]),
            settings=kept,
            dial=str(cell["dial"] or ""),
            dial_value=float(cell["dial_value"]),
            approximate=approximate,
            tier=tier_of(cell),
        )


def tier_of(cell: Mapping[Hashable, Any]) -> str:
    """The tier that a row of the frame of cells names; "" where none is known."""
    told = cell.get("tier")
    return told if isinstance(told, str) else ""


@dataclass(frozen=True, kw_only=True)
class Place:
    """Where a configuration stands: its series and its dial there."""

    model: str
    composition: str
    """What sets the series apart from the model's others; "" where it has one."""
    dial: str
    """What varies along the series, for example "steps"; "" where nothing does."""
    dial_value: float
    """NaN without a dial."""
    untiered: str
    """`composition` without the words of the tier."""

    @property
    def dial_text(self) -> str:
        """The dial's value: a number, or its word."""
        words = TEXT_DIALS.get(self.dial)
        return f"{self.dial_value:g}" if words is None else words[round(self.dial_value)]

    @property
    def series(self) -> str:
        """The model, and behind it what sets the series apart."""
        return f"{self.model} ({self.composition})" if self.composition else self.model


def places(rows: Iterable[Setting]) -> dict[str, Place]:
    """config_id -> its place among the configurations given, which should be of one suite."""
    by_model: dict[str, dict[str, Setting]] = defaultdict(dict)
    for row in rows:
        by_model[row.model].setdefault(row.config_id, row)
    return {
        config_id: place
        for own in by_model.values()
        for config_id, place in _of_one_model(list(own.values())).items()
    }


def _of_one_model(rows: list[Setting]) -> dict[str, Place]:
    alike: dict[Hashable, list[Setting]] = defaultdict(list)
    for row in rows:
        alike[_shape(row)].append(row)
    turned = {row.config_id: _dial(row, group) for group in alike.values() for row in group}
    told = {
        row.config_id: {
            key: json.dumps(value, sort_keys=True, default=str)
            for key, value in row.settings.items()
            if key != _setting_of(turned[row.config_id])
        }
        for row in rows
    }
    _tell_tiers(rows, told)
    keys = {key for settings in told.values() for key in settings}
    varying = {key for key in keys if len({s.get(key, "") for s in told.values()}) > 1}
    return {
        row.config_id: Place(
            model=row.model,
            composition=_composition(told[row.config_id], varying, approximate=row.approximate),
            dial=turned[row.config_id],
            dial_value=_dial_value(row, turned[row.config_id]),
            untiered=_composition(
                told[row.config_id], varying - {_TIER}, approximate=row.approximate
            ),
        )
        for row in rows
    }


_TIER = "tier"


def _tell_tiers(rows: list[Setting], told: dict[str, dict[str, str]]) -> None:
    """Puts a tier's words in the place of the settings that they stand for."""
    for tier in {row.tier for row in rows if row.tier}:
        own = [told[row.config_id] for row in rows if row.tier == tier]
        alike = {key for key in tiers.SETTINGS if len({s.get(key, "") for s in own}) == 1}
        for settings in own:
            for key in alike:
                settings.pop(key, None)
            settings[_TIER] = tier


def _shape(row: Setting) -> Hashable:
    """Equal for rows that differ in numbers alone."""
    words = {
        key: value if _number(key, value) is None else None for key, value in row.settings.items()
    }
    return json.dumps(words, sort_keys=True, default=str)


def _dial(row: Setting, group: list[Setting]) -> str:
    numbers = [key for key, value in row.settings.items() if _number(key, value) is not None]
    varying = [key for key in numbers if len({_number(key, r.settings[key]) for r in group}) > 1]
    if not varying:
        return row.dial
    first = min(varying, key=lambda k: (FIRST_DIALS.index(k) if k in FIRST_DIALS else 99, k))
    return next((dial for dial, key in DIAL_SETTINGS.items() if key == first), first)


def _dial_value(row: Setting, dial: str) -> float:
    key = _setting_of(dial)
    value = row.settings.get(key)
    if _is_number(value):
        return float(value)
    place = _number(key, value)
    return row.dial_value if place is None else place


def _setting_of(dial: str) -> str:
    return DIAL_SETTINGS.get(dial, dial)


def _number(key: str, value: object) -> float | None:
    """What a setting is on a dial; None where it is no dial's."""
    if _is_number(value) and key not in _NEVER_DIALS:
        return float(value)
    words = TEXT_DIALS.get(key, ())
    return float(words.index(value)) if isinstance(value, str) and value in words else None


def _is_number(value: object) -> TypeGuard[int | float]:
    return isinstance(value, int | float) and not isinstance(value, bool)


def _composition(settings: Mapping[str, str], varying: set[str], *, approximate: bool) -> str:
    """The sampler first, then the tier, then what else varies; an approximate cache always."""
    texts = {key: _text(key, value) for key, value in settings.items() if key in varying}
    if approximate:
        cache = settings.get("cache")
        texts["cache"] = f"{_text('cache', cache)} (approximate)" if cache else "approximate cache"
    order = sorted(texts, key=lambda key: (key != "sampler", key != _TIER, key))
    return ", ".join(texts[key] for key in order)


def _text(key: str, value: str) -> str:
    bare = value.strip('"')
    return bare if key in ("sampler", _TIER) else f"{key} {bare}"
