"""Latency against output length: p50 seconds of a setting's timed requests, by visible tokens.

Reads the records of batch-1 latency cells, bins common to all settings of a place. Called by
`analysis.py`.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd

from dllm_eval.stats.resample import (
    REPLICATES,
    Floats,
    Interval,
    median_replicates,
    percentile_interval,
)
from dllm_eval.stats.tables import TaskTable

BINS = 5
LEAST = 5
"""Requests without which a bin says nothing."""


@dataclass(frozen=True, kw_only=True)
class LengthPoint:
    """The requests of one setting whose answers have about the same length."""

    visible_tokens: float
    """Their mean."""
    latency_s: float
    """p50."""
    interval: Interval
    """95 % of the p50, over requests."""
    num_requests: int
    bin: int
    """Which of the bins, common to all settings of a machine and stack, shortest first."""


@dataclass(frozen=True, kw_only=True)
class LengthCurve:
    """One setting over lengths, shortest first."""

    row: int
    """Index of the setting in the suite's table."""
    points: tuple[LengthPoint, ...]


def length_curves(
    table: TaskTable, *, generator: np.random.Generator, replicates: int = REPLICATES
) -> tuple[LengthCurve, ...]:
    """The settings whose timed answers differ in length; nothing where requests are scored.

    An answer whose length a server does not report is in no bin.
    """
    timed = {
        i: _units(table.requests_of(x.latency_cells)) for i, x in enumerate(table.configurations)
    }
    out = []
    for group in sorted({x.group for x in table.configurations}):
        here = [i for i in timed if table.configurations[i].group == group]
        edges = _edges([timed[i] for i in here])
        for i in here:
            points = _points(timed[i], edges, generator, replicates)
            if len(points) > 1:
                out.append(LengthCurve(row=i, points=points))
    return tuple(out)


def _units(timed: pd.DataFrame) -> pd.DataFrame:
    """One row per generated answer, the median of its rounds."""
    timed = timed[timed["request_type"] == "generate_until"]
    keys = ["task", "doc_id", "index", "key"]
    timed = timed[timed["visible_tokens"].notna()]
    return timed.groupby(keys, sort=True)[["visible_tokens", "seconds"]].median()


def _edges(parts: Sequence[pd.DataFrame]) -> Floats:
    """Bin edges at quantiles of all settings' lengths together; (edges,), maybe empty."""
    filled = [x["visible_tokens"].to_numpy(dtype=np.float64) for x in parts if len(x)]
    if not filled:
        return np.empty(0)
    lengths = np.concatenate(filled)
    lengths = lengths[lengths > 0]
    shares = np.linspace(0.0, 1.0, BINS + 1)[1:-1]
    return np.unique(np.quantile(lengths, shares)) if len(lengths) else lengths


def _points(
    units: pd.DataFrame, edges: Floats, generator: np.random.Generator, replicates: int
) -> tuple[LengthPoint, ...]:
    visible = units["visible_tokens"].to_numpy(dtype=np.float64)
    seconds = units["seconds"].to_numpy(dtype=np.float64)
    bins = np.searchsorted(edges, visible, side="left")
    out = []
    for number in range(len(edges) + 1):
        own = (bins == number) & (visible > 0)
        if own.sum() < LEAST:
            continue
        draws = median_replicates(seconds[own], replicates=replicates, generator=generator)
        out.append(
            LengthPoint(
                visible_tokens=float(visible[own].mean()),
                latency_s=float(np.median(seconds[own])),
                interval=percentile_interval(draws),
                num_requests=int(own.sum()),
                bin=number,
            )
        )
    return tuple(out)
