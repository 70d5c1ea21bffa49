"""What is done when a worker of a cluster dies: its leases given back, its death counted.

Knows the results folder; knows no cluster. `dispatch.drive` asks it what to run again.
"""

from collections import Counter
from dataclasses import dataclass, replace
from pathlib import Path

from dllm_eval.errors import UsageError
from dllm_eval.sweep.executors.bundles import Bundle
from dllm_eval.sweep.executors.worker_note import WorkerNote
from dllm_eval.sweep.failure import Kind, settle
from dllm_eval.sweep.lease import guarded, holder
from dllm_eval.sweep.plan import Cell
from dllm_eval.sweep.stage import Stage, SweepIncomplete

MOST_FALSE_STARTS = 3
"""Workers of one bundle that may die before they take a cell."""


@dataclass(frozen=True, kw_only=True)
class Ended:
    """A bundle whose worker runs no more."""

    bundle: Bundle
    note: Path
    """Of its worker; see `worker_note.WorkerNote`."""
    death: str = ""
    """One line on what ended the worker; empty where it came to its end by itself."""
    kind: Kind = "crash"
    """What sort of death it was."""


class Losses:
    """The deaths of one stage.

    Args:
        stage: What is being run.
    """

    def __init__(self, stage: Stage) -> None:
        self._stage = stage
        self._false_starts: Counter[tuple[object, ...]] = Counter()
        self._logged: dict[str, int] = {}

    def rest_of(self, ended: Ended) -> Bundle | None:
        """What is to be run again of a bundle, if anything.

        Raises:
            SweepIncomplete: No space is left, or workers die before they do anything.
            UsageError: The job itself is wrong.
        """
        note = WorkerNote.read(ended.note)
        outcome = note.outcome if note else "running"
        if note and outcome == "disk full":
            raise SweepIncomplete(
                f"{note.error}; every finished request is kept: make space and run the same "
                f"command again"
            )
        if note and outcome == "refused":
            raise UsageError(note.error)
        if outcome == "done" or (outcome == "running" and not ended.death):
            return None
        if outcome == "running" and not self.give_back(ended):
            self._false_start(ended)
        pending = {cell.cell_id for cell in self._stage.pending()}
        left = tuple(cell for cell in ended.bundle.cells if cell.cell_id in pending)
        return replace(ended.bundle, cells=left) if left else None

    def give_back(self, ended: Ended, *, count: bool = True) -> bool:
        """Removes the leases of a worker that runs no more; whether it held any.

        Args:
            ended: Its bundle.
            count: Whether the death counts as a try of the cell that it held.
        """
        note = WorkerNote.read(ended.note)
        found = False
        for cell in ended.bundle.cells if note else ():
            files = self._stage.folder.cell(cell.cell_id)
            with guarded(files.path):
                for lease in (files.lease, *files.share_leases):
                    if note and holder(lease) == note.owner:
                        lease.unlink(missing_ok=True)
                        found = True
                        if count:
                            self._settle(cell, ended)
        return found

    def _settle(self, cell: Cell, ended: Ended) -> None:
        """Counts a death on the cell, or as its first one if it got any further since the last."""
        files = self._stage.folder.cell(cell.cell_id)
        logs = [log for log in (files.requests, *files.share_logs) if log.exists()]
        size = sum(log.stat().st_size for log in logs)
        if size > self._logged.get(cell.cell_id, 0):
            # A node that is taken away again and again is not the cell's fault.
            files.attempts.unlink(missing_ok=True)
        self._logged[cell.cell_id] = size
        settle(files, ended.kind, ended.death)

    def _false_start(self, ended: Ended) -> None:
        self._false_starts[ended.bundle.key] += 1
        if self._false_starts[ended.bundle.key] >= MOST_FALSE_STARTS:
            raise SweepIncomplete(
                f"{MOST_FALSE_STARTS} workers died before they could take a cell, the last with "
                f"{ended.death}; every finished request is kept: run the same command again"
            )
