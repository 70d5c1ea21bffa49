"""Turns the samples that lm-eval logged into score records.

Knows lm-eval's sample format; knows no model and no file. `cell.py` calls it.
"""

from numbers import Real
from typing import Any

import numpy as np

from dllm_eval.errors import UsageError
from dllm_eval.records import ScoreRecord
from dllm_eval.sweep.plan import Cell


def score_records(samples: dict[str, list[dict[str, Any]]]) -> list[ScoreRecord]:
    """One record per document, metric and filter.

    Metrics that are no number per document (word perplexity's pairs) have no record; their
    aggregate stands in lm-eval's own result file.

    Args:
        samples: Task name -> the samples that `simple_evaluate` logged for it.
    """
    return [
        ScoreRecord(
            task=task,
            doc_id=int(sample["doc_id"]),
            metric=metric,
            filter=str(sample["filter"]),
            value=float(sample[metric]),
        )
        for task, logged in samples.items()
        for sample in logged
        for metric in sample["metrics"]
        if isinstance(sample[metric], Real | np.bool_)
    ]


def check_metric(cell: Cell, records: list[ScoreRecord]) -> None:
    """Makes sure that the metric a suite asks for was scored.

    Raises:
        UsageError: It was not; the line lists those that were.
    """
    found = {(record.metric, record.filter) for record in records}
    metrics = {metric for metric, _ in found}
    if cell.metric not in metrics:
        raise UsageError(
            f"task {cell.task!r} has no metric {cell.metric!r} per document; it has: "
            f"{', '.join(sorted(metrics))}"
        )
    filters = {name for metric, name in found if metric == cell.metric}
    if cell.filter is not None and cell.filter not in filters:
        raise UsageError(
            f"task {cell.task!r} has no filter {cell.filter!r} for {cell.metric!r}; it has: "
            f"{', '.join(sorted(filters))}"
        )
