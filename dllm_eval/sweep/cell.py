"""Runs one cell through lm-eval and leaves its records, scores and provenance in its folder.

Knows what of a cell is measured and kept; knows no model family and no other cell. Workers call
`run_cell`.
"""

import math
from copy import deepcopy
from typing import Any

from dllm_eval.files import read_json, write_json, write_lines
from dllm_eval.measure.clock import Timer
from dllm_eval.measure.energy import LEAST_SECONDS, EnergyMeter
from dllm_eval.measure.memory import peak_memory_bytes, peak_memory_scope, reset_peak
from dllm_eval.request_log import FileLog
from dllm_eval.sweep.cell_provenance import (
    begin_provenance,
    device_of,
    is_local,
    served,
    task_files,
)
from dllm_eval.sweep.evaluation import Options as Options
from dllm_eval.sweep.evaluation import evaluate
from dllm_eval.sweep.folder import CellFolder, Share
from dllm_eval.sweep.load_cell import run_load
from dllm_eval.sweep.loggers import log_cell
from dllm_eval.sweep.models import build, keeps_log
from dllm_eval.sweep.plan import Cell
from dllm_eval.sweep.quiet import collect_environment_once
from dllm_eval.sweep.scores import check_metric, score_records
from dllm_eval.sweep.tasks import task_facts
from dllm_eval.sweep.tracked_files import save_lm_eval_files

_PILOT_DOCUMENTS = 2


def run_cell(cell: Cell, folder: CellFolder, options: Options) -> None:
    """Runs what is missing of a cell; a finished cell is left alone.

    Raises:
        UsageError: The task, the metric or a model argument is wrong, or the folder holds requests
            of other weights or other software.
    """
    if folder.finished:
        return
    collect_environment_once()
    if cell.load is not None:
        run_load(cell, folder, options)
        return
    take_shares(folder)
    with FileLog(folder.requests) as log:
        answered = len(log)
        lm = build(cell, log)
        begin_provenance(cell, folder, lm, options.include)
        repeats = _repeats(cell, folder, options, lm)
        if repeats is not None:
            lm = build(cell, log, repeats=repeats)
        device = device_of(lm)
        reset_peak(device)
        with EnergyMeter(device, idle_s=_idle_s(cell)) as meter, Timer(device) as timer:
            results = evaluate(cell, lm, options, cell.limit)
        records = score_records(results["samples"], cell.metric)
        check_metric(cell, records)
        done: dict[str, Any] = {
            "seconds": timer.seconds,
            "requests": len(log) if keeps_log(cell) else None,
            "scores": len(records),
            "requests_timed": len(log) - answered if keeps_log(cell) else None,
            "timing_repeats": repeats or (cell.timing.repeats if cell.timing else None),
        }
        if is_local(lm):
            done |= {
                "energy": meter.reading(),
                "peak_memory_bytes": peak_memory_bytes(device),
                "peak_memory_scope": peak_memory_scope(device),
            }
        repeated = log.repeats
    if repeated:
        write_lines(folder.requests, (one.model_dump(mode="json") for one in log.records()))
    write_lines(folder.scores, (record.model_dump() for record in records))
    provenance = read_json(folder.provenance)
    tasks = task_facts(results, sorted(results["samples"]))
    isolation = "/".join(sorted({x.isolation for x in records if x.isolation})) or None
    files = task_files(cell, folder, options.include)
    facts = {**served(lm), "tasks": tasks, "isolation": isolation, "task_files": files}
    write_json(folder.provenance, {**provenance, **facts})
    # Saving changes the samples, and a tracker is told only what is safe on the disk.
    told = deepcopy(results) if options.loggers and cell.purpose == "quality" else None
    save_lm_eval_files(cell, folder, results)
    write_json(folder.done, done)
    if told is not None:
        log_cell(cell, folder, told, options.loggers, options.sweep)


def _idle_s(cell: Cell) -> float:
    """Idle power needs the device to itself; where timing is relaxed, there is no time for it."""
    exact = cell.timing is not None and not cell.timing.relaxed
    return LEAST_SECONDS if exact else 0.0


def run_share(cell: Cell, folder: CellFolder, options: Options, share: Share) -> None:
    """Answers a share of a cell's requests and scores none; `run_cell` takes them in.

    Args:
        cell: A cell whose model can (`models.shareable`).
        folder: Its files.
        options: Of its sweep.
        share: (index, count): every count-th batch, from the index on.

    Raises:
        UsageError: As `run_cell`.
    """
    collect_environment_once()
    known = [folder.requests, *folder.share_logs]
    with FileLog(folder.share_log(share), also=known) as log:
        lm = build(cell, log)
        begin_provenance(cell, folder, lm, options.include)
        lm.share = share
        evaluate(cell, lm, options, cell.limit, predict_only=True)


def take_shares(folder: CellFolder) -> None:
    """Moves the requests that shares of a cell have answered into its own log."""
    shares = folder.share_logs
    if not shares:
        return
    with FileLog(folder.requests, also=shares) as log:
        log.take_others()
    for path in shares:
        path.unlink()


def _repeats(cell: Cell, folder: CellFolder, options: Options, lm: Any) -> int | None:  # noqa: ANN401 - any lm-eval LM
    """How often to time each request so that the cell measures for its `min_seconds`.

    A pilot of a few documents tells how long one request takes. Its log makes the answer the same
    when the cell is taken up again.
    """
    timing = cell.timing
    if timing is None or timing.min_seconds <= 0 or not keeps_log(cell):
        return None
    # A batch that is not full costs more for each document.
    documents = min(max(_PILOT_DOCUMENTS, cell.batch_size), timing.requests)
    with FileLog(folder.pilot) as pilot:
        lm.log = pilot
        samples = evaluate(cell, lm, options, documents)["samples"]
        records = [record for record in pilot.records() if record.seconds > 0]
    if not records:
        return timing.repeats
    per_document = sum(record.seconds for record in records) / (documents * len(samples))
    expected = per_document * timing.requests * len(samples)
    return max(timing.repeats, math.ceil(timing.min_seconds / expected))
