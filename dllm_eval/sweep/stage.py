"""The cells of one purpose, which of them are left, and how far they are.

Knows the results folder; knows no process and no model. `run.run_sweep` makes stages, executors run
them, the command line draws what `watch` is told.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from dllm_eval.measure.wall import now_s
from dllm_eval.sweep.folder import ResultsFolder, Share
from dllm_eval.sweep.job import Job
from dllm_eval.sweep.lease import Owner, live_holder
from dllm_eval.sweep.models import weights_key
from dllm_eval.sweep.plan import Cell, Purpose
from dllm_eval.sweep.silence import WARN_AFTER_S, Silence, Silent
from dllm_eval.sweep.spec import Sweep


class SweepIncomplete(RuntimeError):  # noqa: N818 - an outcome, and no fault of the caller's
    """Some cells are left: they failed, workers keep dying, or another process holds them."""


@dataclass(frozen=True, kw_only=True)
class Snapshot:
    """How far a sweep is."""

    stage: str
    cells_done: int
    cells_total: int
    work_done: float
    """In `work` units, of which cells differ widely; of the cells finished or given up."""
    work_total: float
    running: tuple[str, ...]
    """Labels of the cells being run."""
    cells_failed: int = 0
    waiting: bool = False
    """Whether all that is left is run by another sweep on the same folder."""
    silent: tuple[Silent, ...] = ()
    """The cells that were last heard of `WARN_AFTER_S` ago, or longer."""


Watch = Callable[[Snapshot], None]


@dataclass(frozen=True, kw_only=True)
class Stage:
    """The wanted cells of a sweep, of which those of one purpose are to be run now."""

    purpose: Purpose
    sweep: Sweep
    folder: ResultsFolder
    cells: tuple[Cell, ...]
    """All that are wanted, of all purposes."""
    watch: Watch
    _finished: set[str] = field(default_factory=set, repr=False, compare=False)
    """Ids of cells that are known to be finished, which they stay."""
    _silence: Silence = field(default_factory=Silence, repr=False, compare=False)

    @property
    def own(self) -> list[Cell]:
        """Those of this purpose, in the order in which to run them.

        Cells of one model follow each other, so that its weights need not be loaded twice; among
        latency and load cells within each round, which has the models and their settings in an
        order of its own.
        """
        own = [cell for cell in self.cells if cell.purpose == self.purpose]
        return sorted_by_weights(own)

    def pending(self) -> list[Cell]:
        """Those to be run still: neither finished nor failed in this run."""
        return [cell for cell in self.own if not self._settled(cell)]

    def owners(self, cell: Cell) -> list[Owner]:
        """The living processes that run a cell, or shares of it; of whatever sweep."""
        files = self.folder.cell(cell.cell_id)
        found = [live_holder(path) for path in (files.lease, *files.share_leases)]
        return [owner for owner in found if owner is not None]

    def job(self, cells: Sequence[Cell], threads: int, share: Share | None = None) -> Job:
        """What a worker is told that is to run these cells."""
        return Job(
            out=str(self.folder.path.resolve()),
            cells=tuple(cell.cell_id for cell in cells),
            threads=threads,
            include=tuple(self.sweep.include),
            confirm_run_unsafe_code=self.sweep.confirm_run_unsafe_code,
            loggers={name: dict(told) for name, told in self.sweep.loggers.items()},
            sweep=self.sweep.name,
            share=share,
        )

    def report(self, *, waiting: bool = False) -> None:
        """Tells `watch` how far the sweep is.

        Args:
            waiting: Whether all that is left is run by another sweep.
        """
        done = [cell for cell in self.cells if self._is_finished(cell)]
        failed = [cell for cell in self.cells if self._failed(cell)]
        running = [cell for cell in self.pending() if self.owners(cell)]
        silent = [one for one in self.silence() if one.seconds >= WARN_AFTER_S]
        self.watch(
            Snapshot(
                stage=self.purpose,
                cells_done=len(done),
                cells_total=len(self.cells),
                work_done=sum(map(work, (*done, *failed))),
                work_total=sum(map(work, self.cells)),
                running=tuple(cell.label for cell in running),
                cells_failed=len(failed),
                waiting=waiting,
                silent=tuple(silent),
            )
        )

    def silence(self) -> list[Silent]:
        """How long it is since each running cell was heard of."""
        return self._silence.look(
            lambda: [
                (cell.label, self.folder.cell(cell.cell_id), self.owners(cell))
                for cell in self.pending()
            ],
            now_s(),
        )

    def _settled(self, cell: Cell) -> bool:
        return self._is_finished(cell) or self._failed(cell)

    def _is_finished(self, cell: Cell) -> bool:
        if cell.cell_id not in self._finished and self.folder.cell(cell.cell_id).finished:
            self._finished.add(cell.cell_id)
        return cell.cell_id in self._finished

    def _failed(self, cell: Cell) -> bool:
        return not self._is_finished(cell) and self.folder.cell(cell.cell_id).failed.exists()


def sorted_by_weights(cells: Sequence[Cell]) -> list[Cell]:
    """Cells of one model together, in the order of first appearance; of each round on its own."""
    places: dict[object, int] = {}
    for number, cell in enumerate(cells):
        places.setdefault(_group(cell), number)
    return sorted(cells, key=lambda cell: (cell.round, places[_group(cell)]))


def _group(cell: Cell) -> tuple[object, ...]:
    return (cell.round, *weights_key(cell))


def work(cell: Cell) -> float:
    """Roughly what a cell costs, for the time left: documents times forward passes."""
    counted = cell.dial_value if cell.dial in ("steps", "samples") else None
    passes = counted or cell.arguments.get("steps") or cell.arguments.get("gen_length")
    per_document = float(passes) if isinstance(passes, int | float) else 32.0
    documents = float(cell.limit or 164)
    if cell.timing is None:
        return documents * per_document / min(cell.batch_size, 4)
    return (documents * cell.timing.repeats + cell.timing.warmup) * per_document
