"""The texts to teach: pairs of a prompt and a completion, from a file or the released facts.

Knows files and columns; knows no token. Called by `train.py`.
"""

import json
import os
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path
from typing import Any, Final

from dllm_eval.errors import UsageError

RELEASED: Final = "reversal-curse"
HUB_ID: Final = "lberglund/reversal_curse"
RELEASED_FILE: Final = "name_description_dataset/all_prompts_train.jsonl"
DATA_FOLDER: Final = "DLLM_EVAL_DATA"
COLUMNS: Final = ("prompt", "completion")


@dataclass(frozen=True, kw_only=True)
class Example:
    """One text, which a model reads as prompt + completion + end of text."""

    prompt: str
    completion: str


def read_examples(data: str) -> list[Example]:
    """The texts of a file of JSON lines, or the 3600 of arXiv 2309.12288.

    Raises:
        UsageError: There is no such file, it is empty, or a line is no pair of texts.
    """
    path = _released() if data == RELEASED else Path(data).expanduser()
    if not path.is_file():
        raise UsageError(f"no data {data!r}: accepted are {RELEASED!r} and files of JSON lines")
    try:
        lines = path.read_text(encoding="utf-8").split("\n")
    except (OSError, ValueError) as error:
        raise UsageError(f"{path} cannot be read: {error}") from error
    numbered = [(f"{path}, line {number}", line) for number, line in enumerate(lines, start=1)]
    found = [_example(where, line) for where, line in numbered if line.strip()]
    if not found:
        raise UsageError(f"{path} holds no rows; expected JSON lines with {' and '.join(COLUMNS)}")
    return found


def _example(where: str, line: str) -> Example:
    try:
        row: Any = json.loads(line)
    except (ValueError, RecursionError) as error:
        raise UsageError(f"{where}: not JSON: {error}") from None
    if not isinstance(row, dict):
        raise UsageError(f"{where}: expected a record with {' and '.join(COLUMNS)}")
    for name in COLUMNS:
        if not isinstance(row.get(name), str):
            has = ", ".join(map(str, row)) or "nothing"
            raise UsageError(f"{where}: column {name!r} must be text; the row has {has}")
    if not (row["prompt"] + row["completion"]).strip():
        raise UsageError(f"{where}: prompt and completion are both empty")
    return Example(prompt=row["prompt"], completion=row["completion"])


def _released() -> Path:
    if folder := os.environ.get(DATA_FOLDER):
        path = Path(folder) / "reversal_curse" / RELEASED_FILE
        if not path.is_file():
            raise UsageError(f"{path} does not exist; unset {DATA_FOLDER} to load from the hub")
        return path
    hub = import_module("huggingface_hub")
    try:
        return Path(hub.hf_hub_download(HUB_ID, RELEASED_FILE, repo_type="dataset"))
    except Exception as error:  # the hub client raises errors of several libraries
        line = str(error).splitlines()[0] if str(error) else type(error).__name__
        raise UsageError(
            f"{RELEASED!r} could not be loaded from the hub: {line}; set {DATA_FOLDER} to a folder "
            f"with reversal_curse/{RELEASED_FILE}"
        ) from error
