"""What an executor is: something that runs the pending cells of a stage.

Knows stages; knows neither processes nor clusters. `run.run_sweep` calls executors, the other files
of this folder are them.
"""

from typing import Protocol

from dllm_eval.sweep.stage import Stage


class Executor(Protocol):
    """Runs cells somewhere, each by `worker.run_job`."""

    def run(self, stage: Stage) -> None:
        """Runs the stage's pending cells and returns when nothing of them runs any more.

        A cell that cannot be run leaves its `failed.json` and the others go on. Latency cells never
        share a device with anything. Calls `stage.report` every moment or so.

        Raises:
            UsageError: The executor itself cannot start, for example because it is not installed.
            SweepIncomplete: Workers keep dying, or another process holds cells.
        """
        ...
