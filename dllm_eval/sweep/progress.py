"""Draws how far a sweep is: cells done, time left, the cells being run.

Knows `stage.Snapshot` and rich; knows no file. The command line opens it around a sweep.
"""

import sys
from types import TracebackType
from typing import Self

from rich.console import Console
from rich.progress import BarColumn, Progress, TaskID, TextColumn, TimeElapsedColumn

from dllm_eval.measure.wall import now_s
from dllm_eval.sweep.stage import Snapshot

_LINE_INTERVAL_S = 15.0


class SweepProgress:
    """A progress bar on a terminal; a line now and then where stderr is a file."""

    def __init__(self, name: str) -> None:
        self.name = name
        self.console = Console(file=sys.stderr)
        self.bar = Progress(
            TextColumn("{task.description}"),
            BarColumn(),
            TextColumn("{task.fields[cells]} cells"),
            TimeElapsedColumn(),
            TextColumn("{task.fields[left]}"),
            TextColumn("[dim]{task.fields[running]}"),
            console=self.console,
            disable=not self.console.is_terminal,
        )
        self._task: TaskID = self.bar.add_task(name, cells="planning", left="", running="")
        self._pace = Pace()
        self._line_at = 0.0
        self._warned: set[tuple[str, int]] = set()

    def __enter__(self) -> Self:
        self.bar.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.bar.stop()

    def update(self, snapshot: Snapshot) -> None:
        """Shows a snapshot."""
        left_s = self._pace.left_s(snapshot, now_s())
        left = "" if left_s is None else f"about {_duration(left_s)} left"
        cells = f"{snapshot.cells_done}/{snapshot.cells_total}"
        if snapshot.cells_failed:
            cells += f" ({snapshot.cells_failed} failed)"
        running = "; ".join(snapshot.running)
        if snapshot.waiting:
            running = f"waiting for another sweep on this folder: {running}"
        self.bar.update(
            self._task,
            description=f"{self.name} {snapshot.stage}",
            completed=snapshot.work_done,
            total=snapshot.work_total,
            cells=cells,
            left=left,
            running=running,
        )
        self._warn(snapshot)
        due = now_s() - self._line_at > _LINE_INTERVAL_S
        if not self.console.is_terminal and due:
            self._line_at = now_s()
            line = f"{self.name} {snapshot.stage}: {cells} cells done {left} {running}"
            self.console.print(" ".join(line.split()), markup=False, highlight=False)

    def _warn(self, snapshot: Snapshot) -> None:
        """Says once of each process that it has gone silent."""
        for one in snapshot.silent:
            if (one.label, one.owner.pid) not in self._warned:
                self._warned.add((one.label, one.owner.pid))
                self.console.print(f"warning: {one.line}", markup=False, highlight=False)


class Pace:
    """Time left, from the work of this run; cells of earlier runs and waiting cost nothing.

    Each stage has a pace of its own, since quality cells batch and share the machine and latency
    cells do neither. Until a stage has finished a cell, the pace of the one before it stands in.
    """

    def __init__(self) -> None:
        self._before: tuple[float, Snapshot] | None = None
        self._spent: dict[str, tuple[float, float]] = {}
        self._pace: float | None = None

    def left_s(self, snapshot: Snapshot, now_s: float) -> float | None:
        """Seconds left, None while nothing has been finished."""
        then_s, before = self._before or (now_s, snapshot)
        self._before = (now_s, snapshot)
        seconds, work = self._spent.get(before.stage, (0.0, 0.0))
        if not snapshot.waiting:
            seconds += now_s - then_s
        work += snapshot.work_done - before.work_done
        self._spent[before.stage] = (seconds, work)
        if work > 0 and seconds > 0:
            self._pace = seconds / work
        if self._pace is None:
            return None
        return self._pace * (snapshot.work_total - snapshot.work_done)


def _duration(seconds: float) -> str:
    minutes, rest = divmod(round(seconds), 60)
    return f"{minutes} min {rest:02d} s" if minutes else f"{rest} s"
