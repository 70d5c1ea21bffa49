"""The leaderboard's columns: which a suite has, and what stands in them for one row.

Strings and sort keys; computes no statistic. Called by `leaderboard.py`.
"""

import math
from dataclasses import dataclass

from dllm_eval.report import protocol_text, text, tier_text
from dllm_eval.stats.analysis import TaskAnalysis
from dllm_eval.stats.aup import Aup
from dllm_eval.stats.protocols import FIELDS
from dllm_eval.stats.row import Row


@dataclass(frozen=True, kw_only=True)
class Entry:
    """One cell of the leaderboard: what is shown, and what it sorts by."""

    shown: str
    key: float | str


@dataclass(frozen=True, kw_only=True)
class Columns:
    """Which of a suite's columns are shown, the same for all its rows."""

    sampler: bool
    tier: bool
    """Whether some row is driven harder than the plain way."""
    request: bool
    likelihood: bool
    noise: bool
    looseness: bool
    timed: bool
    compared: bool
    energy: bool
    memory: bool
    protocol: tuple[str, ...]
    """What rows differ in of how they were asked and judged."""
    aup_y_max: float
    """In percent; NaN where no series has an AUP."""

    @classmethod
    def of(cls, analysis: TaskAnalysis) -> "Columns":
        """Those with something in them."""
        rows = analysis.rows
        tier = tier_text.shown(rows)
        gaps = [gap for r in rows for gap in (r.looseness.at_least, r.looseness.at_most)]
        return cls(
            sampler=any(_composition(row, tier=tier) for row in rows),
            tier=tier,
            request=any(row.costs.request for row in rows),
            likelihood=analysis.likelihood,
            noise=any(not math.isnan(row.noise.monte_carlo) for row in rows),
            looseness=not all(math.isnan(gap) for gap in gaps),
            timed=any(not math.isnan(row.latency_s) for row in rows),
            compared=any(row.comparison is not None for row in rows),
            energy=any(not math.isnan(row.joules) for row in rows),
            memory=any(not math.isnan(row.peak_memory_bytes) for row in rows),
            protocol=protocol_text.columns(analysis),
            aup_y_max=next((x.y_max for x in aups(analysis).values()), math.nan),
        )


def aups(analysis: TaskAnalysis) -> dict[int, Aup]:
    """Row -> the AUP of its series, where it has one."""
    curves = [curve for group in analysis.groups for curve in group.curves]
    return {i: curve.aup for curve in curves if curve.aup is not None for i in curve.members}


GENERATION = ("visible tokens", "canvas tokens")
LIKELIHOOD = ("estimator", "quantity", "mean stderr (nats)")
NOISE = ("Monte-Carlo ± (points)", "documents ± (points)", "answers another seed would change")
LOOSENESS = ("ELBO loose by at least (nats)", "at most about (nats)")


def header(analysis: TaskAnalysis, columns: Columns) -> tuple[str, ...]:
    """The names of the columns."""
    question = analysis.table.unit == "question"
    each = " per question" if question else ""
    scored = "canvases per question" if question else "canvases scored"
    return (
        "model",
        *((_composition_name(columns),) if columns.sampler else ()),
        *(("tier",) if columns.tier else ()),
        text.dial_name(analysis),
        *(("request",) if columns.request else ()),
        *(FIELDS[name] for name in columns.protocol),
        "quality",
        "95 % interval",
        *(NOISE if columns.noise else ()),
        *((f"p50 latency{each}", "latency 95 %") if columns.timed else ()),
        scored if columns.likelihood else "NFE",
        *(LIKELIHOOD if columns.likelihood else GENERATION),
        *(("tokens/s",) if columns.timed and not columns.likelihood else ()),
        *((f"energy per {analysis.table.unit}",) if columns.energy else ()),
        *(("peak memory",) if columns.memory else ()),
        *(() if math.isnan(columns.aup_y_max) else (f"AUP (y_max {columns.aup_y_max:.1f})",)),
        *(("P(frontier)",) if columns.timed else ()),
        *(("speed-up vs AR",) if columns.timed and columns.compared else ()),
        *(("against AR",) if columns.compared else ()),
        *(LOOSENESS if columns.looseness else ()),
    )


def _composition(row: Row, *, tier: bool) -> str:
    """What sets a row's series apart, without what the column of tiers says."""
    x = row.configuration
    return x.untiered if tier else x.composition


def _composition_name(columns: Columns) -> str:
    return "settings" if columns.likelihood else "sampler"


def entries(
    analysis: TaskAnalysis, row: Row, columns: Columns, found: Aup | None
) -> tuple[Entry, ...]:
    """One row, in the order of `header`; `found` is its series' AUP."""
    x, costs = row.configuration, row.costs
    setting = text.dial_text(analysis, x)
    request = Entry(shown=costs.request or text.UNKNOWN_TEXT, key=costs.request)
    composition = _composition(row, tier=columns.tier)
    sampler = Entry(shown=composition or text.UNKNOWN_TEXT, key=composition)
    tier = Entry(shown=x.tier or text.UNKNOWN_TEXT, key=x.tier)
    return (
        Entry(shown=x.model, key=x.model),
        *((sampler,) if columns.sampler else ()),
        *((tier,) if columns.tier else ()),
        Entry(shown=setting, key=x.dial_value),
        *((request,) if columns.request else ()),
        *_protocol_entries(analysis, row, columns),
        Entry(shown=row.scale.text(row.quality), key=row.quality),
        Entry(shown=row.scale.span(row.quality_interval), key=row.quality_interval.low),
        *(_noise_entries(row) if columns.noise else ()),
        *(_latency_entries(row) if columns.timed else ()),
        Entry(shown=text.counted(row, costs.nfe), key=costs.nfe),
        *(_likelihood_entries(row) if columns.likelihood else _generation_entries(row, columns)),
        *_device_entries(row, columns),
        *_aup_entries(found, columns),
        *((_probability(row),) if columns.timed else ()),
        *_comparison_entries(row, columns),
        *(_looseness_entries(row) if columns.looseness else ()),
    )


def _protocol_entries(analysis: TaskAnalysis, row: Row, columns: Columns) -> tuple[Entry, ...]:
    at = next(i for i, other in enumerate(analysis.rows) if other is row) if columns.protocol else 0
    told = (protocol_text.value(analysis, at, name) for name in columns.protocol)
    return tuple(Entry(shown=value, key=value) for value in told)


def _noise_entries(row: Row) -> tuple[Entry, ...]:
    noise = row.noise
    return (
        Entry(shown=text.points(noise.monte_carlo), key=noise.monte_carlo),
        Entry(shown=text.points(noise.documents), key=noise.documents),
        Entry(shown=text.changed(row), key=noise.changed_answers),
    )


def _looseness_entries(row: Row) -> tuple[Entry, ...]:
    gaps = row.looseness.at_least, row.looseness.at_most
    return tuple(Entry(shown=text.significant(gap), key=gap) for gap in gaps)


def _latency_entries(row: Row) -> tuple[Entry, Entry]:
    return (
        Entry(shown=text.latency(row), key=row.latency_s),
        Entry(shown=text.seconds_interval(row.latency_interval), key=row.latency_interval.low),
    )


def _generation_entries(row: Row, columns: Columns) -> tuple[Entry, ...]:
    costs = row.costs
    speed = costs.visible_tokens_per_s
    return (
        Entry(shown=text.counted(row, costs.visible_tokens), key=costs.visible_tokens),
        Entry(shown=text.counted(row, costs.canvas_tokens), key=costs.canvas_tokens),
        *((Entry(shown=text.speed(row), key=speed),) if columns.timed else ()),
    )


def _device_entries(row: Row, columns: Columns) -> tuple[Entry, ...]:
    peak = row.peak_memory_bytes
    return (
        *((Entry(shown=text.joules(row.joules), key=row.joules),) if columns.energy else ()),
        *((Entry(shown=text.size(peak), key=peak),) if columns.memory else ()),
    )


def _aup_entries(found: Aup | None, columns: Columns) -> tuple[Entry, ...]:
    if math.isnan(columns.aup_y_max):
        return ()
    value = math.nan if found is None else found.value
    return (Entry(shown=text.significant(value), key=value),)


def _probability(row: Row) -> Entry:
    return Entry(shown=text.percent(row.p_frontier, digits=0), key=row.p_frontier)


def _likelihood_entries(row: Row) -> tuple[Entry, ...]:
    costs = row.costs
    quantity = text.quantity(costs.quantity)
    return (
        Entry(shown=costs.estimator, key=costs.estimator),
        Entry(shown=quantity, key=quantity),
        Entry(shown=text.significant(costs.value_stderr), key=costs.value_stderr),
    )


def _comparison_entries(row: Row, columns: Columns) -> tuple[Entry, ...]:
    if not columns.compared:
        return ()
    comparison = row.comparison
    ratio = math.nan if comparison is None else comparison.latency_ratio
    verdict_ = "" if comparison is None else comparison.verdict
    speedup = Entry(shown=text.ratio(ratio), key=ratio)
    return (*((speedup,) if columns.timed else ()), Entry(shown=verdict_, key=verdict_))
