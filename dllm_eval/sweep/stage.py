"""The cells of one purpose, which of them are left, and how far they are.

Knows the results folder; knows no process and no model. `run.run_sweep` makes stages, executors run
them, the command line draws what `watch` is told.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from dllm_eval.sweep.folder import ResultsFolder
from dllm_eval.sweep.job import Job
from dllm_eval.sweep.plan import Cell, Purpose
from dllm_eval.sweep.spec import Sweep


class SweepIncomplete(RuntimeError):  # noqa: N818 - an outcome, and no fault of the caller's
    """Some cells are left, because workers died or another process holds them."""


@dataclass(frozen=True, kw_only=True)
class Snapshot:
    """How far a sweep is."""

    stage: str
    cells_done: int
    cells_total: int
    work_done: float
    """In `work` units, of which cells differ widely."""
    work_total: float
    running: tuple[str, ...]
    """Labels of the cells being run."""


Watch = Callable[[Snapshot], None]


@dataclass(frozen=True, kw_only=True)
class Stage:
    """The wanted cells of a sweep, of which those of one purpose are to be run now."""

    purpose: Purpose
    sweep: Sweep
    folder: ResultsFolder
    cells: tuple[Cell, ...]
    """All that are wanted, of both purposes."""
    watch: Watch

    @property
    def own(self) -> list[Cell]:
        """Those of this purpose."""
        return [cell for cell in self.cells if cell.purpose == self.purpose]

    def pending(self) -> list[Cell]:
        """Those to be run still: neither finished nor failed in this run."""
        return [cell for cell in self.own if not self._settled(cell)]

    def _settled(self, cell: Cell) -> bool:
        files = self.folder.cell(cell.cell_id)
        return files.finished or files.failed.exists()

    def job(self, cells: Sequence[Cell], threads: int) -> Job:
        """What a worker is told that is to run these cells."""
        return Job(
            out=str(self.folder.path.resolve()),
            cells=tuple(cell.cell_id for cell in cells),
            threads=threads,
            include=tuple(self.sweep.include),
            confirm_run_unsafe_code=self.sweep.confirm_run_unsafe_code,
        )

    def report(self) -> None:
        """Tells `watch` how far the sweep is."""
        done = [cell for cell in self.cells if self.folder.cell(cell.cell_id).finished]
        running = [c for c in self.pending() if self.folder.cell(c.cell_id).lease.exists()]
        self.watch(
            Snapshot(
                stage=self.purpose,
                cells_done=len(done),
                cells_total=len(self.cells),
                work_done=sum(map(work, done)),
                work_total=sum(map(work, self.cells)),
                running=tuple(cell.label for cell in running),
            )
        )


def work(cell: Cell) -> float:
    """Roughly what a cell costs, for the time left: documents times forward passes."""
    counted = cell.dial_value if cell.dial in ("steps", "samples") else None
    passes = counted or cell.arguments.get("steps") or cell.arguments.get("gen_length")
    per_document = float(passes) if isinstance(passes, int | float) else 32.0
    documents = float(cell.limit or 164)
    if cell.timing is None:
        return documents * per_document / min(cell.batch_size, 4)
    return (documents * cell.timing.repeats + cell.timing.warmup) * per_document
