"""Why a cell cannot be run: told from the error, counted, and kept beside the cell.

Knows the cell's folder; knows neither models nor processes. Workers settle what is raised in them,
executors what ended a worker, and `run.run_sweep` says in the end what is left.
"""

import socket
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Literal

from dllm_eval.errors import UsageError
from dllm_eval.files import DiskFull, no_room, read_json, write_json
from dllm_eval.measure.memory import is_out_of_memory
from dllm_eval.sweep.folder import CellFolder

Kind = Literal["usage", "crash", "memory", "disk", "nan"]

MOST_ATTEMPTS = 2
"""Of a cell in one run, where another process may fare better: crashes and memory."""
MEMORY_REMEDY = "use a smaller quality.batch_size, or a device with more memory"


@dataclass(frozen=True, kw_only=True)
class Failure:
    """How the last try of a cell ended."""

    error: str
    """One line."""
    kind: Kind
    attempts: int
    host: str


def settle(files: CellFolder, kind: Kind, error: str) -> bool:
    """Counts a try of a cell that failed, and gives the cell up where another is of no use.

    Args:
        files: The cell's.
        kind: What ended it.
        error: One line.

    Returns:
        Whether the cell is to be tried again, in a fresh process.
    """
    found = Failure(
        error=_with_remedy(kind, " ".join(error.split())),
        kind=kind,
        attempts=(_read(files.attempts) or {"attempts": 0})["attempts"] + 1,
        host=socket.gethostname(),
    )
    again = kind in ("crash", "memory") and found.attempts < MOST_ATTEMPTS
    write_json(files.attempts if again else files.failed, asdict(found))
    return again


def failure_of(files: CellFolder) -> Failure | None:
    """Why the last run could not run the cell; None where it could, or was not there yet."""
    found = _read(files.failed)
    return None if found is None else Failure(**found)


def forgive(files: CellFolder) -> None:
    """Lets a new run try the cell again, as often as any."""
    for path in (files.failed, files.attempts):
        path.unlink(missing_ok=True)


def kind_of(error: BaseException) -> Kind:
    """What sort of failure an error is, by itself or by what it was raised from."""
    causes = list(_causes(error))
    if any(isinstance(one, DiskFull) or _no_room(one) for one in causes):
        return "disk"
    if any(is_out_of_memory(one) for one in causes):
        return "memory"
    if any(isinstance(one, FloatingPointError) or _not_finite(one) for one in causes):
        return "nan"
    return "usage" if isinstance(error, UsageError) else "crash"


def _causes(error: BaseException) -> Iterator[BaseException]:
    found: BaseException | None = error
    while found is not None:
        yield found
        found = found.__cause__


def _no_room(error: BaseException) -> bool:
    return isinstance(error, OSError) and no_room(error)


def _not_finite(error: BaseException) -> bool:
    """Samplers and estimators say so in a `UsageError`, because a wider dtype may be the remedy."""
    return isinstance(error, UsageError) and "logits are NaN" in str(error)


def _with_remedy(kind: Kind, error: str) -> str:
    return f"{error}; {MEMORY_REMEDY}" if kind == "memory" else error


def _read(path: Path) -> dict[str, Any] | None:
    found: dict[str, Any] | None = read_json(path) if path.exists() else None
    return found
