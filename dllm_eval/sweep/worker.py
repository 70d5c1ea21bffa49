"""One process of a sweep: takes cells off a list by lease and runs them.

Run as `python -m dllm_eval.sweep.worker JOB.json` by the local executor, which reads the exit code;
other executors call `run_job`, in a process of their own.
"""

import os
import sys
import threading
import time
import traceback
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from dllm_eval.errors import UsageError
from dllm_eval.files import DiskFull, read_json
from dllm_eval.sweep.folder import CellFolder, ResultsFolder, Share
from dllm_eval.sweep.job import Job
from dllm_eval.sweep.lease import acquire, leased
from dllm_eval.sweep.plan import Cell
from dllm_eval.sweep.quiet import quiet

DONE, USAGE, SPENT, DISK_FULL, INTERRUPTED = 0, 2, 3, 4, 130
"""Exit codes: nothing is left of the job; the job itself is wrong; a fresh process has to go on; no
space is left, so none can; the user stopped it. Any other is a crash of the cell it held."""
_PARENT_POLL_S = 0.5
_SLOT_POLL_S = 1.0


class WorkerSpent(RuntimeError):  # noqa: N818 - what to do next, and no fault of the caller's
    """A cell ended in a way after which this process is not to be trusted with another one.

    What happened is counted and written down beside the cell. A fresh process should be given what
    is pending still, the cell itself included if it is to be tried again.
    """


def main(job_file: str) -> int:
    """Runs a job; the exit code says how it went, the last line of stderr why."""
    job = Job.from_dict(read_json(Path(job_file)))
    _follow_parent(os.getppid())
    quiet()
    try:
        run_job(job)
    except KeyboardInterrupt:
        return INTERRUPTED
    except (WorkerSpent, UsageError) as error:
        sys.stderr.write(f"{error}\n")
        if isinstance(error, WorkerSpent):
            return SPENT
        return DISK_FULL if isinstance(error, DiskFull) else USAGE
    return DONE


def run_job(job: Job) -> None:
    """Runs the cells of a job that nobody else has taken, weights loaded once for each model.

    A cell that cannot be run leaves its `failed.json`, and the next one is run.

    Raises:
        WorkerSpent: A cell ran out of memory or crashed; see there.
        DiskFull: No space is left. Nothing is half-written, and nothing can go on.
    """
    import torch

    from dllm_eval.sweep.models import end_server

    torch.set_num_threads(job.threads)
    crew = _Runner(job)
    try:
        for cell_id in job.cells:
            crew.run(cell_id)
    finally:
        end_server()


class _Runner:
    """What stays from one cell of a job to the next."""

    def __init__(self, job: Job) -> None:
        from dllm_eval.sweep.cell import Options
        from dllm_eval.sweep.models import log_servers_in

        self._job = job
        self._folder = ResultsFolder(Path(job.out))
        log_servers_in(self._folder.path / "servers")
        self._options = Options(
            include=job.include,
            confirm_run_unsafe_code=job.confirm_run_unsafe_code,
            loggers=job.loggers,
            sweep=job.sweep,
        )
        self._weights: tuple[object, ...] | None = None

    def run(self, cell_id: str) -> None:
        """Runs a cell, or this job's share of it and then, as the last of all, the rest."""
        cell, files = self._folder.planned(cell_id), self._folder.cell(cell_id)
        if files.settled:
            return
        if self._job.share is not None:
            self._share(cell, files, self._job.share)
        self._whole(cell, files)

    def _whole(self, cell: Cell, files: CellFolder) -> None:
        from dllm_eval.sweep.cell import run_cell

        with self._device(cell), leased(files.lease, unless=files.share_leases) as held:
            if held and not files.settled:  # another may have just ended it
                self._settled(cell, files, lambda: run_cell(cell, files, self._options))

    @contextmanager
    def _device(self, cell: Cell) -> Iterator[None]:
        """Waits until no other process of this folder measures on the device, if this one is to."""
        if cell.purpose == "quality":
            yield
            return
        slot = self._folder.latency_slot
        while not acquire(slot):
            time.sleep(_SLOT_POLL_S)
        with leased(slot):
            yield

    def _share(self, cell: Cell, files: CellFolder, share: Share) -> None:
        from dllm_eval.sweep.cell import run_share

        count = f"of{share[1]}.json"
        others = [path for path in files.share_leases if not path.name.endswith(count)]
        with leased(files.share_lease(share), unless=(files.lease, *others)) as held:
            if held and not files.settled:
                self._settled(cell, files, lambda: run_share(cell, files, self._options, share))

    def _settled(self, cell: Cell, files: CellFolder, run: Callable[[], None]) -> None:
        """Runs something of a cell, and writes down why it could not be run."""
        from dllm_eval.sweep.failure import kind_of, settle

        self._make_room(cell)
        try:
            run()
        except Exception as error:  # a library's fault must not take the other cells along
            kind = kind_of(error)
            if kind == "disk":
                with suppress(UsageError):  # for this, too, there may be no room
                    settle(files, kind, _line(error))
                raise DiskFull(f"{cell.label}: {error}") from error
            if kind in ("crash", "memory"):
                traceback.print_exc()
            settle(files, kind, _line(error))
            if kind in ("crash", "memory"):
                raise WorkerSpent(f"{cell.label}: {_line(error)}") from error

    def _make_room(self, cell: Cell) -> None:
        """Lets go of another model's weights, so that two never lie in memory together."""
        from dllm_eval.sweep.models import forget, weights_key

        if self._weights not in (None, weights_key(cell)):
            forget()
        self._weights = weights_key(cell)


def _line(error: BaseException) -> str:
    """An error as one line; a bug's with its class, since its text alone may say nothing."""
    lines = str(error).strip().splitlines()
    first = lines[0] if lines else ""
    if isinstance(error, UsageError):
        return first
    return f"{type(error).__name__}: {first}".rstrip(": ")


def _follow_parent(parent: int) -> None:
    """Ends this process soon after its parent, so that a killed sweep leaves nothing running."""

    def watch() -> None:
        while os.getppid() == parent:
            time.sleep(_PARENT_POLL_S)
        os._exit(1)

    threading.Thread(target=watch, daemon=True).start()


if __name__ == "__main__":
    sys.exit(main(sys.argv[1]))
