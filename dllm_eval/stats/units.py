"""What a suite's costs are counted per: a whole question of scored choices, or one request.

Choices of a question are scored together and share its time equally, so that no one of them is a
sample of its own. Knows the columns of requests; called by `tables.py` and `costs.py`.
"""

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


def per_unit(requests: pd.DataFrame, column: str, unit: Unit) -> Floats:
    """(units,) amounts of a column, such as seconds.

    A request that was run several times, under other seeds or in other rounds, counts by its
    median; a question's amount is the sum over its requests.
    """
    # A request that belongs to no document is told apart by its key.
    stray = requests["key"].where(requests["doc_id"] < 0, "").rename("stray")
    whole: list[pd.Series[Any]] = [requests["task"], requests["doc_id"], stray]
    amounts = requests[column].groupby([*whole, requests["index"]], sort=True).median()
    if unit == "question":
        amounts = amounts.groupby(level=["task", "doc_id", "stray"], sort=True).sum()
    return amounts.to_numpy(dtype=np.float64)


def mean_per_unit(requests: pd.DataFrame, column: str, unit: Unit) -> float:
    """The mean amount of a column over everything that was asked; NaN where nothing was."""
    asked = int((requests["index"] == 0).sum()) if unit == "question" else len(requests)
    return float(requests[column].sum()) / asked if asked else np.nan
