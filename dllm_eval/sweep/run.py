"""Runs what is missing of a sweep: quality first, then latency, on whatever executor is given.

Knows plans, stages and the results folder; starts no process and loads no model itself. The command
line calls `run_sweep`.
"""

from pathlib import Path

from dllm_eval.files import write_json
from dllm_eval.measure.wall import now_s
from dllm_eval.sweep.executors.executor import Executor
from dllm_eval.sweep.folder import ResultsFolder
from dllm_eval.sweep.plan import Purpose, plan
from dllm_eval.sweep.spec import Sweep
from dllm_eval.sweep.stage import Stage, Watch

STAGES: tuple[Purpose, ...] = ("quality", "latency")


def run_sweep(sweep: Sweep, out: Path, *, executor: Executor, watch: Watch) -> dict[str, float]:
    """Runs what is missing of a sweep in its folder.

    Args:
        sweep: What to run.
        out: The results folder; finished cells in it that are wanted are kept.
        executor: Where cells run. Records do not depend on it.
        watch: Told about progress every moment or so.

    Returns:
        Seconds by stage.

    Raises:
        UsageError: Bad input; the folder is untouched if it is found before the first cell.
        SweepIncomplete: Some cells are left; run again.
    """
    from dllm_eval.sweep.identity import check_weights
    from dllm_eval.sweep.models import accepted_arguments, check_cells

    folder = ResultsFolder(out)
    folder.check()
    seconds: dict[str, float] = {}
    started = now_s()
    cells = plan(sweep, accepted_arguments)
    check_cells(cells)
    check_weights(folder, cells)
    folder.begin(sweep, cells)
    seconds["plan"] = now_s() - started
    for purpose in STAGES:
        started = now_s()
        stage = Stage(purpose=purpose, sweep=sweep, folder=folder, cells=tuple(cells), watch=watch)
        executor.run(stage)
        seconds[purpose] = now_s() - started
        write_json(folder.stages_file, {"seconds": seconds})
    return seconds
