"""A Slurm cluster, through submitit: bundles of cells as the entries of a job array.

Knows what is asked of Slurm; loads no model itself, and nothing comes back but what jobs write into
the results folder, which every node sees. The command line makes the executor.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from dllm_eval.errors import UsageError
from dllm_eval.sweep.executors.dispatch import drive, extra
from dllm_eval.sweep.executors.slurm_pool import Request, SlurmPool
from dllm_eval.sweep.plan import Cell, Purpose
from dllm_eval.sweep.stage import Stage

_DEFAULT_MINUTES = "240"
_RESERVED = frozenset({"array", "array_parallelism", "cpus_per_task", "gpus_per_node", "setup"})
_RESUBMISSIONS = 1000
"""Times that a job which ran out of its time is put into the queue again."""


@dataclass(frozen=True)
class SlurmExecutor:
    """An `executor.Executor` over a Slurm cluster.

    Jobs outlive this process: if it is killed and the sweep started again, they are found again.

    Args:
        jobs: The most quality jobs at a time.
        cpus_per_cell: Processors, and CPU threads, of a quality job; a timing has the node's.
        gpus_per_cell: GPUs of a job; Slurm cannot be asked for a good one.
        options: More of sbatch's options, for example {"partition": "gpu", "time": "240"}; the time
            in minutes.
        cluster: submitit's name of where jobs go; "local" is processes of this machine.
    """

    jobs: int = 8
    cpus_per_cell: int = 1
    gpus_per_cell: int | None = None
    options: Mapping[str, str] = field(default_factory=dict)
    cluster: str = "slurm"

    def __post_init__(self) -> None:
        """Finds what is wrong before anything is planned.

        Raises:
            UsageError: submitit is not installed, or an option is wrong.
        """
        extra("submitit", "slurm")
        self._parameters("quality", 0)

    def run(self, stage: Stage) -> None:
        """Runs the stage's pending cells; see `executor.Executor`."""
        pending = stage.pending()
        if not pending:
            stage.report()
            return
        submitit = extra("submitit", "slurm")
        request = Request(
            jobs=self.jobs if stage.purpose == "quality" else 1,
            threads=self._threads(stage),
            parameters=self._parameters(stage.purpose, self._gpus(pending)),
        )
        folder = stage.folder.path.resolve() / "workers" / "slurm"
        try:
            executor = submitit.AutoExecutor(
                folder=folder, cluster=self.cluster, slurm_max_num_timeout=_RESUBMISSIONS
            )
        except RuntimeError as error:
            raise UsageError(
                f"--executor slurm finds no Slurm here ({error}); run it on a login node of the "
                f"cluster"
            ) from error
        drive(stage, SlurmPool(submitit, executor, stage, request))

    def _threads(self, stage: Stage) -> int:
        if stage.purpose == "quality":
            return self.cpus_per_cell
        return stage.sweep.latency.threads or self.cpus_per_cell

    def _gpus(self, cells: list[Cell]) -> int:
        on_cpu = all(cell.arguments.get("device") == "cpu" for cell in cells)
        if self.gpus_per_cell is None and not on_cpu:
            raise UsageError(
                "--executor slurm needs --gpus-per-cell: the GPUs of a job, 0 where models run on "
                "the CPU"
            )
        return self.gpus_per_cell or 0

    def _parameters(self, purpose: Purpose, gpus: int) -> dict[str, Any]:
        """submitit's, for a job of a purpose."""
        taken = sorted(_RESERVED & self.options.keys())
        if taken:
            raise UsageError(
                f"--slurm {taken[0]} is set by the sweep; pass --workers, --cpus-per-cell and "
                f"--gpus-per-cell"
            )
        options = {"time": _DEFAULT_MINUTES, **self.options}
        minutes = options.pop("time")
        if not minutes.isdigit() or int(minutes) < 1:
            raise UsageError(f"--slurm time={minutes} is no number of minutes; for example 240")
        parameters = {
            "name": f"dllm-eval-{purpose}",
            "timeout_min": int(minutes),
            "cpus_per_task": self.cpus_per_cell,
            "slurm_additional_parameters": {k.replace("_", "-"): v for k, v in options.items()},
        }
        if gpus:
            parameters["gpus_per_node"] = gpus
        if purpose != "quality":
            parameters["slurm_exclusive"] = True  # the node to itself
        return parameters
