"""What decided a row's score besides the model: template, shots, extraction, lengths, isolation.

Reads the provenance of cells, their requests and scores; computes no statistic. `tables.py` calls
`protocols_of`; the report says what rows share once, and gives a column to what they do not.
"""

import re
from collections.abc import Hashable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import pandas as pd

from dllm_eval.stats.configuration import Configuration
from dllm_eval.stats.length_kinds import UNTIL_END, kind_of

FIELDS = {
    "suite": "benchmark",
    "variant": "variant",
    "direction": "direction",
    "operation": "operation",
    "items": "items",
    "template": "template",
    "shots": "shots",
    "chat_template": "chat template",
    "extraction": "extraction",
    "scoring": "scored by",
    "pass_at": "pass@k",
    "given": "given around the gap",
    "length_policy": "length of the gap",
    "behind_answer": "behind the answer",
    "estimator": "estimator",
    "version": "task version",
    "isolation": "isolation",
}
"""What is known of a protocol -> its name for readers, in the order of the report."""
OF_THE_TASK = ("suite", "variant", "direction", "operation", "items", "template", "scoring")
"""Those that stand in the task's own facts."""
_GIVEN = {
    "native": "prefix and suffix, masks between",
    "fim": "prefix and suffix by FIM tokens",
    "prefix_only": "the prefix alone",
}
MOST_VALUES = 3
"""Values of one field that are listed; of more, their number is said."""
UNVERSIONED = "Yaml"
"""What lm-eval calls the version of a task that states none."""


@dataclass(frozen=True, kw_only=True)
class Protocol:
    """That of one row."""

    values: Mapping[str, str]
    """Keys of `FIELDS` -> a short text; what is not known or means nothing here is left out."""
    texts: tuple[str, ...] = ()
    """The full protocol of each task, as its author wrote it."""


def protocols_of(
    quality: pd.DataFrame,
    configurations: Sequence[Configuration],
    requests: Mapping[str, pd.DataFrame],
    scores: pd.DataFrame,
) -> tuple[Protocol, ...]:
    """One for each configuration of a suite.

    Args:
        quality: Its quality cells, one row each.
        configurations: Its settings.
        requests: Cell id -> that cell's requests.
        scores: Those of the suite's metric and filter.
    """
    cells = {str(cell["cell_id"]): cell for cell in quality.to_dict("records")}
    levels = _isolation(scores)
    return tuple(
        _protocol(
            [cells[cell] for cell in x.quality_cells],
            [requests[cell] for cell in x.quality_cells if cell in requests],
            [level for cell in x.quality_cells for level in levels.get(cell, ())],
        )
        for x in configurations
    )


def facts_of(provenance: Mapping[str, Any], task: str | None = None) -> list[Mapping[str, Any]]:
    """The facts that the tasks of a cell state about themselves; of all its tasks without a name.

    Args:
        provenance: As the cell's provenance.json holds it.
        task: One task.
    """
    return [
        found
        for name, told in _tasks(provenance).items()
        if task in (None, name) and isinstance(found := _metadata(told).get("facts"), Mapping)
    ]


def _tasks(provenance: Mapping[str, Any]) -> dict[str, Mapping[str, Any]]:
    tasks = provenance.get("tasks")
    found = tasks if isinstance(tasks, Mapping) else {}
    return {str(name): told for name, told in found.items() if isinstance(told, Mapping)}


def _metadata(told: Mapping[str, Any]) -> Mapping[str, Any]:
    metadata = told.get("metadata")
    return metadata if isinstance(metadata, Mapping) else {}


def _protocol(
    cells: Sequence[Mapping[Hashable, Any]], requests: Sequence[pd.DataFrame], levels: list[str]
) -> Protocol:
    tasks = [told for cell in cells for told in _tasks(cell["provenance"] or {}).values()]
    facts = [found for cell in cells for found in facts_of(cell["provenance"] or {})]
    versions = [told.get("version") for told in tasks]
    values = {name: _joined(found.get(name) for found in facts) for name in OF_THE_TASK}
    values |= {
        "shots": _joined(map(_shots_run, tasks)) or _shots(cells),
        "chat_template": "yes" if any(x.get("apply_chat_template") for x in cells) else "no",
        "extraction": _extraction(cells, requests),
        "pass_at": _joined(_of_pass(str(cell["metric"])) for cell in cells),
        **_of_requests(cells, requests),
        "version": _joined(version for version in versions if version != UNVERSIONED),
        "isolation": _level(levels),
    }
    texts = dict.fromkeys(str(_metadata(x).get("protocol") or "") for x in tasks)
    return Protocol(
        values={name: values[name] for name in FIELDS if values.get(name)},
        texts=tuple(" ".join(text.split()) for text in texts if text),
    )


def _joined(found: Iterable[object]) -> str:
    known = sorted({str(value) for value in found if value is not None and value != ""})
    return " + ".join(known) if len(known) <= MOST_VALUES else f"{len(known)} different"


def _shots_run(told: Mapping[str, Any]) -> object:
    """A prompt's examples: those within the documents, where the task tells, else lm-eval's."""
    facts = _metadata(told).get("facts")
    stated = facts.get("shots") if isinstance(facts, Mapping) else None
    return told.get("num_fewshot") if stated is None else stated


def _shots(cells: Sequence[Mapping[Hashable, Any]]) -> str:
    asked = [cell.get("num_fewshot") for cell in cells]
    return _joined("the task's own" if pd.isna(shots) else int(shots) for shots in asked)


def _extraction(cells: Sequence[Mapping[Hashable, Any]], requests: Sequence[pd.DataFrame]) -> str:
    """lm-eval's filter; without one the task's own scoring reads the text, if there is one."""
    name = _joined(cell["filter"] for cell in cells)
    wrote = any(len(own) and own["request_type"].iloc[0] == "generate_until" for own in requests)
    return name if name != "none" else "the task's own" if wrote else ""


def _of_pass(metric: str) -> str:
    found = re.fullmatch(r"pass@(\d+)", metric)
    return "" if found is None else found[1]


def _of_requests(
    cells: Sequence[Mapping[Hashable, Any]], requests: Sequence[pd.DataFrame]
) -> dict[str, str]:
    given, policies, estimators = set[str](), set[str](), set[str]()
    for own in requests:
        given |= {str(value) for value in own["infill"].dropna().unique()}
        policies |= {str(value) for value in own["infill_length"].dropna().unique()}
        estimators |= {str(value) for value in own["estimator"].dropna().unique()}
    if len(policies) > MOST_VALUES:
        policies = {kind_of(policy) for policy in policies}
    # A causal model sees nothing behind its answer.
    ends = {
        "none"
        if cell["kind"] == "autoregressive"
        else (cell["settings"] or {}).get("target_end") or "none"
        for cell in cells
    }
    return {
        "given": _joined(_GIVEN.get(kind, kind) for kind in given),
        "length_policy": _joined(_policy(policy, given) for policy in policies),
        "behind_answer": _joined(map(_end, ends)) if estimators else "",
        "estimator": _joined(name for found in estimators for name in found.split("+")),
    }


def _policy(policy: str, given: set[str]) -> str:
    if policy == UNTIL_END or given == {"prefix_only"}:
        return "until its end"
    return policy


def _end(target_end: object) -> str:
    return {"none": "nothing", "eos": "end of text, seen and not scored"}.get(
        str(target_end), str(target_end)
    )


def _isolation(scores: pd.DataFrame) -> dict[str, list[str]]:
    """Cell id -> the levels at which its programs ran."""
    if "isolation" not in scores:
        return {}
    known = scores.loc[scores["isolation"].notna(), ["cell_id", "isolation"]].drop_duplicates()
    levels: dict[str, list[str]] = {}
    for cell, level in known.itertuples(index=False):
        levels.setdefault(str(cell), []).append(str(level))
    return levels


def _level(levels: list[str]) -> str:
    found = sorted(set(levels))
    return found[0] if len(found) == 1 else f"mixed ({', '.join(found)})" if found else ""


def shared(protocols: Sequence[Protocol]) -> dict[str, str]:
    """What all rows have alike, in the order of `FIELDS`."""
    if not protocols:
        return {}
    first = protocols[0].values
    return {
        name: first[name]
        for name in FIELDS
        if name in first and all(x.values.get(name) == first[name] for x in protocols)
    }


def differing(protocols: Sequence[Protocol]) -> tuple[str, ...]:
    """The fields in which rows differ, in the order of `FIELDS`."""
    alike = shared(protocols)
    return tuple(
        name
        for name in FIELDS
        if name not in alike and any(name in protocol.values for protocol in protocols)
    )
