"""A frame's rows by the cell they come from, split once and put together at will.

Knows the column `cell_id` and no other. `tables.py` calls it: filtering a million rows anew for
every setting takes longer than every statistic of them.
"""

from collections.abc import Iterable, Mapping

import numpy as np
import pandas as pd


def split_by_cell(frame: pd.DataFrame) -> dict[str, pd.DataFrame]:
    """Cell id -> its rows, in their order; cells without any are not in it."""
    return {str(cell): part for cell, part in frame.groupby("cell_id", sort=False)}


def together(
    by_cell: Mapping[str, pd.DataFrame], cells: Iterable[str], whole: pd.DataFrame
) -> pd.DataFrame:
    """The rows of these cells; without any, no row and the columns of `whole`."""
    found = [by_cell[cell] for cell in dict.fromkeys(cells) if cell in by_cell]
    if len(found) == 1:
        return found[0]
    return pd.concat(found) if found else whole.iloc[:0]


class CellRows:
    """A frame that is asked again and again for the rows of some cells.

    Args:
        frame: With `cell_id`.
    """

    def __init__(self, frame: pd.DataFrame) -> None:
        self._frame = frame
        self._codes, self._cells = pd.factorize(frame["cell_id"])

    def of(self, cells: Iterable[str]) -> pd.DataFrame:
        """The rows of these cells, in their order in the frame."""
        wanted = np.asarray(self._cells.isin(list(cells)), dtype=np.bool_)
        return self._frame[wanted[self._codes]] if len(wanted) else self._frame
