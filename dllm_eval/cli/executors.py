"""Where a sweep runs: the options of `dllm-eval sweep` that say so, made into an executor.

Knows which option belongs to which executor; knows no sweep. `sweeps.py` calls it.
"""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING, Annotated

import typer

from dllm_eval.errors import UsageError

if TYPE_CHECKING:
    from dllm_eval.sweep.executors.executor import Executor


class ExecutorName(StrEnum):
    """What `--executor` takes."""

    LOCAL = "local"
    RAY = "ray"
    SLURM = "slurm"


ExecutorOption = Annotated[
    ExecutorName, typer.Option("--executor", help="Run here, on a Ray cluster, or by Slurm.")
]
WorkersOption = Annotated[
    int | None,
    typer.Option("--workers", min=1, help="Quality at a time: processes (1), or Slurm jobs (8)."),
]
NoWaitOption = Annotated[
    bool,
    typer.Option("--no-wait", help="Leave cells alone that another sweep runs, and end."),
]
WorkerTimeoutOption = Annotated[
    float | None,
    typer.Option(
        "--worker-timeout",
        min=1,
        help="Seconds without a finished request after which a process is ended, and its cell "
        "tried again.",
    ),
]
RayAddressOption = Annotated[
    str | None,
    typer.Option("--ray-address", help="HOST:PORT, auto, or local to start one here (auto)"),
]
CpusOption = Annotated[
    int | None,
    typer.Option("--cpus-per-cell", min=1, help="Processors of a quality cell on a cluster (1)"),
]
GpusOption = Annotated[
    float | None,
    typer.Option("--gpus-per-cell", min=0, help="GPUs of a cell on a cluster; Ray: also parts."),
]
SlurmOption = Annotated[
    list[str] | None,
    typer.Option("--slurm", help="An option of sbatch: partition=gpu, time=240 (minutes), ..."),
]


@dataclass(frozen=True, kw_only=True)
class Where:
    """The options, as the user gave them; None was not given."""

    executor: ExecutorName = ExecutorName.LOCAL
    workers: int | None = None
    no_wait: bool = False
    worker_timeout_s: float | None = None
    ray_address: str | None = None
    cpus_per_cell: int | None = None
    gpus_per_cell: float | None = None
    slurm: Sequence[str] | None = None


_TAKES = {
    ExecutorName.LOCAL: {"workers", "no_wait", "worker_timeout_s"},
    ExecutorName.RAY: {"ray_address", "cpus_per_cell", "gpus_per_cell"},
    ExecutorName.SLURM: {"workers", "cpus_per_cell", "gpus_per_cell", "slurm"},
}


@contextmanager
def opened(where: Where) -> Iterator["Executor"]:
    """The executor that the options name, until the block ends.

    Raises:
        UsageError: An option that this executor does not take, or its package is not installed.
    """
    _check(where)
    if where.executor is ExecutorName.RAY:
        from dllm_eval.sweep.executors.ray import RayExecutor

        with RayExecutor(
            where.ray_address or "auto",
            cpus_per_cell=where.cpus_per_cell or 1,
            gpus_per_cell=where.gpus_per_cell,
        ) as executor:
            yield executor
    elif where.executor is ExecutorName.SLURM:
        yield _slurm(where)
    else:
        from dllm_eval.sweep.executors.local import LocalExecutor

        yield LocalExecutor(
            where.workers or 1, wait=not where.no_wait, worker_timeout_s=where.worker_timeout_s
        )


def _check(where: Where) -> None:
    for name in sorted(set().union(*_TAKES.values()) - _TAKES[where.executor]):
        if getattr(where, name) not in (None, [], False):
            owners = " and ".join(kind for kind, takes in _TAKES.items() if name in takes)
            option = name.removesuffix("_s").replace("_", "-")
            raise UsageError(
                f"--{option} is for --executor {owners}, this is --executor {where.executor}; "
                "leave it out"
            )


def _slurm(where: Where) -> "Executor":
    from dllm_eval.sweep.executors.slurm import SlurmExecutor

    gpus = where.gpus_per_cell
    if gpus is not None and gpus != int(gpus):
        raise UsageError(f"--gpus-per-cell is {gpus:g}; Slurm gives whole GPUs")
    options = {}
    for text in where.slurm or ():
        key, sign, value = text.partition("=")
        if not key or not sign or not value:
            raise UsageError(f"--slurm {text} is not of the form KEY=VALUE, as partition=gpu is")
        options[key.removeprefix("--")] = value
    return SlurmExecutor(
        jobs=where.workers or 8,
        cpus_per_cell=where.cpus_per_cell or 1,
        gpus_per_cell=None if gpus is None else int(gpus),
        options=options,
    )
