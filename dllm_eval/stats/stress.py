"""The parallel-decoding suites: tokens per forward pass, right answers, and the ceiling.

A suite is one of these if its task states an operation and its metric is `valid`. Knows no model
and no figure. `report/stress_figure.py` and `report/stress_table.py` call it.
"""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

from dllm_eval.stats.ceiling import FORMULAS, ceiling
from dllm_eval.stats.configuration import Configuration
from dllm_eval.stats.protocols import facts_of
from dllm_eval.stats.resample import Interval, quality_interval
from dllm_eval.stats.score_index import ScoreIndex
from dllm_eval.stats.tables import TaskTable

METRIC = "valid"
CHOICE = "choice"
"""The metric that numbers the right answers; negative for a wrong one."""
RANDOM_ORDERS = ("random",)
"""Samplers of which the closed form speaks."""


@dataclass(frozen=True, kw_only=True)
class StressPoint:
    """One setting in one suite."""

    row: int
    """Index of the setting in the suite's table."""
    sampler: str
    """"" where there is none, as of an autoregressive model."""
    temperature: float
    tokens_per_step: float
    """Tokens of the canvas over forward passes, both means; 1 of an autoregressive model, NaN where
    a server reports neither."""
    forwards: float
    quality: float
    interval: Interval
    """95 %."""
    ceiling: float | None
    """Of random order at temperature 1 in as many even steps; None where the steps depend on the
    answer or an item is not one token."""
    binding: bool
    """Whether the ceiling was derived for this very way of decoding."""
    distinct: int | None
    """Different right answers that came up; None where the suite does not number them."""
    num_valid: int
    """Right answers, over all seeds."""

    @property
    def placed(self) -> bool:
        """Whether it has a place on an axis of tokens per step."""
        return not math.isnan(self.tokens_per_step)

    @property
    def above(self) -> bool:
        """Whether the whole interval lies above the ceiling."""
        return self.ceiling is not None and self.interval.low > self.ceiling + 1e-9


@dataclass(frozen=True, kw_only=True)
class StressSuite:
    """A suite with its settings and its closed form."""

    operation: str
    items: int
    diffusion: tuple[StressPoint, ...]
    autoregressive: tuple[StressPoint, ...]
    curve: tuple[tuple[float, float], ...]
    """(tokens per step, ceiling) of every number of steps; () where the formula does not apply."""


def stress_suite(table: TaskTable, scores: ScoreIndex | None = None) -> StressSuite | None:
    """What a suite says about parallel decoding; None where it is not about that.

    Args:
        table: The suite.
        scores: All scores, for the answers' numbers; None leaves those out.
    """
    facts = _facts(table)
    if facts is None:
        return None
    operation, items = facts
    points = [_point(table, i, operation, items, scores) for i in range(len(table.configurations))]
    own = [p for p in points if table.configurations[p.row].kind == "diffusion"]
    known = any(p.ceiling is not None for p in own)
    return StressSuite(
        operation=operation,
        items=items,
        diffusion=tuple(sorted(own, key=lambda p: (not p.placed, p.tokens_per_step))),
        autoregressive=tuple(
            p for p in points if table.configurations[p.row].kind == "autoregressive"
        ),
        curve=_curve(operation, items) if known else (),
    )


def _facts(table: TaskTable) -> tuple[str, int] | None:
    """Operation and items; what a run changed by metadata goes before what the task states."""
    if table.metric != METRIC:
        return None
    for x in table.configurations:
        for facts in facts_of(x.provenance, table.task):
            operation = str(facts.get("operation", ""))
            items = _changed(x.provenance, table.task).get("items", facts.get("items"))
            if operation and str(items).isdigit():
                return operation, int(str(items))
    return None


def _changed(provenance: Mapping[str, Any], task: str) -> Mapping[str, Any]:
    found = provenance.get("tasks", {}).get(task, {}).get("metadata", {})
    return found if isinstance(found, Mapping) else {}


def _curve(operation: str, items: int) -> tuple[tuple[float, float], ...]:
    if operation not in FORMULAS:
        return ()
    heights = [(items / steps, ceiling(operation, items, steps)) for steps in range(items, 0, -1)]
    return tuple((x, y) for x, y in heights if y is not None)


def _point(
    table: TaskTable, row: int, operation: str, items: int, scores: ScoreIndex | None
) -> StressPoint:
    x = table.configurations[row]
    own = table.requests_of(x.quality_cells)
    forwards, canvas = own["nfe"], own["canvas_tokens"]
    diffusion = x.kind == "diffusion"
    sampler, temperature = _way(x)
    even = diffusion and forwards.nunique(dropna=False) == 1 and set(canvas) == {items}
    even = even and bool(forwards.notna().all())
    limit = ceiling(operation, items, int(forwards.iloc[0])) if even else None
    num_valid, distinct = _choices(x, table.filter, scores)
    return StressPoint(
        row=row,
        sampler=sampler,
        temperature=temperature,
        tokens_per_step=_mean(canvas) / _mean(forwards) if diffusion and len(own) else 1.0,
        forwards=_mean(forwards) if len(own) else float("nan"),
        quality=float(np.nanmean(table.quality[row])),
        interval=quality_interval(table.quality[row], np.empty(0)),
        ceiling=limit,
        binding=limit is not None and sampler in RANDOM_ORDERS and temperature == 1.0,
        distinct=distinct,
        num_valid=num_valid,
    )


def _mean(counts: "pd.Series[float]") -> float:
    """NaN where a server does not report one of them."""
    return float(counts.mean(skipna=False))


def _way(x: Configuration) -> tuple[str, float]:
    """Sampler and temperature; those in use, else those that were asked for."""
    used = {**x.settings, **(x.provenance.get("sampler") or {})}
    sampler = str(used.get("sampler") or "") if x.kind == "diffusion" else ""
    return sampler, float(used.get("temperature") or 0.0)


def _choices(
    x: Configuration, score_filter: str, scores: ScoreIndex | None
) -> tuple[int, int | None]:
    """Right answers and different ones, over all seeds."""
    if scores is None:
        return 0, None
    numbers = scores.rows(x.quality_cells, CHOICE, [score_filter])["value"]
    right = numbers[numbers >= 0]
    return len(right), int(right.nunique()) if len(numbers) else None
