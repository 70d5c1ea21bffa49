"""Throughput by batch size: visible tokens per second of a setting.

Reads the records of latency cells; a batch's wall time is shared equally over its requests there,
so seconds add up. A server's records hold each request's own seconds, which do not: its throughput
is that of its load cells, in `load.py`. Called by `analysis.py`.
"""

import math
from dataclasses import dataclass

import numpy as np
import pandas as pd
from scipy.stats import t as student

from dllm_eval.stats.resample import UNKNOWN, Interval
from dllm_eval.stats.tables import TaskTable

COLUMNS = ("cell_id", "key", "seconds", "visible_tokens", "batch_size")


@dataclass(frozen=True, kw_only=True)
class BatchPoint:
    """One setting at one batch size."""

    batch_size: int
    """Requests that shared the forward passes."""
    visible_tokens_per_s: float
    """Sum of visible tokens over wall seconds."""
    requests_per_s: float
    interval: Interval
    """95 % of `visible_tokens_per_s`, over batches; over rounds where a round is one batch;
    unknown for one batch timed once."""
    num_requests: int
    """Timed, every round counted."""


@dataclass(frozen=True, kw_only=True)
class BatchCurve:
    """One setting over batch sizes, smallest first."""

    row: int
    """Index of the setting in the suite's table."""
    points: tuple[BatchPoint, ...]


def batch_curves(table: TaskTable) -> tuple[BatchCurve, ...]:
    """The settings that were timed in process at more than one batch size."""
    out = []
    for i, x in enumerate(table.configurations):
        if not x.batched_cells or x.placement.served:
            continue
        own = table.requests_of((*x.latency_cells, *x.batched_cells))
        points = _points(own[own["request_type"] == "generate_until"])
        if len(points) > 1:
            out.append(BatchCurve(row=i, points=points))
    return tuple(out)


def _points(own: pd.DataFrame) -> tuple[BatchPoint, ...]:
    if own.empty:
        return ()
    # The last batch of a cell may be smaller; a full one is what the size promises.
    full = own[own["batch_size"] == own.groupby("cell_id")["batch_size"].transform("max")]
    return tuple(
        _point(int(str(size)), part) for size, part in full.groupby("batch_size", sort=True)
    )


def _point(size: int, part: pd.DataFrame) -> BatchPoint:
    seconds, visible = float(part["seconds"].sum()), float(part["visible_tokens"].sum())
    return BatchPoint(
        batch_size=size,
        visible_tokens_per_s=visible / seconds,
        requests_per_s=len(part) / seconds,
        interval=throughput_interval(_batches(part)),
        num_requests=len(part),
    )


def _batches(part: pd.DataFrame) -> pd.DataFrame:
    """One row per batch and round: `batch` names its requests, `round` its cell."""
    # Requests of one batch have the same share of its time, to the last bit.
    of_batches = part.groupby(["cell_id", "seconds"], sort=True)
    if bool((part["batch_size"] == 1).all()):
        of_batches = part.groupby(["cell_id", "key"], sort=True)
    found = of_batches.agg(
        batch=("key", "min"), wall_s=("seconds", "sum"), visible=("visible_tokens", "sum")
    )
    return found.reset_index().rename(columns={"cell_id": "round"})


def throughput_interval(batches: pd.DataFrame) -> Interval:
    """95 % interval of sum of tokens over sum of seconds: Student's t on the logarithm.

    The variance is that of a ratio of sums over batches, rounds of one batch added up first, plus
    that of rounds; where a round is a single batch, that of rounds alone.

    Args:
        batches: Columns `round`, `batch`, `wall_s` and `visible`, one row per batch and round.
    """
    by_batch = batches.groupby("batch")[["wall_s", "visible"]].sum()
    by_round = batches.groupby("round")[["wall_s", "visible"]].sum()
    if float(by_batch["visible"].sum()) <= 0:
        return UNKNOWN
    parts = [_log_ratio_variance(x) for x in (by_batch, by_round) if len(x) > 1]
    if not parts:
        return UNKNOWN
    variance = sum(parts)
    # Of two variances added, as in Welch (1947) and Satterthwaite (1946).
    freedom = [len(x) - 1 for x in (by_batch, by_round) if len(x) > 1]
    share = sum(v**2 / f for v, f in zip(parts, freedom, strict=True))
    degrees = variance**2 / share if share > 0 else float(freedom[0])
    half = float(student.ppf(0.975, degrees)) * math.sqrt(variance)
    rate = float(by_batch["visible"].sum() / by_batch["wall_s"].sum())
    return Interval(low=rate * math.exp(-half), high=rate * math.exp(half))


def _log_ratio_variance(sums: pd.DataFrame) -> float:
    """Variance of the logarithm of sum(visible) / sum(wall_s), to first order."""
    visible = sums["visible"].to_numpy(dtype=np.float64)
    wall = sums["wall_s"].to_numpy(dtype=np.float64)
    pull = visible / visible.sum() - wall / wall.sum()
    n = len(pull)
    return float(n / (n - 1) * (pull**2).sum())
