"""The tables of offered load: one for requests in flight, one for arrivals, of each machine.

Texts only; the numbers are of `stats/load.py`. In `suite_tables.TABLES`.
"""

import math
from collections.abc import Sequence
from dataclasses import fields, replace

import pandas as pd

from dllm_eval.report import load_words, text
from dllm_eval.report.suite_table import Frames, SuiteTable
from dllm_eval.stats.load import LoadCurve
from dllm_eval.stats.load_crossover import Axis, SuiteLoads, points_of
from dllm_eval.stats.load_point import SATURATED, LoadPoint
from dllm_eval.stats.resample import Interval
from dllm_eval.stats.tables import Configuration
from dllm_eval.stats.tiers import beyond_plain

NAME = "load"
FIGURE = "load"
"""Stem of the figure that `figures.py` draws of the same numbers."""
CLOSED = (
    *("in flight", "tokens/s", "tokens/s 95 %", "against AR", "requests/s"),
    *("p50", "p50 95 %", "p90", "p90 95 %", "answered"),
)
ARRIVALS = (
    *("asked /s", "offered /s", "answered /s", "p90", "p90 95 %", "against AR"),
    *("p50", "p50 95 %", "tokens/s", "open at the end", "answered"),
)
ABOUT = (
    "Seconds count from the moment a request is offered to its answer, so they hold the wait. "
    "Tokens are visible ones. Intervals count blocks of requests, not requests, because those in "
    "flight together wait for each other"
)
ONE_RUN = "of one run, they do not know how runs differ."
SOME_ONE_RUN = "where a level has one run, they do not know how runs differ."
SEVERAL_RUNS = "they know how the runs of a level differ."
FULL_LOAD = (
    "Tokens and requests per second, p50 and p90 are those at full load: the end of the run, when "
    "nothing more is offered and fewer are in flight, is left out. A dash: the run was too short "
    "for a number, or for an interval (three blocks of as many requests as are in flight)."
)
QUEUE = (
    f"Saturated: answers came out at less than {100 * SATURATED:.0f} % of the rate of the offers, "
    "and late requests waited longer than any early one: the queue grew, and p50 and p90 would "
    "grow with a longer run. Open at the end: share of the requests not yet answered when the last "
    "was offered. An interval that begins with ≥ has no upper end: the run was too short for one. "
    "Tokens/s are over the whole window."
)
MARK = "saturated"
MOST_ROWS = 12
"""More than these are folded away on the page, below the figure and what it shows in words."""


def load_tables(frames: Frames) -> list[SuiteTable]:
    """Two tables for each suite and machine that was run under load."""
    found = [
        table
        for loads in frames.loads
        for machine in loads.machines
        for axis in _TITLES
        for table in _table(loads, machine, axis)
    ]
    # One figure shows them all.
    return [replace(table, figure="" if i else FIGURE) for i, table in enumerate(found)]


_TITLES: dict[Axis, str] = {
    "in_flight": "so many requests in flight",
    "arrivals": "requests that arrive at random",
}


def _table(loads: SuiteLoads, machine: str, axis: Axis) -> list[SuiteTable]:
    own = [
        (curve, point)
        for curve in loads.curves
        if curve.machine == machine
        for point in points_of(curve, axis)
    ]
    if not own:
        return []
    title = loads.analysis.table.suite
    tiers = beyond_plain(x.tier for x, _ in own)
    rows = tuple(_row(loads, curve, point, axis, tiers=tiers) for curve, point in own)
    return [
        SuiteTable(
            name=NAME,
            title=f"Under load, {title}: {_TITLES[axis]} ({machine})",
            about=(
                f"{ABOUT}; {_about_runs([point for _, point in own])} "
                f"{FULL_LOAD if axis == 'in_flight' else QUEUE}"
            ),
            header=(
                *("model", "setting"),
                *(("tier",) if tiers else ()),
                *(CLOSED if axis == "in_flight" else ARRIVALS),
            ),
            rows=rows,
            notes=tuple(load_words.sentences(loads, machine, axis)),
            folded=len(rows) > MOST_ROWS,
            suites=(title,),
            data=pd.DataFrame([_data(loads, curve, point) for curve, point in own]),
        )
    ]


def _about_runs(points: Sequence[LoadPoint]) -> str:
    """What the intervals know of how runs differ."""
    alone = [point.runs == 1 for point in points]
    return ONE_RUN if all(alone) else SOME_ONE_RUN if any(alone) else SEVERAL_RUNS


def _row(
    loads: SuiteLoads, curve: LoadCurve, point: LoadPoint, axis: Axis, *, tiers: bool
) -> tuple[str, ...]:
    x = loads.analysis.rows[curve.row].configuration
    return (
        x.model,
        (_untiered(x) if tiers else text.setting(x)) or text.UNKNOWN_TEXT,
        *((curve.tier or text.UNKNOWN_TEXT,) if tiers else ()),
        f"{point.level:g}",
        *(_closed if axis == "in_flight" else _arriving)(point, _against(loads, curve, point)),
        f"{point.answered} of {point.offered}",
    )


def _untiered(x: Configuration) -> str:
    """What a row is among its model's without its tier, which has a column."""
    at = text.dial(x)
    return " at ".join(part for part in (x.untiered, "" if at == text.UNKNOWN_TEXT else at) if part)


def _closed(point: LoadPoint, against: str) -> tuple[str, ...]:
    interval = point.tokens_interval
    known = not math.isnan(interval.low)
    return (
        text.significant(point.visible_tokens_per_s),
        f"{text.significant(interval.low)} to {text.significant(interval.high)}"
        if known
        else text.UNKNOWN_TEXT,
        against,
        text.significant(point.requests_per_s),
        text.seconds(point.p50_s),
        _waits(point.p50_interval),
        text.seconds(point.p90_s),
        _waits(point.p90_interval),
    )


def _arriving(point: LoadPoint, against: str) -> tuple[str, ...]:
    mark = f" ({MARK})" if point.saturated else ""
    return (
        text.significant(point.offered_per_s),
        text.significant(point.answered_per_s) + mark,
        text.seconds(point.p90_s),
        _waits(point.p90_interval),
        against,
        text.seconds(point.p50_s),
        _waits(point.p50_interval),
        text.significant(point.visible_tokens_per_s),
        text.percent(point.open_at_end, digits=0),
    )


def _waits(interval: Interval) -> str:
    if math.isinf(interval.high):
        return f"≥ {text.seconds(interval.low)}"
    return text.seconds_interval(interval)


def _against(loads: SuiteLoads, curve: LoadCurve, point: LoadPoint) -> str:
    level = loads.lead(curve, point)
    beside = "" if level is None else load_words.rival(loads, level.rival_curve)
    return load_words.lead(level, beside)


_NUMBERS = tuple(x.name for x in fields(LoadPoint) if "interval" not in x.name)
_INTERVALS = tuple(x.name for x in fields(LoadPoint) if "interval" in x.name)


def _data(loads: SuiteLoads, curve: LoadCurve, point: LoadPoint) -> dict[str, object]:
    x = loads.analysis.rows[curve.row].configuration
    level = loads.lead(curve, point)
    intervals: Sequence[tuple[str, Interval]] = [(y, getattr(point, y)) for y in _INTERVALS]
    return {
        "task": loads.analysis.table.task,
        "config_id": x.config_id,
        "series": x.series,
        "kind": x.kind,
        "dial": x.dial,
        "dial_value": x.dial_value,
        "machine": curve.machine,
        "stack": curve.stack,
        "placement": curve.placement.kind,
        "tier": curve.tier,
        **{y: math.nan if (z := getattr(point, y)) is None else z for y in _NUMBERS},
        **{f"{y.removesuffix('_interval')}_low": z.low for y, z in intervals},
        **{f"{y.removesuffix('_interval')}_high": z.high for y, z in intervals},
        "unanswered": point.unanswered,
        "saturated": point.saturated,
        "lead": "" if level is None else level.lead,
        "best_ar": "" if level is None else load_words.rival(loads, level.rival_curve),
    }
