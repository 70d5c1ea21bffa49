"""Whether the records of a finished cell are all there, and are numbers that can be compared.

A file that was cut or edited after its cell was finished would change a result without a word.
Knows tables of records and done.json; reads no file. `store.py` calls it.
"""

import math
from collections.abc import Mapping
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from dllm_eval.errors import UsageError
from dllm_eval.sweep.folder import CellFolder
from dllm_eval.sweep.plan import Cell


def check_whole(
    cell: Cell, files: CellFolder, done: Mapping[str, Any], requests: pa.Table, scores: pa.Table
) -> None:
    """Compares a finished cell with what its done.json counts.

    Args:
        cell: What it is.
        files: Where it lies.
        done: The content of its done.json; older ones do not count scores.
        requests: Its requests.
        scores: Its scores.

    Raises:
        UsageError: Records are missing or too many, or a time or the suite's score is no number.
    """
    for path, table, counted in (
        (files.requests, requests, done.get("requests")),
        (files.scores, scores, done.get("scores")),
    ):
        if isinstance(counted, int) and counted != len(table):
            raise UsageError(
                f"{path} has {len(table)} records and done.json counts {counted}: it was cut or "
                f"edited; remove {files.done} and run the sweep again, which keeps what is there"
            )
    lowest = -math.inf if cell.purpose == "quality" else 0.0
    for seconds in pc.unique(requests["seconds"]).to_pylist():
        if seconds is None or not math.isfinite(seconds) or seconds <= lowest or seconds < 0:
            raise UsageError(f"{files.requests}: 'seconds' is {seconds}; accepted: above 0")
    judged = scores.filter(pc.equal(scores["metric"], cell.metric))["value"]
    for value in pc.unique(judged).to_pylist():
        if value is None or not math.isfinite(value):
            raise UsageError(
                f"{files.scores}: a score of metric {cell.metric!r} is {value}; accepted: numbers"
            )
