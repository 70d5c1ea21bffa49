"""What one setting does under one load: tokens and requests per second, and how long they wait.

Pure numbers from runs (`load_run.py`) and blocks (`load_intervals.py`). Called by `load.py`.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from dllm_eval.stats.load_intervals import (
    Blocks,
    numbered,
    quantile_interval,
    rate_interval,
    widest,
)
from dllm_eval.stats.load_run import LoadRun
from dllm_eval.stats.resample import UNKNOWN, Floats, Interval

SATURATED = 0.95
"""Answers that come out at less than this share of the rate of offers: the queue grows."""


@dataclass(frozen=True, kw_only=True, eq=False)
class LoadPoint:
    """One setting under one load. NaN where something is not known."""

    in_flight: int | None
    """Of a closed loop; None of arrivals."""
    arrivals_per_s: float | None
    """The mean rate asked for; None of a closed loop."""
    offered: int
    answered: int
    window_s: float
    """From the first offer to the last answer, all runs together."""
    visible_tokens_per_s: float
    """Of a closed loop at full load, which leaves out its end; of arrivals over the window."""
    tokens_interval: Interval
    """95 % of `visible_tokens_per_s`, over blocks of requests, and over runs where there are
    several; unknown of arrivals, whose rate is the offered one."""
    window_tokens_per_s: float
    """Over the whole window, the end of a closed loop with fewer in flight included."""
    requests_per_s: float
    """At full load, or over the window, as `visible_tokens_per_s`."""
    p50_s: float
    p50_interval: Interval
    p90_s: float
    p90_interval: Interval
    """95 %; no upper bound (infinite) where the run is too short for one; unknown where saturated,
    because the wait then grows with the run."""
    offered_per_s: float
    """The rate at which requests really were offered; NaN of a closed loop."""
    answered_per_s: float
    """The rate at which answers came out, from the first to the last; NaN of a closed loop."""
    growing: bool
    """Whether late requests waited longer than any early one, see `LoadRun`."""
    open_at_end: float
    """Share of the requests not yet answered when the last was offered; NaN of a closed loop."""
    mean_batch: float
    """Requests decoded together, or in flight at most, as the records say."""
    runs: int
    """Rounds and seeds put together; of one run, no interval knows how runs differ."""
    stopped_by: str
    """What ended the offers: "requests", "time" or "documents"; "" where it is not known."""

    @property
    def level(self) -> float:
        """Requests in flight, or the mean rate of arrivals."""
        return float(self.in_flight or self.arrivals_per_s or math.nan)

    @property
    def unanswered(self) -> float:
        """Share of the requests offered that got no answer."""
        return (self.offered - self.answered) / self.offered if self.offered else math.nan

    @property
    def saturated(self) -> bool:
        """Whether the queue grew during the run."""
        return self.growing and self.answered_per_s < SATURATED * self.offered_per_s


def load_point(runs: Sequence[LoadRun]) -> LoadPoint:
    """Runs of one setting under one load, of several rounds and seeds, together."""
    first = runs[0]
    window = sum(run.window_s for run in runs)
    whole = _ratio(sum(run.window_tokens for run in runs), window)
    seconds = np.concatenate([run.seconds for run in runs])
    point = LoadPoint(
        in_flight=first.in_flight,
        arrivals_per_s=first.arrivals_per_s,
        offered=sum(run.offered for run in runs),
        answered=sum(run.answered for run in runs),
        window_s=window,
        visible_tokens_per_s=whole,
        tokens_interval=UNKNOWN,
        window_tokens_per_s=whole,
        requests_per_s=_ratio(sum(run.answered for run in runs), window),
        p50_s=_quantile(seconds, 0.5),
        p50_interval=UNKNOWN,
        p90_s=_quantile(seconds, 0.9),
        p90_interval=UNKNOWN,
        offered_per_s=math.nan,
        answered_per_s=math.nan,
        growing=any(run.growing for run in runs),
        open_at_end=math.nan,
        mean_batch=float(np.concatenate([run.batch_sizes for run in runs]).mean()),
        runs=sum(len(run.seconds) > 0 for run in runs),
        stopped_by=" and ".join(sorted({run.stopped_by for run in runs if run.stopped_by})),
    )
    rated = _arriving(point, runs) if first.in_flight is None else _at_full_load(point, runs)
    return rated if rated.saturated else _with_waits(rated, seconds, _run_of_each(runs))


def _at_full_load(point: LoadPoint, runs: Sequence[LoadRun]) -> LoadPoint:
    """By Little's law (1961, Oper. Res. 9): what is in flight over what a request takes."""
    tokens = np.concatenate([run.visible_tokens for run in runs])
    # A request's seconds over how many share them: these add up to the time all took together.
    shares = np.concatenate([run.seconds / run.mean_in_flight for run in runs])
    ways = zip(*(run.rate_blocks for run in runs), strict=True)
    own = _run_of_each(runs)
    found = [rate_interval(tokens, shares, numbered(blocks), own) for blocks in ways]
    return replace(
        point,
        visible_tokens_per_s=_ratio(float(tokens.sum()), float(shares.sum())),
        tokens_interval=widest(found),
        requests_per_s=_ratio(len(tokens), float(shares.sum())),
    )


def _arriving(point: LoadPoint, runs: Sequence[LoadRun]) -> LoadPoint:
    offers, answers = sum(r.offers_counted for r in runs), sum(r.answers_counted for r in runs)
    return replace(
        point,
        offered_per_s=_ratio(offers, sum(r.offers_span_s for r in runs)),
        answered_per_s=_ratio(answers, sum(r.answers_span_s for r in runs)),
        open_at_end=float(np.mean([run.open_at_end for run in runs])),
    )


def _with_waits(point: LoadPoint, seconds: Floats, run: Blocks | None) -> LoadPoint:
    together = None if point.in_flight == 1 else (point.in_flight or 1)
    return replace(
        point,
        p50_interval=quantile_interval(seconds, 0.5, together=together, run=run),
        p90_interval=quantile_interval(seconds, 0.9, together=together, run=run),
    )


def _run_of_each(runs: Sequence[LoadRun]) -> Blocks | None:
    """(kept,) the number of each request's run; None where a single run has any."""
    counts = [len(run.seconds) for run in runs]
    return np.repeat(np.arange(len(runs)), counts) if sum(map(bool, counts)) > 1 else None


def _quantile(seconds: Floats, level: float) -> float:
    return float(np.quantile(seconds, level)) if len(seconds) else math.nan


def _ratio(amount: float, seconds: float) -> float:
    return amount / seconds if seconds > 0 else math.nan
