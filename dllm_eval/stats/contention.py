"""Which settings were timed while the machine was busy with something else.

Compares wall seconds with the CPU seconds that the process used meanwhile. Pure reading of
records, no resampling. Called by `points.py`.
"""

import numpy as np
import pandas as pd

from dllm_eval.stats.tables import Configuration, TaskTable

BUSY = 1.25
"""Wall seconds over CPU seconds per thread above which a setting counts as held up."""


def busy_rows(table: TaskTable) -> frozenset[int]:
    """The rows of a suite's table whose seconds are those of a busy machine."""
    return frozenset(
        i
        for i, configuration in enumerate(table.configurations)
        if slowdown(configuration, table.requests_of(configuration.latency_cells)) > BUSY
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
