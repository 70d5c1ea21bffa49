"""Hands finished quality cells to lm-eval's own loggers: one run of the tracker per cell.

Knows the two loggers of lm-eval 0.4.13 (lm_eval/loggers: WandbLogger, TrackioLogger) and how its
command line calls them; knows no tracker itself. `run.py` checks, `cell.py` logs, the command line
asks what failed.
"""

import logging
from collections.abc import Callable, Iterable, Iterator, Mapping
from importlib import import_module
from importlib.util import find_spec
from typing import Any

from dllm_eval.errors import UsageError, unknown
from dllm_eval.files import read_json, write_json
from dllm_eval.sweep.folder import CellFolder, ResultsFolder
from dllm_eval.sweep.plan import Cell

Loggers = Mapping[str, Mapping[str, Any]]
"""Tracker -> arguments of its `init`, as the sweep file says."""

_log = logging.getLogger(__name__)


def check_loggers(names: Iterable[str]) -> None:
    """Makes sure, before anything runs, that the trackers are there.

    Raises:
        UsageError: One is unknown, or its package is not installed.
    """
    for name in names:
        if name not in _OPEN:
            raise unknown("logger", name, _OPEN)
        if find_spec(name) is None:
            raise UsageError(f"logger {name!r} needs the package {name}: pip install {name}")


def log_cell(
    cell: Cell, files: CellFolder, results: dict[str, Any], loggers: Loggers, group: str
) -> None:
    """Logs a finished cell to each tracker; one that fails costs a warning line and no more.

    Args:
        cell: Its label names the run.
        files: Where it lies; `loggers.json` there says what became of it.
        results: What `simple_evaluate` gave back, samples included, as it was.
        loggers: From the sweep file.
        group: The sweep's name.
    """
    outcome = {}
    for name, told in loggers.items():
        arguments = {"name": cell.label, "group": group, **told}
        try:
            _OPEN[name](arguments, _facts(cell))(results)
            outcome[name] = ""
        except Exception as error:  # a tracker's fault must not cost the cell
            first = (str(error).strip().splitlines() or [""])[0]
            outcome[name] = f"{type(error).__name__}: {first}"
            _log.warning("%s could not log the cell %s: %s", name, cell.label, outcome[name])
    write_json(files.path / "loggers.json", outcome)


def failed_logs(folder: ResultsFolder) -> Iterator[str]:
    """One line for each cell that a tracker did not take."""
    for cell in folder.cells():
        path = folder.cell(cell.cell_id).path / "loggers.json"
        if path.exists():
            for name, error in read_json(path).items():
                if error:
                    yield f"{name} could not log the cell {cell.label}: {error}"


def _facts(cell: Cell) -> dict[str, Any]:
    """What a tracker shows of a run's setting."""
    return {
        "cell_id": cell.cell_id,
        "model": cell.name,
        "kind": cell.kind,
        "task": cell.task,
        "suite": cell.suite,
        "seed": cell.seed,
        **cell.arguments,
    }


Send = Callable[[dict[str, Any]], None]


def _wandb(arguments: dict[str, Any], facts: dict[str, Any]) -> Send:
    tracker = import_module("lm_eval.loggers").WandbLogger(arguments, facts)
    return lambda results: _send(tracker, results, tracker.run.finish)


def _trackio(arguments: dict[str, Any], facts: dict[str, Any]) -> Send:
    tracker = import_module("lm_eval.loggers").TrackioLogger({"config": facts, **arguments})
    return lambda results: _send(tracker, results, tracker.finish)


def _send(tracker: Any, results: dict[str, Any], finish: Callable[[], None]) -> None:  # noqa: ANN401 - lm-eval's loggers share no type
    """In the order of lm-eval's command line; the run is closed even if its samples are refused."""
    try:
        tracker.post_init({key: value for key, value in results.items() if key != "samples"})
        tracker.log_eval_result()
        tracker.log_eval_samples(results["samples"])
    finally:
        finish()


_OPEN: dict[str, Callable[[dict[str, Any], dict[str, Any]], Send]] = {
    "wandb": _wandb,
    "trackio": _trackio,
}
