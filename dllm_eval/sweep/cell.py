"""Runs one cell through lm-eval and leaves its records, scores and provenance in its folder.

Knows lm-eval's evaluator; knows no model family and no other cell. Workers call `run_cell`.
"""

import math
import shutil
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from lm_eval.evaluator import simple_evaluate
from lm_eval.loggers.evaluation_tracker import EvaluationTracker

from dllm_eval.errors import UsageError
from dllm_eval.files import read_json, write_json, write_lines
from dllm_eval.measure.clock import Timer
from dllm_eval.measure.memory import peak_memory_bytes, peak_memory_scope, reset_peak
from dllm_eval.request_log import FileLog
from dllm_eval.sweep.cell_provenance import begin_provenance, device_of
from dllm_eval.sweep.folder import CellFolder
from dllm_eval.sweep.models import build, keeps_log
from dllm_eval.sweep.plan import Cell
from dllm_eval.sweep.quiet import collect_environment_once
from dllm_eval.sweep.scores import check_direction, check_metric, score_records
from dllm_eval.sweep.tasks import task_facts, task_manager

_PILOT_DOCUMENTS = 2


@dataclass(frozen=True, kw_only=True)
class Options:
    """What a cell needs to know of its sweep."""

    include: tuple[str, ...] = ()
    """More folders of task YAML."""
    confirm_run_unsafe_code: bool = False


def run_cell(cell: Cell, folder: CellFolder, options: Options) -> None:
    """Runs what is missing of a cell; a finished cell is left alone.

    Raises:
        UsageError: The task, the metric or a model argument is wrong, or the folder holds requests
            of other weights or other software.
    """
    if folder.finished:
        return
    check_direction(cell)
    collect_environment_once()
    with FileLog(folder.requests) as log:
        lm = build(cell, log)
        begin_provenance(cell, folder, lm)
        repeats = _repeats(cell, folder, options, lm)
        if repeats is not None:
            lm = build(cell, log, repeats=repeats)
        device = device_of(lm)
        reset_peak(device)
        with Timer(device) as timer:
            results = _evaluate(cell, lm, options, cell.limit)
        records = score_records(results["samples"])
        check_metric(cell, records)
        done = {
            "seconds": timer.seconds,
            "requests": len(log) if keeps_log(cell) else None,
            "timing_repeats": repeats or (cell.timing.repeats if cell.timing else None),
            "peak_memory_bytes": peak_memory_bytes(device),
            "peak_memory_scope": peak_memory_scope(device),
        }
    write_lines(folder.scores, (record.model_dump() for record in records))
    provenance = read_json(folder.provenance)
    tasks = task_facts(results, sorted(results["samples"]))
    write_json(folder.provenance, {**provenance, "tasks": tasks})
    _save_lm_eval_files(cell, folder, results)
    write_json(folder.done, done)


def _evaluate(cell: Cell, lm: Any, options: Options, limit: int | None) -> dict[str, Any]:  # noqa: ANN401 - any lm-eval LM
    manager = task_manager(cell.task, options.include)
    try:
        results = simple_evaluate(
            model=lm,
            model_args=dict(cell.arguments),
            tasks=[cell.task],
            num_fewshot=cell.num_fewshot,
            apply_chat_template=cell.apply_chat_template,
            batch_size=cell.batch_size,
            limit=limit,
            bootstrap_iters=0,
            log_samples=True,
            task_manager=manager,
            confirm_run_unsafe_code=options.confirm_run_unsafe_code,
        )
    except ValueError as error:
        if "marked as unsafe" in str(error):
            raise UsageError(
                f"task {cell.task!r} runs code that the model wrote; allow it with "
                f"confirm_run_unsafe_code: true in the sweep file"
            ) from error
        raise
    return dict(results)


def _repeats(cell: Cell, folder: CellFolder, options: Options, lm: Any) -> int | None:  # noqa: ANN401 - any lm-eval LM
    """How often to time each request so that the cell measures for its `min_seconds`.

    A pilot of a few documents tells how long one request takes. Its log makes the answer the same
    when the cell is taken up again.
    """
    timing = cell.timing
    if timing is None or timing.min_seconds <= 0 or not keeps_log(cell):
        return None
    documents = min(_PILOT_DOCUMENTS, timing.requests)
    with FileLog(folder.pilot) as pilot:
        lm.log = pilot
        samples = _evaluate(cell, lm, options, documents)["samples"]
        records = [record for record in pilot.records() if record.seconds > 0]
    if not records:
        return timing.repeats
    per_document = sum(record.seconds for record in records) / (documents * len(samples))
    expected = per_document * timing.requests * len(samples)
    return max(timing.repeats, math.ceil(timing.min_seconds / expected))


def _save_lm_eval_files(cell: Cell, folder: CellFolder, results: dict[str, Any]) -> None:
    shutil.rmtree(folder.lm_eval, ignore_errors=True)
    folder.lm_eval.mkdir(parents=True)
    tracker = EvaluationTracker(output_path=str(folder.lm_eval / "results.json"))
    tracker.general_config_tracker.log_experiment_args(
        model_source=cell.model,
        model_args=dict(cell.arguments),
        system_instruction=None,
        chat_template=None,
        fewshot_as_multiturn=True,
    )
    samples = results.pop("samples")
    tracker.save_results_aggregated(results=results, samples=samples)
    for task, logged in samples.items():
        tracker.save_results_samples(task_name=task, samples=logged)
    _check_saved(folder.lm_eval, sorted(samples))


def _check_saved(folder: Path, tasks: list[str]) -> None:
    """lm-eval's tracker logs its failures and goes on; a cell must not be called done then."""
    wanted = ["results_*.json", *(f"samples_{task}_*.jsonl" for task in tasks)]
    for pattern in wanted:
        if not any(folder.glob(pattern)):
            raise OSError(f"lm-eval could not write {pattern} in {folder}")
