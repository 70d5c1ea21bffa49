"""What a setting costs its device: joules per unit and peak memory, from the cells' done.json.

Reads what the sweep measured; no resampling. Called by `analysis.py`.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from dllm_eval.stats.tables import TaskTable

OF_THE_CELL = "this cell"
"""Ends the scope of a peak that earlier cells have no part in."""


@dataclass(frozen=True, kw_only=True)
class DeviceCosts:
    """Of one setting, over its batch-1 latency cells; NaN where not measured."""

    joules: float
    """Per question or request: mean power while it was timed, idle power included, times its mean
    seconds, so that warming up does not count."""
    peak_memory_bytes: float
    """The most in any of its cells."""


def device_costs(table: TaskTable, i: int) -> DeviceCosts:
    """Those of one configuration of a suite."""
    told = [table.done.get(cell, {}) for cell in table.configurations[i].latency_cells]
    seconds = table.latencies_s[i]
    energies = [x["energy"] for x in told if isinstance(x.get("energy"), dict)]
    measured = sum(float(x["seconds"]) for x in energies)
    watts = sum(float(x["joules"]) for x in energies) / measured if measured > 0 else np.nan
    peaks = [float(x["peak_memory_bytes"]) for x in told if _of_the_cell(x)]
    return DeviceCosts(
        joules=watts * float(seconds.mean()) if len(seconds) else np.nan,
        peak_memory_bytes=max(peaks, default=np.nan),
    )


def _of_the_cell(done: Mapping[str, Any]) -> bool:
    told = str(done.get("peak_memory_scope", "")).endswith(OF_THE_CELL)
    return told and done.get("peak_memory_bytes") is not None
