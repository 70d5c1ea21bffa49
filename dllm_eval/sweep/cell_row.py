"""A cell of a results folder as a row of the frame of cells.

Knows the files of a cell; computes nothing. `store.py` calls it.
"""

import math
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from dllm_eval.files import read_mapping
from dllm_eval.stats.scale import lower_in
from dllm_eval.sweep.folder import CellFolder
from dllm_eval.sweep.plan import Cell

CELL_COLUMNS = [
    *("cell_id", "config_id", "folder", "model", "kind", "task", "suite", "metric", "filter"),
    *("chance", "purpose", "dial", "dial_value", "settings", "limit", "batch_size", "seed"),
    *("num_fewshot", "apply_chat_template", "placement", "tier"),
    *("load_in_flight", "load_arrivals_per_s"),
    *("machine", "stack", "provenance", "done", "finished", "failed", "imported", "variant"),
    "lower_is_better",
]

Row = dict[str, Any]


def cell_row(cell: Cell, files: CellFolder, scores: pa.Table, suffix: str, folder: Path) -> Row:
    """A cell's row in the frame of cells.

    Args:
        cell: What it is.
        files: Where it lies.
        scores: Its own.
        suffix: Of its ids.
        folder: The results folder.
    """
    provenance = read_mapping(files.provenance) if files.provenance.exists() else {}
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
        "placement": (provenance.get("placement") or {}).get("kind", "local"),
        "tier": provenance.get("tier") or "",
        "load_in_flight": (cell.load and cell.load.in_flight) or math.nan,
        "load_arrivals_per_s": (cell.load and cell.load.arrivals_per_s) or math.nan,
        "machine": provenance.get("machine", {}).get("name", ""),
        "stack": stack_of(provenance),
        "provenance": provenance,
        "done": read_mapping(files.done) if files.finished else {},
        "finished": files.finished,
        "failed": _failure(files),
        "imported": False,
        "variant": "",
        "lower_is_better": lower_in(provenance.get("tasks") or {}, cell.metric),
    }


def _failure(files: CellFolder) -> str:
    """Why the cell could not be run when it was last tried; "" where it was or is to be."""
    if files.finished or not files.failed.exists():
        return ""
    return str(read_mapping(files.failed).get("error", "")) or "it failed"


def _filter(cell: Cell, scores: pa.Table) -> str:
    """The filter asked for, else the first under which lm-eval scored the metric."""
    if cell.filter is not None:
        return cell.filter
    at = pc.index(scores["metric"], cell.metric).as_py()
    return "none" if at < 0 else str(scores["filter"][at].as_py())


def stack_of(provenance: dict[str, Any]) -> str:
    """What ran the model, for example "transformers 5.23, torch 2.13, sdpa, float32"."""
    if provenance.get("stack"):
        return str(provenance["stack"])
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
