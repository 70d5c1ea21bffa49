"""Which settings were timed while the machine was busy with something else.

Compares wall seconds with the CPU seconds that the process used meanwhile. An engine's CPU seconds
are not its client's, so what the process itself timed on the machine speaks for it. Pure reading
of records, no resampling. Called by `points.py` and the report's remarks.
"""

import math

import numpy as np
import pandas as pd

from dllm_eval.stats.tables import Configuration, TaskTable

MARK = "†"
"""Stands behind such seconds wherever they are shown or exported."""
BUSY = 1.25
"""Wall seconds over CPU seconds per thread above which a setting counts as held up."""


def busy_rows(table: TaskTable) -> frozenset[int]:
    """The rows of a suite's table whose seconds are those of a busy machine.

    An engine that was started here is held up wherever a row of this process was.
    """
    held_up = frozenset(i for i, slower in enumerate(_slowdowns(table)) if slower > BUSY)
    machines = {table.configurations[i].machine for i in held_up & _in_process(table)}
    return held_up | {i for i in _engines(table) if table.configurations[i].machine in machines}


def unchecked_rows(table: TaskTable) -> frozenset[int]:
    """Timed rows of engines started here, of machines whose load nothing in the suite shows."""
    slowdowns = _slowdowns(table)
    shown = {
        table.configurations[i].machine for i in _in_process(table) if not math.isnan(slowdowns[i])
    }
    return frozenset(i for i in _engines(table) if table.configurations[i].machine not in shown)


def _slowdowns(table: TaskTable) -> list[float]:
    return [slowdown(x, table.requests_of(x.latency_cells)) for x in table.configurations]


def _in_process(table: TaskTable) -> frozenset[int]:
    return frozenset(
        i
        for i, x in enumerate(table.configurations)
        if x.of_this_machine and not x.placement.served
    )


def _engines(table: TaskTable) -> frozenset[int]:
    """Timed rows of engines that the harness started."""
    return frozenset(
        i
        for i, x in enumerate(table.configurations)
        if x.of_this_machine and x.placement.served and x.latency_cells
    )


def slowdown(configuration: Configuration, timed: pd.DataFrame) -> float:
    """Median wall seconds over CPU seconds per thread of a configuration's timed requests.

    NaN where no request says its CPU seconds: on other devices, and in old records.
    """
    if "cpu_seconds" not in timed:
        return float("nan")
    used = pd.to_numeric(timed["cpu_seconds"], errors="coerce").to_numpy(dtype=np.float64)
    wall = timed["seconds"].to_numpy(dtype=np.float64)
    known = used > 0
    if not known.any():
        return float("nan")
    return float(np.median(wall[known] / (used[known] / _threads(configuration))))


def _threads(configuration: Configuration) -> int:
    machine = configuration.provenance.get("machine")
    found = machine.get("threads") if isinstance(machine, dict) else None
    return found if isinstance(found, int) and found > 0 else 1
