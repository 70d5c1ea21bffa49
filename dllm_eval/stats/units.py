"""What a suite's costs are counted per: a whole question of scored choices, or one request.

Choices of a question are scored together and share its time equally, so that no one of them is a
sample of its own. Knows the columns of requests; called by `tables.py` and `costs.py`.
"""

from collections.abc import Sequence
from typing import Any, Literal

import numpy as np
import pandas as pd

from dllm_eval.stats.resample import Floats

Unit = Literal["question", "request"]
"""What a reader waits for."""


def unit_of(requests: pd.DataFrame) -> Unit:
    """A question where documents have several scored requests and nothing else."""
    scored = set(requests["request_type"]) == {"loglikelihood"}
    several = requests["index"][requests["doc_id"] >= 0].max() > 0
    return "question" if scored and several else "request"


def _document(requests: pd.DataFrame) -> "list[pd.Series[Any]]":
    """What tells documents apart; a request that belongs to none is told apart by its key."""
    whole: list[pd.Series[Any]] = [requests["task"], requests["doc_id"]]
    belongs = requests["doc_id"] >= 0
    return whole if belongs.all() else [*whole, requests["key"].mask(belongs, "").rename("stray")]


def per_unit(requests: pd.DataFrame, column: str, unit: Unit) -> Floats:
    """(units,) amounts of a column, such as seconds.

    A request that was run several times, under other seeds or in other rounds, counts by its
    median; a question's amount is the sum over its requests.
    """
    document = _document(requests)
    amounts = requests[column].groupby([*document, requests["index"]], sort=True).median()
    if unit == "question":
        levels = [str(key.name) for key in document]
        amounts = amounts.groupby(level=levels, sort=True).sum()
    return amounts.to_numpy(dtype=np.float64)


def per_round(requests: pd.DataFrame, column: str, unit: Unit, cells: Sequence[str]) -> Floats:
    """(units, cells) amounts of a column, units in the order of `per_unit`; NaN where not run.

    Args:
        requests: Those of the cells alone.
        column: Which amount, such as seconds.
        unit: What is waited for.
        cells: The columns of the answer.
    """
    if len(cells) <= 1:
        alone = per_unit(requests, column, unit)
        return alone.reshape(len(alone), len(cells))
    document = _document(requests)
    # A request that one cell ran twice counts by its median, as in `per_unit`.
    keys = [*document, requests["index"], requests["cell_id"]]
    amounts = requests[column].groupby(keys, sort=True).median()
    if unit == "question":
        levels = [*(str(key.name) for key in document), "cell_id"]
        amounts = amounts.groupby(level=levels, sort=True).sum()
    wide = amounts.unstack("cell_id").reindex(columns=list(cells))
    return np.asarray(wide.to_numpy(dtype=np.float64))


def mean_per_unit(requests: pd.DataFrame, column: str, unit: Unit) -> float:
    """The mean amount of a column over everything that was asked.

    NaN where nothing was, and where some request does not report it: a server's silence is no 0,
    and those that it reports need not be like the others.
    """
    asked = int((requests["index"] == 0).sum()) if unit == "question" else len(requests)
    return float(requests[column].sum(skipna=False)) / asked if asked else np.nan
