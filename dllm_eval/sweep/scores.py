"""Turns the samples that lm-eval logged into score records.

Knows lm-eval's sample format; knows no model and no file. `cell.py` calls it.
"""

import math
from numbers import Real
from typing import Any

import numpy as np

from dllm_eval.errors import UsageError
from dllm_eval.records import ScoreRecord
from dllm_eval.stats.scale import BITS, PERPLEXITIES
from dllm_eval.sweep.plan import Cell

LABELS = ("verdict", "isolation")
"""What a task says of a document in words, as a metric of lm-eval."""
OF_DOCUMENT = ("cluster", "category")
"""What a document of ours says about itself."""


def score_records(
    samples: dict[str, list[dict[str, Any]]], metric: str | None = None
) -> list[ScoreRecord]:
    """One record per document, metric and filter.

    lm-eval's perplexities log a log-likelihood, mostly with the words or bytes that it weighs;
    their records have the document's own perplexity, or bits per byte, and its weight. Other
    metrics that are no number per document have no record; their aggregate stands in lm-eval's own
    result file.

    Args:
        samples: Task name -> the samples that `simple_evaluate` logged for it.
        metric: The one that has to be a number wherever it is logged; None means every one. Others
            have no record of a document of which they are none: a text of one long word has bits
            per byte, and a perplexity per word beyond all numbers.

    Raises:
        UsageError: A document's perplexity is none: it is impossible, or has no words.
    """
    return [
        ScoreRecord(
            task=task,
            doc_id=int(sample["doc_id"]),
            metric=name,
            filter=str(sample["filter"]),
            value=found[0],
            weight=found[1],
            gold=_gold(sample),
            **words_of(sample),
        )
        for task, logged in samples.items()
        for sample in logged
        for name in sample["metrics"]
        if (found := _number(task, name, sample, needed=metric in (None, name))) is not None
    ]


def _number(
    task: str, metric: str, sample: dict[str, Any], *, needed: bool
) -> tuple[float, float | None] | None:
    """The score and its weight; None where a metric is no number of a document."""
    logged = sample[metric]
    if metric not in (*PERPLEXITIES, BITS):
        return (float(logged), None) if isinstance(logged, Real | np.bool_) else None
    # `perplexity` alone takes documents alike (lm_eval/api/task.py of 0.4.13, process_results).
    nats, weight = logged if isinstance(logged, tuple | list) else (logged, None)
    rate = -float(nats) / (1.0 if weight is None else float(weight) or math.nan)
    value = rate / math.log(2) if metric == BITS else _exp(rate)
    if not math.isfinite(value):
        if not needed:
            return None
        raise UsageError(
            f"document {sample['doc_id']} of task {task!r} has {metric} {value:g} (log-likelihood"
            f" {nats}, weight {weight}); a sweep compares finite numbers: leave the document out or"
            " choose another metric"
        )
    return value, None if weight is None else float(weight)


def _exp(rate: float) -> float:
    try:
        return math.exp(rate)
    except OverflowError:
        return math.inf


def words_of(sample: dict[str, Any]) -> dict[str, str]:
    """The labels of a logged sample, and what its document says about itself."""
    doc = sample.get("doc")
    own = doc if isinstance(doc, dict) else {}
    found = {name: sample.get(name) for name in LABELS} | {n: own.get(n) for n in OF_DOCUMENT}
    return {name: text for name, text in found.items() if isinstance(text, str)}


def _gold(sample: dict[str, Any]) -> int | None:
    """The number of the right choice, where the document asks one request for each choice."""
    target, num_choices = sample.get("target"), len(sample.get("resps", ()))
    if not isinstance(target, int | np.integer) or isinstance(target, bool) or num_choices < 2:
        return None
    return int(target) if 0 <= target < num_choices else None


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
