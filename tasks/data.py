"""Where a task's rows come from: the hub (`hub.py`), a local folder, or the package.

A YAML says it once, under `dataset_kwargs: data:`. The environment variable DLLM_EVAL_DATA, if
set, names a folder laid out by `file`; tasks with `embedded: true` always read the package. Knows
nothing of prompts or scores. Called by the task helpers beside it, and importing it makes our
models known to lm-eval, whose command line reads a task's YAML before it looks the model up.
"""

import csv
import gzip
import io
import json
import os
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, Final

import datasets
from pydantic import BaseModel, ConfigDict, ValidationError

from dllm_eval.errors import UsageError
from dllm_eval.reference import DATA_DIR
from dllm_eval.registry import register_with_lm_eval

from .hub import load_split

DATA_FOLDER: Final = "DLLM_EVAL_DATA"

Row = dict[str, Any]


class Source(BaseModel):
    """The three places of one data set."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    file: str
    """The file, or MMLU's folder, relative to DLLM_EVAL_DATA or to the package's data folder."""
    embedded: bool = False
    """True for the small sets that ship in the package; they have no other place."""
    hub: str | None = None
    config: str | None = None
    split: str = "test"
    hub_files: str | None = None
    """The file inside the hub's repository, where that is plain files without a config."""


def read_source(data: Row) -> Source:
    """The `data` entry of a YAML's `dataset_kwargs`, checked."""
    try:
        return Source.model_validate(data)
    except ValidationError as error:
        fault = error.errors()[0]
        where = ".".join(map(str, fault["loc"]))
        raise UsageError(
            f"a task's dataset_kwargs.data has a bad entry {where!r}: {fault['msg']}; "
            f"known: {', '.join(Source.model_fields)}"
        ) from None


def local_path(source: Source) -> Path | None:
    """The file or folder on this machine to read; None means the hub.

    Raises:
        UsageError: It should be there and is not.
    """
    if source.embedded:
        root, remedy = DATA_DIR, "is the package complete? reinstall dllm-eval"
    elif folder := os.environ.get(DATA_FOLDER):
        root = Path(folder)
        remedy = f"unset {DATA_FOLDER} to load from the hub"
        if source.hub is None:
            remedy = f"it is on no hub: set {DATA_FOLDER} to a folder that holds it"
        if not root.is_dir():
            raise UsageError(f"{DATA_FOLDER} names no folder: {root}; {remedy}")
    else:
        return None
    path = root / source.file
    if not path.exists():
        raise UsageError(f"no such data: {path}; {remedy}")
    return path


def load_rows(source: Source, *, columns: Sequence[str]) -> list[Row]:
    """The rows of a source made of JSON records, each with the columns asked for.

    Raises:
        UsageError: A file is missing or a row is mis-shaped; the line names file and row.
    """
    return [row for _, row in load_records(source, columns=columns)]


def load_records(source: Source, *, columns: Sequence[str]) -> Iterator[tuple[str, Row]]:
    """The same, each with its place for error messages."""
    path = local_path(source)
    places: Iterator[tuple[str, object]]
    if path is None:
        rows = load_from_hub(source, split=source.split)
        places = ((f"{source.hub}, row {number}", row) for number, row in enumerate(rows))
    else:
        places = _records(path)
    for where, row in places:
        yield where, checked(row, columns=columns, where=where)


def load_from_hub(source: Source, *, split: str) -> datasets.Dataset:
    """One split as the hub has it.

    Raises:
        UsageError: The hub is out of reach, or has no such data set, config or split.
    """
    if source.hub is None:
        raise UsageError(f"{source.file} is on no hub: set {DATA_FOLDER} to a folder that holds it")
    return load_split(
        source.hub,
        config=source.config,
        files=source.hub_files,
        split=split,
        remedy=f"set {DATA_FOLDER} to a folder that holds {source.file}",
    )


def checked(row: object, *, columns: Sequence[str], where: str) -> Row:
    """The row, if it is a record with text in every column, and its entry point a name."""
    if not isinstance(row, dict):
        raise UsageError(f"{where}: expected a record with {', '.join(columns)}, got {row!r:.60}")
    missing = [name for name in columns if name not in row]
    if missing:
        raise UsageError(f"{where}: column {missing[0]!r} is missing; has {', '.join(row)}")
    for name in columns:
        if not isinstance(row[name], str):
            raise UsageError(f"{where}: column {name!r} must be text, got {row[name]!r:.60}")
    if "entry_point" in columns and not row["entry_point"].isidentifier():
        shown = f"{row['entry_point']!r:.60}"
        raise UsageError(f"{where}: column 'entry_point' must be a name of Python, got {shown}")
    return row


def read_csv(path: Path, *, num_columns: int | range) -> Iterator[tuple[str, list[str]]]:
    """The rows of a CSV file without a header, each with its place for error messages.

    Args:
        path: The file.
        num_columns: How many each row has, or may have.

    Raises:
        UsageError: The file cannot be read, or a row has another number of columns.
    """
    accepted = (
        num_columns if isinstance(num_columns, range) else range(num_columns, num_columns + 1)
    )
    few, most = accepted[0], accepted[-1]
    try:
        text = path.read_bytes().decode("utf-8")
        rows = list(csv.reader(io.StringIO(text, newline="")))
    except (OSError, ValueError, csv.Error) as error:
        raise UsageError(f"{path} cannot be read: {error}; expected a CSV file") from None
    for number, row in enumerate(rows, start=1):
        where = f"{path}, row {number}"
        if len(row) not in accepted:
            wanted = f"{few}" if few == most else f"{few} to {most}"
            raise UsageError(f"{where}: expected {wanted} columns, got {len(row)}")
        yield where, row


def as_dataset(docs: Sequence[Row], *, source: Source) -> dict[str, datasets.Dataset]:
    """What lm-eval asks of a custom data set: the documents under their split."""
    if not docs:
        raise UsageError(f"{source.file} holds no rows")
    return {"test": datasets.Dataset.from_list(list(docs))}


def _records(path: Path) -> Iterator[tuple[str, object]]:
    try:
        text = _read_text(path)
        if path.suffix == ".json":
            records = json.loads(text)
            if not isinstance(records, list):
                raise ValueError("no list at the top")
            for number, row in enumerate(records, start=1):
                yield f"{path}, record {number}", row
            return
    except (OSError, EOFError, ValueError) as error:
        raise UsageError(f"{path} cannot be read: {error}; expected JSON records") from None
    # Not splitlines: JSON text may hold line separators that are not newlines.
    for number, line in enumerate(text.split("\n"), start=1):
        if not line.strip():
            continue
        where = f"{path}, line {number}"
        try:
            row = json.loads(line)
        except ValueError as error:
            raise UsageError(f"{where}: not JSON: {error}") from None
        yield where, row


def _read_text(path: Path) -> str:
    if path.suffix == ".gz":
        with gzip.open(path, "rt", encoding="utf-8", newline="") as file:
            return file.read()
    return path.read_text(encoding="utf-8")


register_with_lm_eval()
