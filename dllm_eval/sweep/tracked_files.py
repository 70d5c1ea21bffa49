"""lm-eval's own result files of a cell, whole or not there at all.

Knows lm-eval's evaluation tracker, which logs its failures and goes on; knows no model. `cell.py`
calls it before it says that a cell is done.
"""

import json
import os
import shutil
from pathlib import Path
from typing import Any

from lm_eval.loggers.evaluation_tracker import EvaluationTracker

from dllm_eval.files import make_folder, not_written, write_text
from dllm_eval.sweep.folder import CellFolder
from dllm_eval.sweep.plan import Cell

Samples = dict[str, list[dict[str, Any]]]
"""Task -> what was logged of each document and filter."""


def save_lm_eval_files(cell: Cell, folder: CellFolder, results: dict[str, Any]) -> None:
    """Writes `results_*.json` and `samples_*.jsonl` as lm-eval itself does.

    Args:
        cell: What was run.
        folder: Its files; `lm_eval` in it is replaced.
        results: What `simple_evaluate` gave back; its samples are taken out.

    Raises:
        DiskFull: There was no room for one of them.
        OSError: One of them could not be written.
    """
    being_written = folder.path / ".lm_eval"
    shutil.rmtree(being_written, ignore_errors=True)
    make_folder(being_written)
    samples = results.pop("samples")
    try:
        _track(cell, being_written, results, samples)
        _check_whole(being_written, results, samples)
    except BaseException:
        shutil.rmtree(being_written, ignore_errors=True)
        raise
    shutil.rmtree(folder.lm_eval, ignore_errors=True)
    being_written.rename(folder.lm_eval)


def _track(cell: Cell, folder: Path, results: dict[str, Any], samples: Samples) -> None:
    tracker = EvaluationTracker(output_path=str(folder / "results.json"))
    tracker.general_config_tracker.log_experiment_args(
        model_source=cell.model,
        model_args=dict(cell.arguments),
        system_instruction=None,
        chat_template=None,
        fewshot_as_multiturn=True,
    )
    tracker.save_results_aggregated(results=results, samples=samples)
    for task, logged in samples.items():
        tracker.save_results_samples(task_name=task, samples=logged)  # type: ignore[arg-type]


def _check_whole(folder: Path, results: dict[str, Any], samples: Samples) -> None:
    """A cell must not be called done while a file of it is missing, or torn by a full disk."""
    found = next(iter(folder.glob("results_*.json")), None)
    whole = found is not None and _is_json(found)
    for task, logged in samples.items():
        lines = next(iter(folder.glob(f"samples_{task}_*.jsonl")), None)
        whole = whole and lines is not None and lines.read_bytes().count(b"\n") == len(logged)
    if not whole:
        # What went wrong is known to nobody any more; writing as much again tells.
        write_text(folder / "again", json.dumps([results, samples], default=str))
        raise OSError(f"lm-eval could not write its files in {folder}")
    for path in folder.iterdir():
        _to_disk(path)


def _is_json(path: Path) -> bool:
    try:
        json.loads(path.read_text(encoding="utf-8"))
    except ValueError:
        return False
    return True


def _to_disk(path: Path) -> None:
    try:
        with path.open("rb") as file:
            os.fsync(file.fileno())
    except OSError as error:
        raise not_written(path, error) from error
