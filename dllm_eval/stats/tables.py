"""From the three data frames of a results folder to one table per suite.

Knows the columns of cells, requests and scores; computes no statistic. Called by `analysis.py`
and, through it, by `report/`.
"""

from collections.abc import Hashable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

from dllm_eval.errors import UsageError
from dllm_eval.stats.resample import Floats
from dllm_eval.stats.series import Setting, places
from dllm_eval.stats.units import Unit, per_unit, unit_of

Document = tuple[str, int]
"""Task and doc_id: the tasks of a group number their documents alike."""


def place(machine: str, stack: str) -> str:
    """A machine and stack in one line, as the report prints it."""
    return " / ".join(part for part in (machine, stack) if part) or "unknown machine"


@dataclass(frozen=True, kw_only=True)
class Configuration:
    """One setting of one model on one machine and stack: a row of the leaderboard."""

    config_id: str
    model: str
    series: str
    """The model, and where it was run with several samplers, what sets this one apart."""
    kind: str
    dial: str
    """The number that varies along the series; "" where none does."""
    dial_value: float
    settings: dict[str, Any]
    machine: str
    stack: str
    quality_cells: tuple[str, ...]
    latency_cells: tuple[str, ...]
    """Cells timed at batch size 1; empty where latency was not measured."""
    provenance: dict[str, Any]
    composition: str = ""
    """What sets the series apart from the model's others; "" where it has one."""
    approximate: bool = False
    """Whether a cache may have changed its answers, as its records say."""

    @property
    def group(self) -> str:
        """Seconds compare only between rows with the same group."""
        return place(self.machine, self.stack)


@dataclass(frozen=True, kw_only=True, eq=False)
class TaskTable:
    """Every finished setting of one suite, on one grid of documents."""

    task: str
    suite: str
    """The title; the protocol stands in it where it is not the task's own."""
    protocol: str
    """How the documents were put to the models, for example "5-shot, no chat template"."""
    metric: str
    filter: str
    chance: float
    configurations: tuple[Configuration, ...]
    documents: tuple[Document, ...]
    quality: Floats
    """(configurations, documents), NaN where a document was not scored."""
    unit: Unit
    latencies_s: tuple[Floats, ...]
    """Seconds of each timed question or request, one array per configuration, maybe empty.

    A question's seconds are the sum over its choices, which are scored together and so never are
    two samples. Runs of one unit under several seeds or in several rounds are one sample, their
    median.
    """
    requests: pd.DataFrame
    """The suite's finished requests, all cells."""
    gold: Mapping[Document, int]
    """Which choice is right, of the documents whose scores say so."""


def task_tables(
    cells: pd.DataFrame, requests: pd.DataFrame, scores: pd.DataFrame
) -> list[TaskTable]:
    """One table per task, protocol, metric and filter with a finished, scored quality cell.

    Sorted by task.

    Args:
        cells: One row per cell; unfinished ones are left out. Without `num_fewshot` and
            `apply_chat_template`, the protocol is the task's own.
        requests: One row per request, with `cell_id`.
        scores: One row per document, metric and filter, with `cell_id`.

    Raises:
        UsageError: If two of the folders hold a cell of the same id, or nothing is finished.
    """
    _refuse_duplicates(cells)
    done = cells[cells["finished"].astype(bool)] if len(cells) else cells
    tables = []
    judged = done[done["purpose"] == "quality"]
    judged = judged.assign(protocol=[_protocol(row) for row in judged.to_dict("records")])
    identity = ["task", "metric", "filter", "protocol"]
    for (task, metric, kind, _), quality in judged.groupby(identity, sort=True):
        wanted = (scores["metric"] == metric) & (scores["filter"] == kind)
        own = scores[wanted & scores["cell_id"].isin(quality["cell_id"])]
        scored = quality[quality["cell_id"].isin(own["cell_id"])]
        # Latency cells need no scores, so their filter may be unknown: the setting joins them.
        timed = done[(done["purpose"] == "latency") & done["config_id"].isin(scored["config_id"])]
        part = pd.concat([scored, timed])
        if len(scored):
            asked = requests[requests["cell_id"].isin(part["cell_id"])]
            configurations = _configurations(part, _approximate(asked))
            tables.append(_table(str(task), scored, configurations, own, asked))
    if not tables:
        raise UsageError(
            f"nothing to report: none of {len(cells)} cells is finished and scored; "
            "run `dllm-eval sweep` to the end of at least one quality cell"
        )
    return tables


OWN_PROTOCOL = "the task's own shots, no chat template"


def _protocol(cell: Mapping[Hashable, Any]) -> str:
    shots = cell.get("num_fewshot")
    asked = "the task's own shots" if pd.isna(shots) else f"{int(shots)}-shot"
    return f"{asked}, {'' if cell.get('apply_chat_template') else 'no '}chat template"


def _title(suite: str, protocol: str) -> str:
    return suite if protocol == OWN_PROTOCOL else f"{suite} ({protocol})"


def _refuse_duplicates(cells: pd.DataFrame) -> None:
    twice = cells[cells.duplicated("cell_id", keep=False)] if len(cells) else cells
    if len(twice):
        first = twice["cell_id"].iloc[0]
        folders = ", ".join(str(f) for f in twice[twice["cell_id"] == first]["folder"])
        raise UsageError(f"cell {first} is in several folders ({folders}); report one of them")


def _approximate(requests: pd.DataFrame) -> frozenset[str]:
    """The cells in which an approximate cache may have changed an answer."""
    if "cache" not in requests:
        return frozenset()
    return frozenset(requests["cell_id"][requests["cache"] == "approximate"])


def _configurations(part: pd.DataFrame, approximate: frozenset[str]) -> tuple[Configuration, ...]:
    """The settings that have a quality cell, one per machine and stack that timed them."""
    changed = set(part["config_id"][part["cell_id"].isin(approximate)])
    placed_in = places(
        Setting.of(row, approximate=row["config_id"] in changed) for row in part.to_dict("records")
    )
    out = []
    for config_id, own in part.groupby("config_id", sort=True):
        quality = own[own["purpose"] == "quality"]
        latency = own[(own["purpose"] == "latency") & (own["batch_size"] == 1)]
        placed = latency if len(latency) else quality
        for (machine, stack), here in placed.groupby(["machine", "stack"], sort=True):
            same = (quality["machine"] == machine) & (quality["stack"] == stack)
            judged = quality[same] if same.any() else quality
            row, at = here.iloc[0], placed_in[str(config_id)]
            out.append(
                Configuration(
                    config_id=str(config_id),
                    model=str(row["model"]),
                    series=at.series,
                    composition=at.composition,
                    approximate=str(config_id) in changed,
                    kind=str(row["kind"]),
                    dial=at.dial,
                    dial_value=at.dial_value,
                    settings=dict(row["settings"] or {}),
                    machine=str(machine),
                    stack=str(stack),
                    quality_cells=tuple(judged["cell_id"]),
                    latency_cells=tuple(here["cell_id"]) if len(latency) else (),
                    provenance=dict(row["provenance"] or {}),
                )
            )
    out.sort(key=lambda c: (c.kind != "diffusion", c.series, c.dial_value, c.group, c.config_id))
    return tuple(out)


def _table(
    task: str,
    part: pd.DataFrame,
    configurations: tuple[Configuration, ...],
    scores: pd.DataFrame,
    requests: pd.DataFrame,
) -> TaskTable:
    first = part.iloc[0]
    found = zip(scores["task"], scores["doc_id"], strict=True)
    documents = tuple(sorted({(str(name), int(number)) for name, number in found}))
    column = {doc: i for i, doc in enumerate(documents)}
    quality = np.full((len(configurations), len(documents)), np.nan)
    for i, configuration in enumerate(configurations):
        own = scores[scores["cell_id"].isin(configuration.quality_cells)]
        for (name, number), values in own.groupby(["task", "doc_id"])["value"]:
            quality[i, column[str(name), int(str(number))]] = values.mean()
    unit = unit_of(requests)
    return TaskTable(
        task=task,
        suite=_title(str(first["suite"]), str(first["protocol"])),
        protocol=str(first["protocol"]),
        metric=str(first["metric"]),
        filter=str(first["filter"]),
        chance=float(first["chance"]),
        configurations=configurations,
        documents=documents,
        quality=quality,
        unit=unit,
        latencies_s=tuple(_seconds(x, requests, unit) for x in configurations),
        requests=requests,
        gold=_gold(scores),
    )


def _gold(scores: pd.DataFrame) -> dict[Document, int]:
    if "gold" not in scores:
        return {}
    known = scores[scores["gold"].notna()]
    rows = zip(known["task"], known["doc_id"], known["gold"], strict=True)
    return {(str(name), int(number)): int(choice) for name, number, choice in rows}


def _seconds(configuration: Configuration, requests: pd.DataFrame, unit: Unit) -> Floats:
    """Seconds of each timed unit: (units,)."""
    timed = requests["cell_id"].isin(configuration.latency_cells)
    return per_unit(requests[timed], "seconds", unit)
