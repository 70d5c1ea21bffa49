"""Results folders as data frames: what every table and figure is computed from.

Imports neither torch nor lm-eval, so that a leaderboard can be rebuilt anywhere. Reports call
`read_results`.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd

from dllm_eval.errors import UsageError
from dllm_eval.files import read_json, read_lines
from dllm_eval.records import RequestRecord, ScoreRecord
from dllm_eval.sweep.folder import CellFolder, ResultsFolder
from dllm_eval.sweep.plan import Cell

CELL_COLUMNS = [
    *("cell_id", "config_id", "folder", "model", "kind", "task", "suite", "metric", "filter"),
    *("chance", "purpose", "dial", "dial_value", "settings", "limit", "batch_size", "seed"),
    *("num_fewshot", "apply_chat_template"),
    *("machine", "stack", "provenance", "done", "finished"),
]

Row = dict[str, Any]


@dataclass(frozen=True, kw_only=True)
class Results:
    """One row per cell, per request and per score; `cell_id` joins them."""

    cells: pd.DataFrame
    requests: pd.DataFrame
    scores: pd.DataFrame


def read_results(folders: Sequence[Path]) -> Results:
    """Reads results folders, unfinished cells included.

    A cell that stands in two folders (one spec, two machines) keeps both its runs: from the
    second folder on, such a folder's ids carry its number.

    Raises:
        UsageError: Not a results folder, one of another version, or a damaged file.
    """
    if not folders:
        raise UsageError("no results folder was named; name one that `dllm-eval sweep` wrote")
    cells: list[Row] = []
    requests: list[Row] = []
    scores: list[Row] = []
    for number, path in enumerate(folders):
        folder = ResultsFolder(Path(path))
        wanted = folder.cells()
        seen = {row["cell_id"] for row in cells}
        suffix = f"@{number}" if any(cell.cell_id in seen for cell in wanted) else ""
        for cell in wanted:
            files = folder.cell(cell.cell_id)
            identity = {"cell_id": cell.cell_id + suffix}
            found = [{**identity, **row} for _, row in read_lines(files.scores)]
            requests += [{**identity, **row} for row in _latest_requests(files)]
            scores += found
            cells.append(_cell_row(cell, files, found, suffix, folder.path))
    return Results(
        cells=pd.DataFrame(cells, columns=CELL_COLUMNS),
        requests=pd.DataFrame(requests, columns=["cell_id", *RequestRecord.model_fields]),
        scores=pd.DataFrame(scores, columns=["cell_id", *ScoreRecord.model_fields]),
    )


def _latest_requests(files: CellFolder) -> list[Row]:
    return list({row["key"]: row for _, row in read_lines(files.requests)}.values())


def _cell_row(cell: Cell, files: CellFolder, scores: list[Row], suffix: str, folder: Path) -> Row:
    provenance = read_json(files.provenance) if files.provenance.exists() else {}
    return {
        "cell_id": cell.cell_id + suffix,
        "config_id": cell.config_id + suffix,
        "folder": str(folder),
        "model": cell.name,
        "kind": cell.kind,
        "task": cell.task,
        "suite": cell.suite,
        "metric": cell.metric,
        "filter": _filter(cell, scores),
        "chance": cell.chance,
        "purpose": cell.purpose,
        "dial": cell.dial,
        "dial_value": math.nan if cell.dial_value is None else cell.dial_value,
        "settings": cell.settings,
        "limit": cell.limit,
        "batch_size": cell.batch_size,
        "seed": cell.seed,
        "num_fewshot": cell.num_fewshot,
        "apply_chat_template": cell.apply_chat_template,
        "machine": provenance.get("machine", {}).get("name", ""),
        "stack": _stack(provenance),
        "provenance": provenance,
        "done": read_json(files.done) if files.finished else {},
        "finished": files.finished,
    }


def _filter(cell: Cell, scores: list[Row]) -> str:
    """The filter asked for, else the first under which lm-eval scored the metric."""
    if cell.filter is not None:
        return cell.filter
    return next((row["filter"] for row in scores if row["metric"] == cell.metric), "none")


def _stack(provenance: dict[str, Any]) -> str:
    """What ran the model, for example "transformers 5.23, torch 2.13, sdpa, float32"."""
    versions = provenance.get("versions", {})
    if not versions:
        return ""
    machine = provenance.get("machine", {})
    parts = [
        *(_minor(package, versions) for package in ("transformers", "torch")),
        *(str(provenance[key]) for key in ("attention", "dtype") if provenance.get(key)),
        *(f"{key} {machine[key]}" for key in ("cuda", "driver") if machine.get(key)),
    ]
    return ", ".join(part for part in parts if part)


def _minor(package: str, versions: dict[str, Any]) -> str:
    """A package with its major and minor version, "" where it is not installed."""
    found = str(versions.get(package, ""))
    return f"{package} {'.'.join(found.split('.')[:2])}" if found else ""
