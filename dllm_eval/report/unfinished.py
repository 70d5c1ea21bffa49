"""The cells that are not in the tables: which, and why.

Reads the frame of cells alone. Called by `render.py` for the page's section of failures, and by
`write.py`.
"""

from collections import Counter
from collections.abc import Hashable, Mapping
from dataclasses import dataclass, replace
from typing import Any

import pandas as pd

from dllm_eval.stats.series import Setting, places

NOT_RUN = "not finished: run the same command again to go on"


@dataclass(frozen=True, kw_only=True)
class Unfinished:
    """Cells of one setting without a result, for one reason: its rounds and seeds, for example."""

    suite: str
    model: str
    setting: str
    purpose: str
    machine: str
    failed: bool
    """Whether a run of it ended in an error, and not merely has not ended."""
    reason: str
    """The error line, or that it is not finished."""
    count: int = 1
    """How many cells."""

    @property
    def cells(self) -> str:
        """Their purpose, and how many they are: "latency", "latency, 3 cells"."""
        return self.purpose if self.count == 1 else f"{self.purpose}, {self.count} cells"

    @property
    def line(self) -> str:
        """All of it, for people."""
        what = f"{self.model}, {self.setting}" if self.setting else self.model
        where = f" ({self.machine})" if self.machine else ""
        return f"{self.suite}: {what}, {self.cells}{where}: {self.reason}"


def unfinished_cells(cells: pd.DataFrame) -> list[Unfinished]:
    """Failed cells first, then those not run; in the order of suite and setting, each setting once.

    Args:
        cells: One row per cell. Its column `failed` holds the error line, "" without one; without
            the column nothing is known to have failed.
    """
    found: list[Unfinished] = []
    for _, own in cells.groupby("task", sort=False):
        rows = own.to_dict("records")
        at = places(Setting.of(row) for row in rows)
        for row in rows:
            if not row["finished"]:
                place = at[str(row["config_id"])]
                dial = f"{place.dial} = {place.dial_text}" if place.dial else ""
                named = ", ".join(part for part in (place.composition, dial) if part)
                found.append(_unfinished(row, named))
    alike = Counter(found)
    once = [replace(one, count=count) for one, count in alike.items()]
    return sorted(once, key=lambda x: (not x.failed, x.suite, x.model, x.setting, x.purpose))


def _unfinished(cell: Mapping[Hashable, Any], setting: str) -> Unfinished:
    error = cell.get("failed", "")
    error = error.strip() if isinstance(error, str) else ""
    return Unfinished(
        suite=str(cell["suite"]),
        model=str(cell["model"]),
        setting=setting,
        purpose=str(cell["purpose"]),
        machine=str(cell["machine"] or ""),
        failed=bool(error),
        reason=error or NOT_RUN,
    )
