"""The table of the parallel-decoding suites: measured, interval, ceiling, and what lies above it.

Texts only; the numbers are of `stats/stress.py`. In `suite_tables.TABLES`.
"""

import math

import pandas as pd

from dllm_eval.report import text
from dllm_eval.report.suite_table import Frames, SuiteTable
from dllm_eval.stats.stress import StressPoint, StressSuite, stress_suite
from dllm_eval.stats.tables import TaskTable

NAME = "parallel_decoding"
FIGURE = "stress"
"""Stem of the figure that `figures.py` draws of the same numbers."""
HEADER = (
    *("operation", "model", "order", "temperature", "tokens per step", "valid", "95 %"),
    *("ceiling", "against the ceiling", "different right answers"),
)
ABOUT = (
    "How often an answer is right when a forward pass writes several tokens at once. The ceiling "
    "is a closed form: exact conditional distributions, temperature 1, positions in random order. "
    "Intervals: Wilson's, over documents, their scores averaged over seeds."
)
ORDERS = (
    "The ceiling was derived for random order; beside another order it stands for comparison "
    "alone, and such an order may lie above it. Random order whose whole interval lies above it is "
    "marked: a lucky draw (one in forty), a fault, or a model that prefers some of the right "
    "answers to others, as one that always wrote the same right answer would never be wrong."
)
GREEDY = (
    "At temperature 0 nothing is drawn, and a model that always gives one and the same right "
    "answer counts as right: read such rows with the number of different right answers."
)


def stress_tables(frames: Frames) -> list[SuiteTable]:
    """One table for all suites of the kind; [] where there is none."""
    found = [(table, stress_suite(table, frames.index)) for table in frames.tables]
    own = [(table, suite) for table, suite in found if suite is not None]
    if not own:
        return []
    rows = [
        (table, suite, point)
        for table, suite in own
        for point in (*suite.diffusion, *suite.autoregressive)
    ]
    greedy = any(point.temperature == 0 for _, _, point in rows)
    return [
        SuiteTable(
            name=NAME,
            title="Parallel decoding: measured and what a formula allows",
            about=ABOUT,
            header=HEADER,
            rows=tuple(_row(*row) for row in rows),
            notes=(ORDERS, GREEDY) if greedy else (ORDERS,),
            data=pd.DataFrame([_data(*row) for row in rows]),
            figure=FIGURE,
        )
    ]


def _row(table: TaskTable, suite: StressSuite, point: StressPoint) -> tuple[str, ...]:
    x = table.configurations[point.row]
    return (
        f"{suite.operation}, {suite.items} items",
        x.series,
        point.sampler or ("left to right" if point.placed else text.NOT_REPORTED),
        f"{point.temperature:g}",
        text.count(point.tokens_per_step) if point.placed else text.NOT_REPORTED,
        text.percent(point.quality),
        text.percent_interval(point.interval),
        text.UNKNOWN_TEXT if point.ceiling is None else text.percent(point.ceiling),
        against(point),
        text.UNKNOWN_TEXT
        if point.distinct is None
        else f"{point.distinct} of {point.num_valid} right",
    )


def against(point: StressPoint) -> str:
    """What a setting's interval says about the ceiling."""
    if not point.placed:
        return "no ceiling: steps are not reported"
    if point.ceiling is None:
        return "no ceiling: steps go by the tokens" if point.sampler else "one at a time"
    if not point.binding:
        return "above random order's" if point.above else "not above random order's"
    if point.above:
        return "ABOVE THE CEILING"
    return "reaches it" if point.interval.high >= point.ceiling else "below it"


def _data(table: TaskTable, suite: StressSuite, point: StressPoint) -> dict[str, object]:
    x = table.configurations[point.row]
    return {
        "operation": suite.operation,
        "items": suite.items,
        "task": table.task,
        "series": x.series,
        "kind": x.kind,
        "sampler": point.sampler,
        "temperature": point.temperature,
        "forwards": point.forwards,
        "tokens_per_step": point.tokens_per_step,
        "valid": point.quality,
        "valid_low": point.interval.low,
        "valid_high": point.interval.high,
        "ceiling": math.nan if point.ceiling is None else point.ceiling,
        "ceiling_is_of_this_order": point.binding,
        "above_ceiling": point.above,
        "distinct": math.nan if point.distinct is None else point.distinct,
        "num_valid": point.num_valid,
    }
