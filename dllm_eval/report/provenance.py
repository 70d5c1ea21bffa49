"""What was run where: the page's section on provenance.

Reads the provenance and settings that cells carry; invents nothing. Called by `render.py` and
`details.py`.
"""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from dllm_eval.report import tier_text
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
            named = {**flat(x.provenance, ""), **flat(x.settings, "settings.")}
            for name, value in named.items():
                facts.setdefault(name, {})[value] = None
    return [
        Origin(
            model=model,
            place=place,
            facts=tuple((name, ", ".join(values)) for name, values in sorted(facts.items())),
        )
        for (model, place), facts in sorted(found.items())
    ]


def compared(analyses: Sequence[TaskAnalysis]) -> str:
    """The models, the machine and the number type in one line; no number that is not recorded."""
    rows = [x for analysis in analyses for x in analysis.table.configurations]
    kinds = sorted({(x.kind != "diffusion", x.model) for x in rows})
    models = [model for _, model in kinds]
    shown = " and ".join([", ".join(models[:-1]), models[-1]] if len(models) > 1 else models)
    if any(x.placement.served for x in rows):
        return " · ".join([shown, ", ".join(tier_text.kinds_of_places(rows))])
    return " · ".join([shown, *_common(sorted({x.group for x in rows}), "places")])


def _common(values: Sequence[str], several: str) -> list[str]:
    return list(values) if len(values) == 1 else [f"{len(values)} {several}"]


_UNTOLD = ("fingerprint", "prices", "served_model", "stack", "tier")
"""What only some models say of themselves: where there is nothing, there is no fact."""


def flat(value: Mapping[str, object], prefix: str) -> dict[str, str]:
    """Nested settings as dotted names, each with its value in one line."""
    out: dict[str, str] = {}
    for key, item in value.items():
        if item is None and key in _UNTOLD:
            continue
        if isinstance(item, Mapping):
            out |= flat({str(k): v for k, v in item.items()}, f"{prefix}{key}.")
        else:
            shown = item if isinstance(item, str) else json.dumps(item, default=str)
            out[f"{prefix}{key}"] = shown
    return out
