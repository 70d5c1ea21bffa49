"""Where the texts of single requests come from, which no table keeps for all of them.

A frame made in memory holds them itself; a results folder is read again for the few that are shown
(`sweep.store.FileTexts`). Knows no file. `tables.py` hands one on, `report/` asks it.
"""

from collections.abc import Collection
from typing import Any, Protocol

import pandas as pd


class Texts(Protocol):
    """The whole records of a few requests."""

    def records(self, cell_id: str, keys: Collection[str]) -> dict[str, dict[str, Any]]:
        """Key -> the record as it was written; keys without a record are left out."""
        ...


class FrameTexts:
    """A `Texts` of a frame that has every column of a record.

    Args:
        requests: One row per request, with `cell_id`.
    """

    def __init__(self, requests: pd.DataFrame) -> None:
        self._requests = requests

    def records(self, cell_id: str, keys: Collection[str]) -> dict[str, dict[str, Any]]:
        """See `Texts`."""
        requests = self._requests
        own = requests[(requests["cell_id"] == cell_id) & requests["key"].isin(list(keys))]
        rows = own.drop(columns="cell_id").to_dict("records")
        return {str(row["key"]): {str(k): v for k, v in row.items()} for row in rows}
