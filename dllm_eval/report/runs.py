"""What lm-eval's own result files say was run: model, settings, protocol, scores.

Reads the files that `dllm-eval run --output_path` and every cell of a sweep leave behind; knows no
card and touches no model. `reproduced.py` compares the runs with published scores.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from dllm_eval.errors import UsageError
from dllm_eval.files import read_json
from dllm_eval.report.run_noise import monte_carlo_stderr, samples
from dllm_eval.stats.resample import NORMAL_975, UNKNOWN, Interval, wilson_interval

DIFFUSION = ("dllm", "DiffusionLM")
"""How lm-eval names our diffusion model: by its registry name, or by its class in a sweep."""


@dataclass(frozen=True, kw_only=True)
class Measured:
    """One metric of a run, a share of 1."""

    value: float
    interval: Interval
    """95 %, from the standard error over documents; Wilson's where all documents agree."""
    monte_carlo: float
    """Standard error under other seeds with the same documents, which is in the interval, too; 0
    where nothing is drawn, NaN where no records say."""


@dataclass(frozen=True, kw_only=True)
class Run:
    """One task of one evaluation of a diffusion model."""

    file: Path
    task: str
    pretrained: str
    arguments: dict[str, Any]
    """What the model was given, as lm-eval wrote it down."""
    num_fewshot: int | None
    chat_template: bool
    num_documents: int
    complete: bool
    """Whether every document of the task was asked."""
    measured: dict[tuple[str, str], Measured]
    """(metric, filter) -> its value."""


def read_runs(folders: Sequence[Path]) -> list[Run]:
    """Every finished evaluation below the folders, oldest first.

    Raises:
        UsageError: A folder holds no result file of lm-eval, or a damaged one.
    """
    found = []
    for folder in folders:
        files = sorted(Path(folder).rglob("results_*.json"))
        if not files:
            raise UsageError(
                f"{str(folder)!r} holds no lm-eval results_*.json; name a folder that `dllm-eval "
                "sweep --out` or `dllm-eval run --output_path` wrote"
            )
        found += [(float(data.get("date") or 0.0), file, data) for file, data in map(_read, files)]
    return [
        run for _, file, data in sorted(found, key=lambda x: x[:2]) for run in _runs(file, data)
    ]


def _read(file: Path) -> tuple[Path, dict[str, Any]]:
    data = read_json(file)
    if not isinstance(data, dict) or not isinstance(data.get("results"), dict):
        raise UsageError(f"{file} is not a result file of lm-eval: it has no results")
    return file, data


def _runs(file: Path, data: dict[str, Any]) -> list[Run]:
    config = data.get("config") or {}
    arguments = config.get("model_args")
    if config.get("model") not in DIFFUSION or not isinstance(arguments, dict):
        return []
    cell = _cell_of(file)
    if cell is not None and cell["purpose"] != "quality":
        return []
    chat = cell["apply_chat_template"] if cell is not None else data.get("chat_template")
    runs = []
    for task, results in data["results"].items():
        parts = (data.get("group_subtasks") or {}).get(task) or [task]
        counts = [data["n-samples"][part] for part in parts if part in data.get("n-samples", {})]
        runs.append(
            Run(
                file=file,
                task=task,
                pretrained=str(arguments.get("pretrained", "")),
                arguments=arguments,
                num_fewshot=(data.get("n-shot") or {}).get(task),
                chat_template=bool(chat),
                num_documents=sum(int(count["effective"]) for count in counts),
                complete=bool(counts) and all(c["effective"] == c["original"] for c in counts),
                measured=_measured(file, parts, results, counts, _log(file, cell, arguments)),
            )
        )
    return runs


def _cell_of(file: Path) -> dict[str, Any] | None:
    """The sweep cell that a result file belongs to, if it belongs to one."""
    path = next((parent / "cell.json" for parent in file.parents if parent.name != "lm_eval"), None)
    if path is None or file.parent.name != "lm_eval" or not path.exists():
        return None
    cell: dict[str, Any] = read_json(path)
    return cell


def _log(file: Path, cell: dict[str, Any] | None, arguments: dict[str, Any]) -> Path | None:
    """The run's request log: beside its cell, or where the run was told to keep it."""
    if cell is not None:
        return file.parent.parent / "requests.jsonl"
    named = arguments.get("records")
    return Path(named) if isinstance(named, str) else None


def _measured(
    file: Path,
    parts: list[str],
    results: dict[str, Any],
    counts: list[dict[str, int]],
    log: Path | None,
) -> dict[tuple[str, str], Measured]:
    out = {}
    num_documents = sum(int(count["effective"]) for count in counts)
    for key, value in results.items():
        metric, _, kind = key.partition(",")
        if not kind or metric.endswith("_stderr") or not isinstance(value, int | float):
            continue
        stderr = results.get(f"{metric}_stderr,{kind}")
        if not isinstance(stderr, int | float):
            stderr = _stderr(file, parts, metric, kind)
        out[metric, kind] = Measured(
            value=float(value),
            interval=_interval(float(value), float(stderr), num_documents),
            monte_carlo=monte_carlo_stderr(file, parts, log, metric, kind),
        )
    return out


def _interval(value: float, stderr: float, num_documents: int) -> Interval:
    if value in (0.0, 1.0) and num_documents:
        return wilson_interval(successes=round(value * num_documents), trials=num_documents)
    if not math.isfinite(stderr):
        return UNKNOWN
    half = NORMAL_975 * stderr
    return Interval(low=max(0.0, value - half), high=min(1.0, value + half))


def _stderr(file: Path, parts: list[str], metric: str, kind: str) -> float:
    """The standard error of a metric's mean, from the samples beside the result file."""
    values = [
        float(sample[metric])
        for logged in samples(file, parts).values()
        for sample in logged
        if sample.get("filter") == kind and isinstance(sample.get(metric), int | float)
    ]
    if len(values) < 2:
        return math.nan
    mean = sum(values) / len(values)
    variance = sum((value - mean) ** 2 for value in values) / (len(values) - 1)
    return math.sqrt(variance / len(values))
