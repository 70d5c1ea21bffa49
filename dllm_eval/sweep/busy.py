"""Says at a sweep's end how many of its timings are those of a busy machine.

Knows the results folder and the rule of `stats/contention.py`, by which a report marks them; knows
no report. `dllm-eval sweep` prints the line.
"""

from pathlib import Path

from dllm_eval.stats.contention import BUSY, busy_rows
from dllm_eval.stats.tables import task_tables
from dllm_eval.sweep.store import read_results


def busy_line(folder: Path, command: str) -> str:
    """One line about the timed cells that a busy machine held up; "" where there is none.

    Args:
        folder: A results folder with finished cells.
        command: What times them again.

    Raises:
        UsageError: It is no results folder, or a damaged one.
    """
    results = read_results([folder])
    timed: set[str] = set()
    busy: set[str] = set()
    for table in task_tables(results.cells, results.requests, results.scores):
        held_up = busy_rows(table)
        for i, configuration in enumerate(table.configurations):
            timed.update(configuration.latency_cells)
            busy.update(configuration.latency_cells if i in held_up else ())
    if not busy:
        return ""
    return (
        f"{len(busy)} of {len(timed)} timed cells ran while the machine was busy (a setting's "
        f"median request took more than {BUSY:g} wall seconds per CPU second of a thread), so "
        f"nothing is claimed of their speed; time again on an idle machine: {command}"
    )
