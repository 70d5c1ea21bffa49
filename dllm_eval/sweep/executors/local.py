"""Local processes: quality cells packed over several, latency cells in one that has the machine.

Knows processes and the results folder; loads no model itself.
"""

import time
from dataclasses import dataclass

from dllm_eval.sweep.executors.crew import Crew
from dllm_eval.sweep.executors.process import Start, WorkerProcess
from dllm_eval.sweep.stage import Stage, SweepIncomplete

_POLL_S = 0.2


@dataclass(frozen=True)
class LocalExecutor:
    """An `executor.Executor` over processes of this machine.

    Args:
        workers: Processes for quality cells. Records do not depend on it.
        wait: Whether to wait for cells that another sweep on the same folder runs.
        worker_timeout_s: After so long without a record a worker is ended; None waits for ever.
        start: How a process is started.
    """

    workers: int = 1
    wait: bool = True
    worker_timeout_s: float | None = None
    start: Start = WorkerProcess

    def run(self, stage: Stage) -> None:
        """Runs the stage's pending cells; see `executor.Executor`.

        A worker that dies is replaced; cells that a dead process of another sweep leaves are taken
        over.
        """
        limit = 1 if stage.purpose != "quality" else self.workers
        crew = Crew(stage, limit=limit, start=self.start)
        try:
            while stage.pending() or crew.busy:
                if self.worker_timeout_s is not None:
                    crew.end_silent(self.worker_timeout_s)
                crew.dismiss_ended()
                crew.recruit()
                waiting = bool(stage.pending()) and not crew.busy
                if waiting and not self.wait:
                    raise SweepIncomplete(_held_elsewhere(stage))
                stage.report(waiting=waiting)
                time.sleep(_POLL_S)
        finally:
            crew.stop()
        stage.report()


def _held_elsewhere(stage: Stage) -> str:
    return (
        f"{len(stage.pending())} {stage.purpose} cells are being run by another process in "
        f"{str(stage.folder.path)!r}; run the same command again when it has ended"
    )
