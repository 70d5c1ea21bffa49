"""The Monte-Carlo noise of a score in one of lm-eval's result files, where its records were kept.

Reads the request log of the run and the samples beside the result file. Called by `runs.py`.
"""

import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from dllm_eval.files import read_lines
from dllm_eval.records import RequestRecord
from dllm_eval.stats.noise import PROBABILITIES, noise
from dllm_eval.sweep.scores import score_records


def samples(file: Path, tasks: Sequence[str]) -> dict[str, list[dict[str, Any]]]:
    """Task -> the samples that lm-eval logged with a result file; empty where it logged none."""
    date = file.stem.removeprefix("results_")
    return {
        task: [sample for path in paths for _, sample in read_lines(path)]
        for task in tasks
        if (paths := sorted(file.parent.glob(f"samples_{task}_{date}.jsonl")))
    }


def monte_carlo_stderr(
    file: Path, tasks: Sequence[str], log: Path | None, metric: str, kind: str
) -> float:
    """Of the mean over documents under other seeds; NaN where records or samples do not say.

    Args:
        file: The result file.
        tasks: The tasks that the score is of.
        log: The run's request log. One that holds several runs of a document cannot tell which of
            them the result file is of, so that nothing is known.
        metric: Of the score.
        kind: Its filter.
    """
    if metric not in PROBABILITIES or log is None or not log.is_file():
        return math.nan
    found = pd.DataFrame([row for _, row in read_lines(log)], columns=[*RequestRecord.model_fields])
    found = found.drop_duplicates("key", keep="last")
    own = found[found["task"].isin(tasks)].assign(cell_id="")
    if own.duplicated(["task", "doc_id", "index"]).any():
        return math.nan
    logged = {task: [_read(x) for x in all_of] for task, all_of in samples(file, tasks).items()}
    scored = [x for x in score_records(logged, metric) if (x.metric, x.filter) == (metric, kind)]
    gold = {(x.task, x.doc_id): x.gold for x in scored if x.gold is not None}
    return noise(own, np.array([x.value for x in scored]), gold, metric).monte_carlo


def _read(sample: dict[str, Any]) -> dict[str, Any]:
    """A sample as it was before lm-eval's tracker made its target a text."""
    target = sample.get("target")
    if isinstance(target, str) and target.isdecimal():
        return {**sample, "target": int(target)}
    return sample
