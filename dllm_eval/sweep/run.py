"""Runs what is missing of a sweep: quality, then latency, then load, on whatever executor is given.

Knows plans, stages and the results folder; starts no process and loads no model itself. The command
line calls `run_sweep`.
"""

import os
import shutil
from pathlib import Path

from dllm_eval.errors import UsageError
from dllm_eval.files import DiskFull, write_json
from dllm_eval.measure.wall import now_s
from dllm_eval.sweep.executors.executor import Executor
from dllm_eval.sweep.failure import failure_of, forgive
from dllm_eval.sweep.folder import ResultsFolder
from dllm_eval.sweep.knees import scores_in, write_knees
from dllm_eval.sweep.plan import Cell, Purpose, plan
from dllm_eval.sweep.presence import Presence, clear_away
from dllm_eval.sweep.search import wanted
from dllm_eval.sweep.spec import Sweep
from dllm_eval.sweep.stage import Stage, SweepIncomplete, Watch

STAGES: tuple[Purpose, ...] = ("quality", "latency", "load")


def run_sweep(
    sweep: Sweep, out: Path, *, executor: Executor, watch: Watch, retime: bool = False
) -> dict[str, float]:
    """Runs what is missing of a sweep in its folder.

    Args:
        sweep: What to run.
        out: The results folder; finished cells in it that are wanted are kept.
        executor: Where cells run. Records do not depend on it.
        watch: Told about progress every moment or so.
        retime: Times everything again; the timings that are there are thrown away.

    Returns:
        Seconds by stage.

    Raises:
        UsageError: Bad input, or a sweep of another spec runs in the folder, which is untouched
            then; or bad input that only running a cell could find, all other cells being finished.
        SweepIncomplete: Some cells are left; run again.
    """
    from dllm_eval.sweep.check import check_sweep
    from dllm_eval.sweep.identity import check_task_files, check_weights
    from dllm_eval.sweep.load_tasks import offerable
    from dllm_eval.sweep.models import accepted_arguments

    _refuse_several_processes()
    folder = ResultsFolder(out)
    folder.check()
    started = now_s()
    cells = offerable(plan(sweep, accepted_arguments), tuple(sweep.include))
    check_sweep(sweep, cells)
    check_weights(folder, cells)
    check_task_files(folder, cells, tuple(sweep.include))
    try:
        with Presence(folder, sweep) as presence:
            if retime and not presence.alone:
                raise UsageError("--retime throws timings away, and another sweep runs here: wait")
            if presence.alone:
                for cell in cells:
                    files = folder.cell(cell.cell_id)
                    forgive(files)
                    clear_away(files)
                    if retime and cell.purpose != "quality":
                        shutil.rmtree(files.path, ignore_errors=True)
            seconds = {"plan": now_s() - started}
            chosen = _run_stages(sweep, folder, cells, executor, watch, seconds)
    except DiskFull as error:
        raise SweepIncomplete(f"{error} and run the same command again") from error
    _check_failures(folder, chosen)
    return seconds


def _refuse_several_processes() -> None:
    """Each process of an `accelerate launch` would run the whole sweep, and wait for the others.

    Raises:
        UsageError: This is one of several.
    """
    count = os.environ.get("WORLD_SIZE", "1")
    if count not in ("", "1"):
        raise UsageError(
            f"a sweep starts its own processes and this is one of {count}: leave out accelerate "
            "launch (or unset WORLD_SIZE), and name --workers or --executor"
        )


def _run_stages(
    sweep: Sweep,
    folder: ResultsFolder,
    cells: list[Cell],
    executor: Executor,
    watch: Watch,
    seconds: dict[str, float],
) -> list[Cell]:
    """Runs one purpose after the other; adds the seconds of each and gives back what was wanted."""
    score_of = scores_in(folder)
    chosen = wanted(cells, score_of)
    folder.begin(sweep, chosen)
    for purpose in (p for p in STAGES if p != "load" or sweep.load):
        started, asked = now_s(), 0
        # What a search found may call for more cells; a sweep without one goes round once.
        while len(chosen) > asked:
            asked = len(chosen)
            stage = Stage(
                purpose=purpose, sweep=sweep, folder=folder, cells=tuple(chosen), watch=watch
            )
            executor.run(stage)
            chosen = wanted(cells, score_of)
            folder.begin(sweep, chosen)
        write_knees(folder, cells)
        seconds[purpose] = now_s() - started
        write_json(folder.stages_file, {"seconds": seconds})
    return chosen


def _check_failures(folder: ResultsFolder, cells: list[Cell]) -> None:
    """Says which cells could not be run, when all others have been.

    Raises:
        UsageError: All of them for reasons that the user can mend.
        SweepIncomplete: Some for others.
    """
    found = [(cell, failure_of(folder.cell(cell.cell_id))) for cell in cells]
    failed = [(cell, failure) for cell, failure in found if failure is not None]
    if not failed:
        return
    cell, first = failed[0]
    several = f" ({len(failed)} of {len(cells)} cells failed)" if len(failed) > 1 else ""
    message = f"{cell.label}: {first.error}{several}"
    if all(failure.kind == "usage" for _, failure in failed):
        raise UsageError(message)
    raise SweepIncomplete(f"{message}; all others are finished; run the same command to try again")
