"""Results folders as data frames: what every table and figure is computed from.

Imports neither torch nor lm-eval, so that a leaderboard can be rebuilt anywhere. Reports call
`read_results`.
"""

import os
from collections import defaultdict
from collections.abc import Collection, Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc

from dllm_eval.errors import UsageError
from dllm_eval.files import read_mapping
from dllm_eval.records import RequestRecord, ScoreRecord
from dllm_eval.sweep.cell_row import CELL_COLUMNS, Row, cell_row, stack_of
from dllm_eval.sweep.folder import CellFolder, ResultsFolder
from dllm_eval.sweep.lm_eval_files import read_runs_of_lm_eval
from dllm_eval.sweep.lm_eval_import import Aggregate, Import, import_folder
from dllm_eval.sweep.pairing import Known, Suite, prompts_of, version_text
from dllm_eval.sweep.plan import Cell
from dllm_eval.sweep.record_table import nullable, read_table, schema_of
from dllm_eval.sweep.single_records import find_records
from dllm_eval.sweep.whole import check_whole

TEXTS = frozenset(
    {"prompt_end", "suffix_start", "response", "tokens", "pieces", "reveal_step", "repeat_seconds"}
    | {"served_model"}
)
"""Fields of a request that no statistic reads; `Results.texts` gives them for the few shown."""
_REPEATED = ["request_type", "model", "stop_reason", "cache", "infill", "infill_length"]
_REPEATED += ["quantity", "estimator"]
"""Texts of few values, kept once each."""
_REQUESTS = schema_of(RequestRecord, without=TEXTS)
_SCORES = schema_of(ScoreRecord)


class FileTexts:
    """The whole records of a few requests, read when they are asked for.

    Args:
        files: Cell id -> its requests file.
    """

    def __init__(self, files: dict[str, Path]) -> None:
        self._files = files

    def records(self, cell_id: str, keys: Collection[str]) -> dict[str, Row]:
        """Key -> the record as it was written; keys without a record are left out."""
        path = self._files.get(cell_id)
        return {} if path is None or not keys else find_records(path, keys)


@dataclass(frozen=True, kw_only=True)
class Results:
    """One row per cell, per request and per score; `cell_id` joins them."""

    cells: pd.DataFrame
    requests: pd.DataFrame
    """Without the fields in `TEXTS`."""
    scores: pd.DataFrame
    texts: FileTexts
    aggregates: tuple[Aggregate, ...] = ()
    """Imported scores without documents, which no table can hold."""
    notes: tuple[str, ...] = ()
    """What a reader must know of the folders."""


def read_results(folders: Sequence[Path]) -> Results:
    """Reads results folders, unfinished cells included, and folders that lm-eval wrote.

    A cell that stands in two folders (one spec, two machines) keeps both its runs: from the
    second folder on, such a folder's ids carry its number.

    Raises:
        UsageError: Not a results folder, one of another version, or a damaged file.
    """
    if not folders:
        raise UsageError("no results folder was named; name one that `dllm-eval sweep` wrote")
    for number, path in enumerate(folders):
        if Path(path).resolve() in [Path(other).resolve() for other in folders[:number]]:
            raise UsageError(f"{str(path)!r} is named twice: its runs would count twice")
    found = _Found()
    sweeps = {number: Path(path) for number, path in enumerate(folders) if not _is_foreign(path)}
    for number, path in sweeps.items():
        _add_sweep(found, ResultsFolder(path), number)
    known = _known(sweeps.values()) if len(sweeps) < len(folders) else {}
    notes: list[str] = []
    aggregates: list[Aggregate] = []
    for number, path in enumerate(folders):
        if number not in sweeps:
            imported = import_folder(Path(path), known)
            _add_imported(found, imported, number)
            notes += imported.notes
            aggregates += imported.aggregates
    return Results(
        cells=pd.DataFrame(found.cells, columns=CELL_COLUMNS),
        requests=_frame(found.requests, _REQUESTS),
        scores=_frame(found.scores, _SCORES),
        texts=FileTexts(found.files),
        aggregates=tuple(aggregates),
        notes=tuple(notes),
    )


def _is_foreign(path: Path) -> bool:
    """Whether lm-eval wrote the folder, or nobody that is known here."""
    return not ResultsFolder(Path(path)).sweep_file.exists()


_Part = tuple[str, pa.Table]
"""A cell's id and its rows."""


@dataclass(frozen=True, kw_only=True)
class _Found:
    """What was read so far."""

    cells: list[Row] = field(default_factory=list)
    requests: list[_Part] = field(default_factory=list)
    scores: list[_Part] = field(default_factory=list)
    files: dict[str, Path] = field(default_factory=dict)

    def suffix(self, ids: Collection[str], number: int) -> str:
        """What sets a folder's ids apart from those that are there already."""
        seen = {row["cell_id"] for row in self.cells}
        return "" if seen.isdisjoint(ids) else f"@{number}"

    def add(self, row: Row, requests: pa.Table, scores: pa.Table, log: Path | None) -> None:
        """One cell."""
        cell_id = str(row["cell_id"])
        self.cells.append(row)
        self.requests.append((cell_id, requests))
        self.scores.append((cell_id, scores))
        if log is not None:
            self.files[cell_id] = log


def _add_sweep(found: _Found, folder: ResultsFolder, number: int) -> None:
    wanted = folder.cells()
    suffix = found.suffix([cell.cell_id for cell in wanted], number)
    own = [folder.cell(cell.cell_id) for cell in wanted]
    asked, judged = _read_all([x.requests for x in own], [x.scores for x in own])
    for cell, files, requests, scores in zip(wanted, own, asked, judged, strict=True):
        row = cell_row(cell, files, scores, suffix, folder.path)
        if row["finished"]:
            check_whole(cell, files, row["done"], requests, scores)
        found.add(row, requests, scores, files.requests)


def _add_imported(found: _Found, imported: Import, number: int) -> None:
    suffix = found.suffix([str(cell.row["cell_id"]) for cell in imported.cells], number)
    for cell in imported.cells:
        row = {**cell.row, "stack": stack_of(cell.row["provenance"])}
        ids = {key: f"{row[key]}{suffix}" for key in ("cell_id", "config_id")}
        scores = pa.Table.from_pylist([x.model_dump() for x in cell.scores], nullable(_SCORES))
        requests = nullable(_REQUESTS).empty_table()
        if cell.records is not None:
            logged = _latest(read_table(cell.records, _REQUESTS))
            asked = pa.array(sorted(cell.tasks), pa.string())
            requests = logged.filter(pc.is_in(logged["task"], asked))
        found.add({**row, **ids}, requests, scores, cell.records)
        if len(requests) and pc.max(requests["batch_size"]).as_py() == 1:
            timed = {"cell_id": f"{ids['cell_id']}-timed", "purpose": "latency", "batch_size": 1}
            found.add({**row, **ids, **timed}, requests, scores.slice(0, 0), cell.records)


def _known(folders: Iterable[Path]) -> dict[str, Known]:
    """Of each task, what the first finished quality cell of it looks like."""
    known: dict[str, Known] = {}
    suites: dict[str, dict[str, Suite]] = defaultdict(dict)
    for folder in map(ResultsFolder, folders):
        for cell in folder.cells():
            files = folder.cell(cell.cell_id)
            if cell.purpose != "quality" or not files.finished:
                continue
            named = Suite(title=cell.suite, chance=cell.chance)
            suites[cell.task].setdefault(cell.metric, named)
            if cell.task not in known:
                known[cell.task] = _known_cell(cell, files, suites[cell.task])
    return known


def _known_cell(cell: Cell, files: CellFolder, suites: dict[str, Suite]) -> Known:
    facts = read_mapping(files.provenance).get("tasks", {})
    runs = read_runs_of_lm_eval(files.lm_eval)
    logged = {task: run.samples(task) or [] for run in runs[-1:] for task in facts}
    shots = {fact.get("num_fewshot") for fact in facts.values()}
    return Known(
        suites=suites,
        asked_fewshot=cell.num_fewshot,
        num_fewshot=shots.pop() if len(shots) == 1 else None,
        version=version_text(fact.get("version") for fact in facts.values()),
        prompts=prompts_of(logged),
    )


def _read_all(requests: Sequence[Path], scores: Sequence[Path]) -> tuple[list[pa.Table], ...]:
    """The tables of every cell; files are read side by side, which waits for no Python."""
    with ThreadPoolExecutor(max_workers=min(4, os.cpu_count() or 1)) as pool:
        asked = pool.map(lambda path: _latest(read_table(path, _REQUESTS)), requests)
        judged = pool.map(lambda path: read_table(path, _SCORES), scores)
        return list(asked), list(judged)


def _latest(requests: pa.Table) -> pa.Table:
    """Each request once: where its first record stands, what its last one says."""
    keys = requests["key"]
    if pc.count_distinct(keys).as_py() == len(keys):
        return requests
    last = {key: number for number, key in enumerate(keys.to_pylist())}
    return requests.take(pa.array(last.values(), pa.int64()))


def _frame(parts: list[_Part], schema: pa.Schema) -> pd.DataFrame:
    """The rows of all cells, with their ids; `parts` is emptied, so that memory is held once."""
    ids = np.repeat(
        np.array([cell_id for cell_id, _ in parts], dtype=object), [len(x) for _, x in parts]
    )
    whole = pa.concat_tables([x for _, x in parts]) if parts else schema.empty_table()
    parts.clear()
    few = [name for name in _REPEATED if name in whole.column_names]
    for name in few:
        at = whole.column_names.index(name)
        whole = whole.set_column(at, name, whole[name].dictionary_encode())
    frame: pd.DataFrame = whole.to_pandas(split_blocks=True, self_destruct=True)
    frame.insert(0, "cell_id", ids)
    for name in few:
        # The order in which values were met must not show anywhere.
        frame[name] = frame[name].cat.set_categories(sorted(frame[name].cat.categories))
    return frame
