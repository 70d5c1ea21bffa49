"""Machines of older results under the names of newer ones, so that one machine stays one.

Strings only. Called by `write.py` and `advice.py` on the frame of cells.
"""

import pandas as pd


def renamed(cells: pd.DataFrame) -> pd.DataFrame:
    """The cells, their machines with "1 thread" where earlier versions wrote "1 threads"."""
    if "machine" not in cells:
        return cells
    singular = cells["machine"].replace(r"\b1 (core|thread)s\b", r"1 \1", regex=True)
    return cells.assign(machine=singular)
