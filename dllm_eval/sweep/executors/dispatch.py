"""Hands bundles of cells to a cluster, and what is left of a bundle again when its worker dies.

Knows bundles and the results folder; knows no cluster: that is a `Pool`. The Ray and the Slurm
executor bring one each and call `drive`.
"""

import time
from collections.abc import Sequence
from importlib import import_module
from typing import Any, Protocol

from dllm_eval.errors import UsageError
from dllm_eval.sweep.executors.bundles import Bundle
from dllm_eval.sweep.executors.losses import Ended, Losses
from dllm_eval.sweep.plan import Cell
from dllm_eval.sweep.stage import Stage

POLL_S = 0.5


class Pool(Protocol):
    """Runs bundles somewhere."""

    def pack(self, cells: Sequence[Cell]) -> list[Bundle]:
        """The bundles that cells are to travel in, all with a place where they can run.

        Raises:
            UsageError: There is no place for some.
        """
        ...

    def submit(self, bundles: Sequence[Bundle]) -> None:
        """Starts bundles, or puts them in the queue."""
        ...

    def ended(self, wait_s: float) -> list[Ended]:
        """Those that ended since the last call; may wait so long for the first of them."""
        ...

    @property
    def busy(self) -> bool:
        """Whether any bundle runs or waits."""
        ...

    def underway(self) -> set[str]:
        """Ids of the cells of all bundles that run or wait."""
        ...

    def cancel(self) -> list[Ended]:
        """Ends all that runs or waits, and gives it back."""
        ...


def drive(stage: Stage, pool: Pool) -> None:
    """Runs the pending cells of a stage; returns when none is left and nothing runs any more.

    Cells that another sweep on the folder runs are waited for, and taken over if it dies.

    Raises:
        UsageError: There is no place for a cell.
        SweepIncomplete: Workers keep dying, or no space is left.
    """
    losses = Losses(stage)
    try:
        while pool.busy or stage.pending():
            free = _free(stage, pool.underway())
            pool.submit(pool.pack(free) if free else [])
            stage.report(waiting=not pool.busy)
            if not pool.busy:
                time.sleep(POLL_S)
                continue
            again = [losses.rest_of(ended) for ended in pool.ended(POLL_S)]
            pool.submit([bundle for bundle in again if bundle is not None])
    finally:
        for ended in pool.cancel():
            losses.give_back(ended, count=False)
    stage.report()


def _free(stage: Stage, underway: set[str]) -> list[Cell]:
    """The pending cells that neither this sweep nor another one sees to."""
    pending = [cell for cell in stage.pending() if cell.cell_id not in underway]
    return [cell for cell in pending if not stage.owners(cell)]


def extra(package: str, name: str) -> Any:  # noqa: ANN401 - a module
    """Imports the package behind an executor.

    Raises:
        UsageError: It is not installed.
    """
    try:
        return import_module(package)
    except ImportError as error:
        raise UsageError(
            f"--executor {name} needs {package}, which cannot be imported ({error}): "
            f"pip install 'dllm-eval[{name}]'"
        ) from error
