"""Makes points of a report from a folder that lm-eval itself wrote.

Each task or group of a run, metric and filter becomes a finished quality cell. It is compared
document by document with cells of the same task, version and shots, if their prompts are the same;
what does not match stays apart and a line says why. `store.py` calls it.
"""

import hashlib
import json
import math
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from dllm_eval.errors import UsageError
from dllm_eval.records import ScoreRecord
from dllm_eval.sweep.lm_eval_files import LmEvalRun, Sample, read_runs_of_lm_eval
from dllm_eval.sweep.pairing import Known, Suite, prompts_of, version_text
from dllm_eval.sweep.plan import IDENTITY_ARGUMENTS
from dllm_eval.sweep.scores import words_of

_OF_THE_RUN = {"records", "seed", "batch_size", "warmup", "timing_repeats"}


@dataclass(frozen=True, kw_only=True)
class Imported:
    """One cell made of a run: its row in the frame of cells, and its scores."""

    row: dict[str, Any]
    scores: tuple[ScoreRecord, ...]
    tasks: frozenset[str]
    records: Path | None
    """The run's request log, where it kept one."""


@dataclass(frozen=True, kw_only=True)
class Aggregate:
    """A score without its documents: nothing can be paired with it."""

    model: str
    task: str
    metric: str
    filter: str
    num_documents: int
    value: float
    stderr: float
    """Over documents, as lm-eval wrote it; NaN where it did not."""


@dataclass(frozen=True, kw_only=True)
class Import:
    """What a folder of lm-eval's gave."""

    cells: list[Imported] = field(default_factory=list)
    aggregates: list[Aggregate] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    """What a reader of the report must know of it."""


def import_folder(folder: Path, known: dict[str, Known]) -> Import:
    """Reads a folder; of runs of the same model, settings and task the newest counts.

    Args:
        folder: With lm-eval's results_*.json somewhere below it.
        known: Task -> a cell of it that others are compared with; tasks met first here are added.

    Raises:
        UsageError: No such file in it, or a damaged one.
    """
    runs = read_runs_of_lm_eval(folder)
    if not runs:
        raise UsageError(
            f"{str(folder)!r} is not a results folder: it has neither a sweep.json, as `dllm-eval "
            "sweep` writes it, nor a results_*.json, as `lm_eval run --output_path` writes it"
        )
    found = Import()
    newest = {(_identity(run), name): run for run in runs for name in run.suites}
    for (_, name), run in newest.items():
        _add(found, run, name, known)
    superseded = sum(len(run.suites) for run in runs) - len(newest)
    if superseded:
        found.notes.append(
            f"{folder}: {superseded} older results of the same model, settings and task are left "
            "out; the newest counts"
        )
    return found


def _add(found: Import, run: LmEvalRun, name: str, known: dict[str, Known]) -> None:
    tasks = run.suites[name]
    samples = {task: run.samples(task) for task in tasks}
    logged = {task: rows for task, rows in samples.items() if rows is not None}
    if len(logged) < len(tasks):
        found.aggregates.extend(_aggregates(run, name, tasks))
        found.notes.append(
            f"{run.file}: no samples of {name!r} were logged, so its scores stand alone and are "
            "paired with nothing; run it again with --log_samples"
        )
        return
    scores = _scores(logged)
    own = _known(run, name, logged, {score.metric for score in scores})
    other = known.setdefault(name, own)
    variant = other.difference(own)
    if variant:
        found.notes.append(
            f"{run.file}: {name!r} is not compared with the other cells of that task: {variant}"
        )
    records = _log_file(run, found.notes)
    for metric, kind in sorted({(x.metric, x.filter) for x in scores if x.metric in other.suites}):
        if any(run.lower_is_better(task, metric) for task in tasks):
            found.notes.append(f"{run.file}: {metric!r} of {name!r} is left out: lower is better")
            continue
        part = tuple(x for x in scores if (x.metric, x.filter) == (metric, kind))
        if any(not 0 <= x.value <= 1 for x in part):
            found.notes.append(f"{run.file}: {metric!r} of {name!r} is left out: it is no share")
            continue
        row = _row(run, name, metric, kind) | {
            "suite": other.suites[metric].title,
            "chance": other.suites[metric].chance,
            "num_fewshot": own.num_fewshot if variant else other.asked_fewshot,
            "limit": len({(x.task, x.doc_id) for x in scores}),
            "variant": variant,
        }
        cell = Imported(row=row, scores=part, tasks=frozenset(tasks), records=records)
        found.cells.append(cell)


def _known(run: LmEvalRun, name: str, logged: dict[str, list[Sample]], metrics: set[str]) -> Known:
    """What a run says of a task, as others are to be compared with it."""
    versions, shots = run.data.get("versions") or {}, run.data.get("n-shot") or {}
    counts = {shots.get(task) for task in logged}
    num_fewshot = counts.pop() if len(counts) == 1 else None
    titles = {x: name if len(metrics) == 1 else f"{name}, {x}" for x in metrics}
    return Known(
        suites={metric: Suite(title=title, chance=0.0) for metric, title in titles.items()},
        asked_fewshot=num_fewshot,
        num_fewshot=num_fewshot,
        version=version_text(versions.get(task) for task in logged),
        prompts=prompts_of(logged),
    )


def _log_file(run: LmEvalRun, notes: list[str]) -> Path | None:
    """The run's request log: as it was named, or beside the results if these have moved."""
    named = run.arguments.get("records")
    if not isinstance(named, str):
        return None
    places = [Path(named), *(parent / Path(named).name for parent in run.file.parents[:3])]
    there = next((path for path in places if path.is_file()), None)
    if there is None:
        notes.append(f"{run.file}: its request log {named} is not there, so no latency is known")
    return there


def _row(run: LmEvalRun, name: str, metric: str, kind: str) -> dict[str, Any]:
    settings = _settings(run)
    identity = _hash([_identity(run), name, metric, kind])
    versions, dtype = run.versions, str(run.config.get("model_dtype") or "")
    provenance = {
        "imported_from": run.file.name,
        "versions": versions,
        "machine": {"name": run.machine},
        "dtype": dtype.removeprefix("torch.") or None,
        "weights": run.config.get("model_sha") or None,
        "git_commit": run.data.get("git_hash"),
        "settings": settings,
        "tasks": run.task_facts(run.suites[name]),
        "chat_template_sha": run.data.get("chat_template_sha"),
    }
    return {
        "cell_id": f"imported-{identity}",
        "config_id": f"imported-{identity}",
        "folder": str(run.file.parent),
        "model": f"{run.model_name} (imported)",
        "kind": "diffusion" if run.is_diffusion else "autoregressive",
        "task": name,
        "metric": metric,
        "filter": kind,
        "purpose": "quality",
        "dial": "",
        "dial_value": math.nan,
        "settings": settings,
        "batch_size": _whole(run.config.get("batch_size")),
        "seed": int(run.arguments.get("seed") or 0),
        "apply_chat_template": run.chat_template,
        "machine": run.machine,
        "provenance": {key: value for key, value in provenance.items() if value},
        "done": {},
        "finished": True,
        "failed": "",
        "imported": True,
    }


def _identity(run: LmEvalRun) -> str:
    told = {k: v for k, v in run.arguments.items() if k not in _OF_THE_RUN}
    shots = json.dumps(run.data.get("n-shot"), sort_keys=True)
    return _hash([run.config.get("model"), told, run.config.get("gen_kwargs"), shots])


def _hash(value: object) -> str:
    text = json.dumps(value, sort_keys=True, default=str)
    return hashlib.sha256(text.encode()).hexdigest()[:12]


def _settings(run: LmEvalRun) -> dict[str, Any]:
    """What the model was told besides who it is; plain values only."""
    skipped = _OF_THE_RUN | IDENTITY_ARGUMENTS
    told = {**run.arguments, **(run.config.get("gen_kwargs") or {})}
    plain = (bool, int, float, str)
    return {k: v for k, v in told.items() if k not in skipped and isinstance(v, plain)}


def _whole(value: object) -> int:
    """A batch size; "auto" and the like are 0, which is no size."""
    text = str(value)
    return int(text) if text.isdigit() else 0


def _aggregates(run: LmEvalRun, name: str, tasks: list[str]) -> Iterator[Aggregate]:
    for metric, kind, value, stderr in run.aggregates(name):
        if not any(run.lower_is_better(task, metric) for task in tasks):
            yield Aggregate(
                model=f"{run.model_name} (imported)",
                task=name,
                metric=metric,
                filter=kind,
                num_documents=run.num_documents(tasks),
                value=value,
                stderr=stderr,
            )


def _scores(logged: dict[str, list[Sample]]) -> list[ScoreRecord]:
    """One record per document, metric and filter; metrics that are no number have none."""
    return [
        ScoreRecord(
            task=task,
            doc_id=int(row["doc_id"]),
            metric=metric,
            filter=str(row.get("filter", "none")),
            value=float(row[metric]),
            weight=None,
            gold=_gold(row),
            **words_of(row),
        )
        for task, rows in logged.items()
        for row in rows
        for metric in row.get("metrics", ())
        if isinstance(row.get(metric), bool | int | float)
    ]


def _gold(row: Sample) -> int | None:
    """The number of the right choice; lm-eval's files hold every target as a text."""
    target, num_choices = str(row.get("target", "")), len(row.get("resps", ()))
    if num_choices < 2 or not target.isdecimal() or int(target) >= num_choices:
        return None
    return int(target)
