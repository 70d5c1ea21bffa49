"""Bundles as Slurm jobs: submitted, looked after, found again after a restart, and what ended each.

Knows submitit's jobs; knows no lease. `slurm.SlurmExecutor` makes one for each stage.
"""

import os
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from dllm_eval.errors import UsageError
from dllm_eval.measure.wall import now_s
from dllm_eval.sweep.executors.bundles import Bundle, latency_bundles, quality_bundles
from dllm_eval.sweep.executors.losses import Ended
from dllm_eval.sweep.executors.process import last_line
from dllm_eval.sweep.executors.slurm_record import JobRecord, forget, notes_of
from dllm_eval.sweep.executors.worker_note import WorkerNote, new_note, notes_folder, run_bundle
from dllm_eval.sweep.plan import Cell
from dllm_eval.sweep.stage import Stage

_ASK_SLURM_S = 30.0
"""Between two questions to Slurm's accounting; a job that comes to its end says so by itself."""
_ALIVE = ("PENDING", "RUNNING", "REQUEUED", "COMPLETING", "CONFIGURING", "SUSPENDED", "UNKNOWN")


@dataclass(frozen=True, kw_only=True)
class Request:
    """What is asked of Slurm for each bundle of a stage."""

    jobs: int
    """The most at a time."""
    threads: int
    parameters: Mapping[str, Any]
    """submitit's."""


@dataclass(frozen=True)
class BundleJob:
    """What submitit sends to a node; run again after a time-out, it does what is left."""

    job: dict[str, Any]
    note: str

    def __call__(self) -> None:
        """Runs the bundle."""
        count = str(self.job["threads"])
        os.environ |= {"OMP_NUM_THREADS": count, "MKL_NUM_THREADS": count}
        run_bundle(self.job, self.note)

    def checkpoint(self) -> Any:  # noqa: ANN401 - submitit's own class
        """What to put into the queue again when the time is up: the same."""
        from submitit.helpers import DelayedSubmission

        return DelayedSubmission(self)


@dataclass(frozen=True, kw_only=True)
class _Running:
    job: Any
    """submitit's."""
    bundle: Bundle
    note: Path


class SlurmPool:
    """A `dispatch.Pool` of Slurm jobs.

    Args:
        submitit: The module.
        executor: submitit's.
        stage: What is run.
        request: What each job is given.
    """

    def __init__(
        self,
        submitit: Any,  # noqa: ANN401 - a module
        executor: Any,  # noqa: ANN401 - submitit's own class
        stage: Stage,
        request: Request,
    ) -> None:
        self._submitit = submitit
        self._executor = executor
        self._stage = stage
        self._request = request
        self._running: list[_Running] = []
        self._elsewhere: set[str] = set()
        self._look_around()

    @property
    def busy(self) -> bool:
        """Whether any job runs or waits."""
        return bool(self._running)

    def underway(self) -> set[str]:
        """Ids of the cells of all jobs that run or wait, those of another sweep included."""
        if now_s() - self._asked_s > _ASK_SLURM_S:
            self._look_around()
        own = {cell.cell_id for running in self._running for cell in running.bundle.cells}
        return own | self._elsewhere

    def pack(self, cells: Sequence[Cell]) -> list[Bundle]:
        """The bundles that cells are to travel in; all timings in one, on one node."""
        make = latency_bundles if self._stage.purpose != "quality" else quality_bundles
        return make(cells, self._request.jobs)

    def submit(self, bundles: Sequence[Bundle]) -> None:
        """Hands bundles to Slurm as one job array.

        Raises:
            UsageError: Slurm refuses it.
        """
        if not bundles:
            return
        notes = [new_note(self._stage) for _ in bundles]
        self._executor.update_parameters(
            slurm_array_parallelism=self._request.jobs, **self._request.parameters
        )
        try:
            with self._executor.batch():
                jobs = [
                    self._executor.submit(self._work(bundle, note))
                    for bundle, note in zip(bundles, notes, strict=True)
                ]
        except RuntimeError as error:
            raise UsageError(f"Slurm refuses the job: {_line(error)}") from error
        for job, bundle, note in zip(jobs, bundles, notes, strict=True):
            JobRecord.of(job.job_id, bundle).write(note)
            self._running.append(_Running(job=job, bundle=bundle, note=note))

    def ended(self, wait_s: float) -> list[Ended]:
        """Those that ended since the last call, after waiting so long."""
        time.sleep(wait_s)
        states = [(running, _state(running.job, "cache")) for running in self._running]
        over = [(running, state) for running, state in states if _over(running, state)]
        for running, _ in over:
            self._running.remove(running)
            forget(running.note)
        return [_ended(running, state) for running, state in over]

    def cancel(self) -> list[Ended]:
        """Takes all jobs out of the queue, those that run included."""
        for running in self._running:
            running.job.cancel(check=False)
            forget(running.note)
        found = [Ended(bundle=one.bundle, note=one.note) for one in self._running]
        self._running = []
        return found

    def _work(self, bundle: Bundle, note: Path) -> BundleJob:
        job = self._stage.job(bundle.cells, self._request.threads, bundle.share)
        return BundleJob(job.as_dict(), str(note))

    def _look_around(self) -> None:
        """Asks Slurm how all jobs are, and finds those of an earlier process that was killed."""
        self._asked_s = now_s()
        self._elsewhere = set()
        cells = {cell.cell_id: cell for cell in self._stage.own}
        known = {running.note for running in self._running}
        mode = "force"  # one question answers for all jobs
        for note in notes_of(notes_folder(self._stage), self._stage.purpose):
            record = JobRecord.read(note)
            bundle = record.bundle(cells)
            running = _Running(job=self._job(record.job_id), bundle=bundle, note=note)
            over, mode = _over(running, _state(running.job, mode)), "cache"
            if note in known:
                continue
            if over or not bundle.cells:
                forget(note)
            elif record.of_another:
                self._elsewhere |= {cell.cell_id for cell in bundle.cells}
            else:
                self._running.append(running)

    def _job(self, job_id: str) -> Any:  # noqa: ANN401 - submitit's own class
        kinds = {"slurm": self._submitit.SlurmJob, "local": self._submitit.LocalJob}
        return kinds[self._executor.cluster](folder=self._executor.folder, job_id=job_id)


def _state(job: Any, mode: str) -> str:  # noqa: ANN401 - submitit's own class
    """Slurm's word for how a job is; "UNKNOWN" where its accounting has not heard of it yet."""
    info = job.get_info(mode=mode)
    # "CANCELLED by 1000" and "CANCELLED+" are the same.
    found = str(info.get("State") or info.get("jobState") or "UNKNOWN")
    return found.split()[0].rstrip("+")


def _over(running: _Running, state: str) -> bool:
    note = WorkerNote.read(running.note)
    if note is not None and note.outcome != "running":
        return True
    if state in _ALIVE:
        return False
    # submitit loses sight of a process of this machine when its parent is killed.
    return note is None or not (note.owner.local and note.owner.runs)


def _ended(running: _Running, state: str) -> Ended:
    log = running.job.paths.stderr
    said = last_line(log) if log.exists() else "no message"
    return Ended(
        bundle=running.bundle,
        note=running.note,
        death=f"job {running.job.job_id} ended as {state}: {said}",
        kind="memory" if state == "OUT_OF_MEMORY" else "crash",
    )


def _line(error: BaseException) -> str:
    return " ".join(str(error).split())[:300]
