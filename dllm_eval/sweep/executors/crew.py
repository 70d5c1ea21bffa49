"""The worker processes of one stage: how many there should be, and what is done when one dies.

Knows processes and the results folder; knows no model. `local.py` drives it.
"""

import signal
from dataclasses import dataclass

from dllm_eval.errors import UsageError
from dllm_eval.files import write_json
from dllm_eval.measure.provenance import thread_budget
from dllm_eval.sweep.executors.process import Process, Start
from dllm_eval.sweep.failure import Kind, settle
from dllm_eval.sweep.folder import Share
from dllm_eval.sweep.lease import Owner, guarded, holder, this_process
from dllm_eval.sweep.models import shareable
from dllm_eval.sweep.plan import Cell
from dllm_eval.sweep.stage import Stage, SweepIncomplete, sorted_by_weights
from dllm_eval.sweep.worker import DISK_FULL, DONE, INTERRUPTED, SPENT, USAGE

MOST_FALSE_STARTS = 3
"""Workers in a row that may die before they take a cell."""


@dataclass(frozen=True, kw_only=True)
class _Assignment:
    """What one new worker is to do."""

    cells: tuple[Cell, ...]
    share: Share | None = None


class Crew:
    """The workers of one stage.

    Args:
        stage: What they run.
        limit: The most of them at a time.
        start: How one is started.
    """

    def __init__(self, stage: Stage, *, limit: int, start: Start) -> None:
        self._stage = stage
        self._limit = limit
        self._start = start
        self._working: list[Process] = []
        self._started = 0
        self._false_starts = 0
        self._ended_for_silence: dict[int, float] = {}
        """Process ids, and after how many seconds."""

    @property
    def busy(self) -> bool:
        """Whether a worker runs."""
        return bool(self._working)

    def recruit(self) -> None:
        """Starts workers while there are cells that nobody runs and room for more."""
        for assignment in self._assignments():
            path = self._stage.folder.path / "workers" / self._name()
            job = self._stage.job(assignment.cells, self._threads, assignment.share)
            write_json(path, job.as_dict())
            self._working.append(self._start(path, self._threads))
            self._started += 1

    def dismiss_ended(self) -> None:
        """Sees to the workers that have ended since the last call.

        Raises:
            SweepIncomplete: No space is left, or workers die before they do anything.
            UsageError: A job could not be read.
            KeyboardInterrupt: The user stopped a worker.
        """
        ended = [process for process in self._working if process.code is not None]
        self._working = [process for process in self._working if process.code is None]
        for process in ended:
            process.stop()
            self._see_to(process)

    def end_silent(self, longest_s: float) -> None:
        """Ends workers whose cell has been silent for longer; their cells are tried again."""
        own = {process.pid: process for process in self._working if process.code is None}
        for one in self._stage.silence():
            if one.owner.local and one.owner.pid in own and one.seconds > longest_s:
                self._ended_for_silence[one.owner.pid] = longest_s
                own[one.owner.pid].stop()

    def stop(self) -> None:
        """Ends all that run."""
        for process in self._working:
            process.stop()

    @property
    def _threads(self) -> int:
        """Of each worker: the same however many cells are left, as sums depend on it."""
        threads = self._stage.sweep.latency.threads
        if self._stage.purpose != "quality" and threads is not None:
            return threads
        return max(1, thread_budget() // self._limit)

    def _name(self) -> str:
        # Of two sweeps on one folder each has its own files.
        own = this_process()
        return f"{self._stage.purpose}-{own.host}-{own.pid}-{self._started}.json"

    def _assignments(self) -> list[_Assignment]:
        room = self._limit - len(self._working)
        free = [cell for cell in self._stage.pending() if not self._stage.owners(cell)]
        if not free or room <= 0 or self._machine_is_taken():
            return []
        parts = self._limit // len(free)
        if not self._working and parts > 1 and all(map(shareable, free)):
            return [
                _Assignment(cells=(cell,), share=(index, parts))
                for cell in free
                for index in range(parts)
            ]
        # One that has just begun, or is between two cells, will take one of those that are free.
        count = max(0, min(room, len(free) - len(self._idle())))
        return [
            _Assignment(cells=_from(free, index * len(free) // count)) for index in range(count)
        ]

    def _idle(self) -> list[Process]:
        holders = self._local_holders()
        return [process for process in self._working if process.pid not in holders]

    def _machine_is_taken(self) -> bool:
        """Whether another sweep on this folder times requests here."""
        own = {process.pid for process in self._working}
        return self._stage.purpose != "quality" and bool(self._local_holders() - own)

    def _local_holders(self) -> set[int]:
        """Processes of this machine that run a cell of the stage."""
        owners = [owner for cell in self._stage.pending() for owner in self._stage.owners(cell)]
        return {owner.pid for owner in owners if owner.local}

    def _see_to(self, process: Process) -> None:
        if process.code == DISK_FULL:
            raise SweepIncomplete(
                f"{process.last_line}; every finished request is kept: make space and run the same "
                f"command again"
            )
        if process.code == USAGE:
            raise UsageError(process.last_line)
        if process.code == INTERRUPTED:
            raise KeyboardInterrupt
        if process.code in (DONE, SPENT) or self._give_back(process):
            self._false_starts = 0
        else:
            self._false_start(process)

    def _give_back(self, process: Process) -> bool:
        """Settles the cells that a dead worker held; whether there were any."""
        silent_s = self._ended_for_silence.get(process.pid)
        killed = process.code == -signal.SIGKILL and silent_s is None
        kind: Kind = "memory" if killed else "crash"
        found = False
        for cell in self._stage.pending():
            files = self._stage.folder.cell(cell.cell_id)
            with guarded(files.path):
                for lease in (files.lease, *files.share_leases):
                    owner = holder(lease)
                    if owner is None or not _is(owner, process):
                        continue
                    lease.unlink(missing_ok=True)
                    settle(files, kind, _death(process, silent_s))
                    found = True
        return found

    def _false_start(self, process: Process) -> None:
        self._false_starts += 1
        if self._false_starts >= MOST_FALSE_STARTS:
            raise SweepIncomplete(
                f"{self._false_starts} workers died before they could take a cell "
                f"({_death(process, None)}); every finished request is kept: run the same "
                "command again"
            )


def _from(cells: list[Cell], offset: int) -> tuple[Cell, ...]:
    """All of them, so that no worker idles, but each begins elsewhere, and with whole models."""
    return tuple(sorted_by_weights(cells[offset:] + cells[:offset]))


def _is(owner: Owner, process: Process) -> bool:
    return owner.local and owner.pid == process.pid


def _death(process: Process, silent_s: float | None) -> str:
    if silent_s is not None:
        return f"its process wrote nothing for {silent_s:g} s (--worker-timeout) and was ended"
    if process.code == -signal.SIGKILL:
        return "its process was killed, as systems do when memory runs out"
    return f"its process died, exit code {process.code}: {process.last_line}"
