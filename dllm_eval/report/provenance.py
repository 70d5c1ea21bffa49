"""What was run where: the page's provenance drawer.

Reads the provenance and settings that cells carry; invents nothing. Called by `render.py`.
"""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from dllm_eval.stats.analysis import TaskAnalysis


@dataclass(frozen=True, kw_only=True)
class Origin:
    """One model on one machine and stack."""

    model: str
    place: str
    facts: tuple[tuple[str, str], ...]
    """(name, value), every value that occurs where cells differ."""


def origins(analyses: Sequence[TaskAnalysis]) -> list[Origin]:
    """One entry per model, machine and stack, in name order."""
    found: dict[tuple[str, str], dict[str, dict[str, None]]] = {}
    for analysis in analyses:
        for x in analysis.table.configurations:
            facts = found.setdefault((x.model, x.group), {})
            flat = {**_flat(x.provenance, ""), **_flat(x.settings, "settings.")}
            for name, value in flat.items():
                facts.setdefault(name, {})[value] = None
    return [
        Origin(
            model=model,
            place=place,
            facts=tuple((name, ", ".join(values)) for name, values in sorted(facts.items())),
        )
        for (model, place), facts in sorted(found.items())
    ]


def _flat(value: Mapping[str, object], prefix: str) -> dict[str, str]:
    out: dict[str, str] = {}
    for key, item in value.items():
        if isinstance(item, Mapping):
            out |= _flat({str(k): v for k, v in item.items()}, f"{prefix}{key}.")
        else:
            shown = item if isinstance(item, str) else json.dumps(item, default=str)
            out[f"{prefix}{key}"] = shown
    return out
