"""Runs one load cell: offers its model a load and keeps when requests were offered and answered.

Knows the cell's folder and lm-eval's samples; how a load is offered is the model class's own
affair (`adapters/load.py` for ours, the server for the others). `cell.run_cell` calls it. A cell
that was cut off starts anew, because the rest of a load is another load.
"""

from collections.abc import Mapping, Sequence
from typing import Any

from dllm_eval.errors import UsageError
from dllm_eval.files import read_json, write_json, write_lines
from dllm_eval.load import Load
from dllm_eval.measure.clock import Timer
from dllm_eval.measure.energy import EnergyMeter
from dllm_eval.measure.memory import peak_memory_bytes, peak_memory_scope, reset_peak
from dllm_eval.records import RequestRecord
from dllm_eval.request_log import FileLog
from dllm_eval.sweep.cell_provenance import (
    begin_provenance,
    device_of,
    is_local,
    served,
    task_files,
)
from dllm_eval.sweep.evaluation import Options, evaluate
from dllm_eval.sweep.folder import CellFolder
from dllm_eval.sweep.models import build
from dllm_eval.sweep.plan import Cell
from dllm_eval.sweep.tasks import task_facts


def run_load(cell: Cell, folder: CellFolder, options: Options) -> None:
    """Offers a cell's load from its beginning, and writes what became of it.

    Args:
        cell: Has a load.
        folder: Its files; requests of a try that was cut off are thrown away.
        options: Of its sweep.

    Raises:
        UsageError: The task asks for no text, a model argument is wrong, or an answer failed.
    """
    load = cell.load
    if load is None:
        raise UsageError(f"{cell.label} has no load")
    folder.requests.unlink(missing_ok=True)
    with FileLog(folder.requests) as log:
        lm = build(cell, log)
        begin_provenance(cell, folder, lm, options.include)
        lm.load = load
        device = device_of(lm)
        reset_peak(device)
        with EnergyMeter(device, idle_s=0.0) as meter, Timer(device) as timer:
            results = evaluate(cell, lm, options, cell.limit, predict_only=True)
        records = log.records()
        done: dict[str, Any] = {
            "seconds": timer.seconds,
            "requests": len(log),
            "scores": 0,
            "load": facts_of(load, records, asked=num_asked(results["samples"])),
        }
        if is_local(lm):
            done |= {
                "energy": meter.reading(),
                "peak_memory_bytes": peak_memory_bytes(device),
                "peak_memory_scope": peak_memory_scope(device),
            }
    write_lines(folder.scores, ())
    tasks = task_facts(results, sorted(results["samples"]))
    files = task_files(cell, folder, options.include)
    facts = {**served(lm), "tasks": tasks, "task_files": files}
    write_json(folder.provenance, {**read_json(folder.provenance), **facts})
    write_json(folder.done, done)


def facts_of(load: Load, records: Sequence[RequestRecord], *, asked: int) -> dict[str, Any]:
    """What the records say of a load.

    Args:
        load: What was to be offered.
        records: Of every request that was.
        asked: How many requests the task made.

    Returns:
        `window_s` from the first offer to the last answer, `offered` and `answered` requests, and
        why nothing more was offered (`stopped_by`, see `load.StoppedBy`).

    Raises:
        UsageError: A record does not say when its request was offered.
    """
    offers = [record.offered_s for record in records if record.offered_s is not None]
    if len(offers) < len(records):
        raise UsageError("a request under load has no offered_s; the model class must record it")
    ends = [at + record.seconds for at, record in zip(offers, records, strict=True)]
    return {
        "window_s": max(ends) - min(offers) if ends else 0.0,
        "offered": len(offers),
        "answered": len(ends),
        "stopped_by": load.stopped_by(len(offers), asked),
    }


def num_asked(samples: Mapping[str, Sequence[Mapping[str, Any]]]) -> int:
    """How many requests lm-eval made of the documents of a run; each filter lists them again."""
    found = {
        (task, sample["doc_id"]): sum(len(answers) for answers in sample["resps"])
        for task, logged in samples.items()
        for sample in logged
    }
    return sum(found.values())
