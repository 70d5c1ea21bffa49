"""One run under load, read from its records: its window, its full load and what counts of it.

Knows the columns of requests and nothing of settings. Called by `load_point.py`.
"""

import math
from collections.abc import Hashable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

from dllm_eval.stats.load_intervals import MOST_BLOCKS, Blocks, blocks
from dllm_eval.stats.resample import Flags, Floats

AT_ONCE_S = 1e-9
"""Moments that are no further apart are one: sums of seconds are not exact."""


@dataclass(frozen=True, kw_only=True, eq=False)
class LoadRun:
    """What one cell under load left behind."""

    in_flight: int | None
    arrivals_per_s: float | None
    offered: int
    answered: int
    stopped_by: str
    window_s: float
    """From the first offer to the last answer."""
    window_tokens: float
    """Visible tokens of all answers; NaN where one is not reported."""
    mean_in_flight: float
    """Requests in flight on average, of a closed loop at full load; NaN where it never was."""
    seconds: Floats
    """(kept,) from offer to answer, in the order of the offers. Of a closed loop those at full
    load, of arrivals all."""
    visible_tokens: Floats
    """(kept,)."""
    rate_blocks: tuple[Blocks, ...]
    """(kept,) of requests that waited for each other; blocks of one length and of twice that."""
    batch_sizes: Floats
    """(answered,)."""
    offers_counted: int
    """Offers behind the first, of arrivals, and how long they took."""
    offers_span_s: float
    answers_counted: int
    """Answers behind the first, of arrivals, and how long they took."""
    answers_span_s: float
    growing: bool
    """Whether the requests of the last quarter took longer, by their median, than any of the first
    half: what a queue that fills up does, and a wait that only varies hardly ever."""
    open_at_end: float
    """Share of the requests that had no answer when the last was offered."""


def load_run(cell: Mapping[Hashable, Any], requests: pd.DataFrame | None) -> LoadRun | None:
    """A cell's run; None where nothing was answered.

    Args:
        cell: Its row in the frame of cells.
        requests: Its own; None where it has none.
    """
    if requests is None or "offered_s" not in requests or requests["offered_s"].isna().any():
        return None
    own = requests.sort_values("offered_s", kind="stable")
    offers, seconds = _numbers(own, "offered_s"), _numbers(own, "seconds")
    tokens, answers = _numbers(own, "visible_tokens"), offers + seconds
    count = None if math.isnan(cell["load_in_flight"]) else int(cell["load_in_flight"])
    kept, mean = np.ones(len(own), dtype=np.bool_), math.nan
    if count is not None:
        kept, mean = full_load(offers, answers, count)
    told = (cell.get("done") or {}).get("load") or {}
    first, last = float(answers.min()), float(answers.max())
    offered = int(told.get("offered", len(own)))
    return LoadRun(
        in_flight=count,
        arrivals_per_s=float(cell["load_arrivals_per_s"]) if count is None else None,
        offered=offered,
        answered=len(own),
        stopped_by=str(told.get("stopped_by", "")),
        window_s=last - float(offers[0]),
        window_tokens=float(tokens.sum()),
        mean_in_flight=mean,
        seconds=seconds[kept],
        visible_tokens=tokens[kept],
        rate_blocks=_rate_blocks(int(kept.sum()), count),
        batch_sizes=_numbers(own, "batch_size"),
        offers_counted=len(own) - 1,
        offers_span_s=float(offers[-1] - offers[0]),
        answers_counted=int((answers > first + AT_ONCE_S).sum()),
        answers_span_s=last - first,
        growing=_growing(seconds),
        open_at_end=float((answers > offers[-1]).sum() + offered - len(own)) / offered,
    )


def full_load(offers: Floats, answers: Floats, count: int) -> tuple[Flags, float]:
    """Which requests ran while so many were in flight, and how many were on average.

    The end of a closed loop, when nothing more is offered, is faster for each and slower for all.
    It begins when fewer than `count` are in flight for good. Requests are left out by when they
    were offered and never by how long they took, which would leave out the long ones: those offered
    later than that, where no others were answered later; else the last `count` offered.

    Args:
        offers: (requests,) seconds, ascending.
        answers: (requests,) seconds.
        count: Requests in flight.

    Returns:
        (requests,) flags, and the mean in flight up to there; nothing and NaN where so many never
        were in flight.
    """
    before = np.searchsorted(np.sort(answers), answers - AT_ONCE_S)
    flying = np.searchsorted(offers, answers - AT_ONCE_S) - before
    full = flying >= count
    if not full.any():
        return full, math.nan
    end = float(answers[full].max())
    late = answers > end + AT_ONCE_S
    kept = ~late
    if bool((offers[late] < end - AT_ONCE_S).any()):
        kept = np.arange(len(offers)) < len(offers) - count
    overlap = np.clip(np.minimum(answers, end) - offers, 0.0, None)
    return kept, float(overlap.sum() / (end - offers[0]))


def _growing(seconds: Floats) -> bool:
    count = len(seconds)
    if count < 4:
        return False
    return bool(np.median(seconds[-(count // 4) :]) > seconds[: count // 2].max())


def _rate_blocks(count: int, in_flight: int | None) -> tuple[Blocks, ...]:
    if in_flight == 1:  # one after the other: each stands for itself
        return (np.arange(count),)
    short = blocks(count, at_least=in_flight or 1, most=MOST_BLOCKS)
    twice = 2 * int((short == 0).sum())
    return short, blocks(count, at_least=max(twice, 1), most=MOST_BLOCKS)


def _numbers(own: pd.DataFrame, column: str) -> Floats:
    return own[column].to_numpy(dtype=np.float64, na_value=np.nan)
