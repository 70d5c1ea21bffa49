"""The ways to run a setting on a suite: once for its score, timed and under loads in rounds.

Knows the spec; knows no cell, no model and no file. `plan.py` makes cells of them.
"""

from dataclasses import dataclass
from typing import Literal

from dllm_eval.load import Load
from dllm_eval.sweep.spec import SuiteSpec, Sweep

Purpose = Literal["quality", "latency", "load"]
"""Cells of any but "quality" have the device to themselves."""

TIMING_ARGUMENTS = frozenset({"warmup", "timing_repeats"})
"""What a model class takes whose requests are timed, or offered as a load."""


@dataclass(frozen=True, kw_only=True)
class Timing:
    """How a latency cell measures; see `spec.LatencySpec`."""

    round: int
    """Which pass over all latency cells this is, from 0."""
    requests: int
    repeats: int
    warmup: int
    min_seconds: float
    threads: int | None
    relaxed: bool


@dataclass(frozen=True, kw_only=True)
class Way:
    """One way to run."""

    purpose: Purpose
    limit: int | None
    """The first so many documents of each task; None takes all."""
    batch_size: int
    timing: Timing | None = None
    load: Load | None = None


def ways(sweep: Sweep, suite: SuiteSpec, purpose: Purpose, turn: int, seed: int) -> list[Way]:
    """How the cells of a purpose are run; none where the sweep asks for none.

    Args:
        sweep: Says how.
        suite: Bounds the documents.
        purpose: Of the cells.
        turn: The round, of latency and load cells.
        seed: Of a load's arrivals.
    """
    if purpose == "quality":
        return [Way(purpose=purpose, limit=suite.limit, batch_size=sweep.quality.batch_size)]
    if purpose == "latency":
        timings = [(_timing(sweep, suite, turn, size), size) for size in sweep.latency.batch_sizes]
        return [
            Way(purpose=purpose, limit=timing.requests, batch_size=size, timing=timing)
            for timing, size in timings
        ]
    return [
        Way(
            purpose=purpose,
            limit=min(load.requests, suite.limit or load.requests),
            batch_size=together,
            load=load,
        )
        for load, together in (sweep.load.loads(seed, turn) if sweep.load else [])
    ]


def _timing(sweep: Sweep, suite: SuiteSpec, turn: int, batch_size: int) -> Timing:
    latency = sweep.latency
    requests = latency.timed_documents(batch_size, suite.limit)
    return Timing(
        round=turn,
        requests=requests,
        repeats=latency.repeats,
        warmup=latency.warmup,
        min_seconds=latency.min_seconds / latency.rounds,
        threads=latency.threads,
        relaxed=latency.relaxed_at(requests),
    )
