"""The aggregated numbers that the page's own charts draw, as JSON-ready values.

No record goes in whole and no raw score: only rows, curves and the few chosen samples. Called by
`render.py`.
"""

import json
import math
from collections.abc import Mapping, Sequence
from types import MappingProxyType

import numpy as np

from dllm_eval.report import text
from dllm_eval.report.quality_axis import own_axis
from dllm_eval.report.samples import MAX_TOKENS, NUM_DIALS, NUM_DOCUMENTS, samples
from dllm_eval.report.standing import faded, standing
from dllm_eval.report.style import Look, looks
from dllm_eval.report.wrong_answers import wrong_answers
from dllm_eval.stats.analysis import TaskAnalysis
from dllm_eval.stats.batching import BatchCurve
from dllm_eval.stats.frontier import staircase
from dllm_eval.stats.group import Curve, GroupAnalysis
from dllm_eval.stats.lengths import LengthCurve
from dllm_eval.stats.resample import Interval
from dllm_eval.stats.series import TEXT_DIALS

SHOWN_TOKENS = 80_000
"""Of all sample answers together; with very many suites each answer is cut sooner."""


def payload(
    analyses: Sequence[TaskAnalysis], topics: Mapping[str, str] = MappingProxyType({})
) -> list[dict[str, object]]:
    """One entry per suite.

    Args:
        analyses: The suites.
        topics: Title of a suite -> the title of the suite that it is counted with.
    """
    look = looks([(x.series, x.kind) for a in analyses for x in a.table.configurations])
    settings = sum(min(len(analysis.rows), NUM_DIALS) for analysis in analyses)
    share = SHOWN_TOKENS // max(1, NUM_DOCUMENTS * settings)
    max_tokens = max(16, min(MAX_TOKENS, share))
    return [
        {"topic": topics.get(a.table.suite, a.table.suite), **_suite(a, look, max_tokens)}
        for a in analyses
    ]


def as_script(value: object) -> str:
    """JSON that is safe inside a script element: no character in it can end the element."""
    raw = json.dumps(value, allow_nan=False, ensure_ascii=False, separators=(",", ":"))
    for character in "<>&\u2028\u2029":
        raw = raw.replace(character, f"\\u{ord(character):04x}")
    return raw


def _suite(analysis: TaskAnalysis, look: dict[str, Look], max_tokens: int) -> dict[str, object]:
    return {
        "suite": analysis.table.suite,
        "task": analysis.table.task,
        "metric": analysis.table.metric,
        "chance": _number(analysis.table.chance),
        "axis": _axis(analysis),
        "dial": text.dial_name(analysis),
        "unit": text.unit(analysis),
        "alone": text.alone(analysis),
        "bounds": text.bounds_note(analysis.rows),
        "work": text.work(analysis),
        "places": [_place(analysis, group, look) for group in analysis.groups],
        "samples": samples(analysis, max_tokens=max_tokens),
        "wrong": wrong_answers(analysis),
        "batches": [_batch_curve(analysis, curve) for curve in analysis.batches],
        "lengths": [_length_curve(analysis, curve) for curve in analysis.lengths],
    }


def _axis(analysis: TaskAnalysis) -> dict[str, object] | None:
    """Where qualities are no shares: the ends and ticks of their axis."""
    own = own_axis(analysis.rows)
    if own is None:
        return None
    ticks = [[_number(quality), shown] for quality, shown in own.ticks]
    return {"low": _number(own.low), "high": _number(own.high), "ticks": ticks}


def _place(
    analysis: TaskAnalysis, group: GroupAnalysis, look: dict[str, Look]
) -> dict[str, object]:
    return {
        "place": group.place,
        "curves": [_curve(analysis, curve, look[curve.series]) for curve in group.curves],
        "rows": [_row(analysis, i) for i in group.members],
        "reference": None
        if group.reference is None
        else {"latency_s": group.reference.latency_s, "quality": group.reference.quality},
    }


def _curve(analysis: TaskAnalysis, curve: Curve, look: Look) -> dict[str, object]:
    rows = [analysis.rows[i] for i in curve.members]
    x, y = staircase(np.array([r.latency_s for r in rows]), np.array([r.quality for r in rows]))
    return {
        "series": curve.series,
        "model": curve.model,
        "composition": curve.composition,
        "kind": curve.kind,
        "colour": look.colour,
        "marker": look.marker,
        "line": look.line,
        "points": [_row(analysis, i) for i in curve.members],
        "stairs": [[float(a), float(b)] for a, b in zip(x, y, strict=True)],
        "band": _band(curve),
        "hypervolume": _number(curve.hypervolume),
        "hypervolume_interval": _bounds(curve.hypervolume_interval),
    }


def _band(curve: Curve) -> list[list[float | None]]:
    """The band's steps, [seconds, low, high], only where a bound changes."""
    steps: list[list[float | None]] = []
    for values in zip(curve.grid_s, curve.band_low, curve.band_high, strict=True):
        step = [_number(value) for value in values]
        if not steps or step[1:] != steps[-1][1:]:
            steps.append(step)
    return steps


def _batch_curve(analysis: TaskAnalysis, curve: BatchCurve) -> dict[str, object]:
    points: list[dict[str, object]] = [
        {
            "x": point.batch_size,
            "y": _number(point.visible_tokens_per_s),
            "interval": _bounds(point.interval),
            "text": f"{text.significant(point.visible_tokens_per_s)} visible tokens/s, "
            f"{text.significant(point.requests_per_s)} requests/s, {point.num_requests} requests",
        }
        for point in curve.points
    ]
    return _of_row(analysis, curve.row, points)


def _length_curve(analysis: TaskAnalysis, curve: LengthCurve) -> dict[str, object]:
    mark = text.busy_mark(analysis.rows[curve.row].busy)
    points: list[dict[str, object]] = [
        {
            "x": _number(point.visible_tokens),
            "y": _number(point.latency_s),
            "interval": _bounds(point.interval),
            "text": f"p50 {text.seconds(point.latency_s)}{mark} "
            f"({text.seconds_interval(point.interval)}), {point.num_requests} requests",
        }
        for point in curve.points
    ]
    return _of_row(analysis, curve.row, points)


def _of_row(
    analysis: TaskAnalysis, index: int, points: list[dict[str, object]]
) -> dict[str, object]:
    x = analysis.rows[index].configuration
    return {
        "id": index,
        "series": x.series,
        "model": x.model,
        "place": x.group,
        "label": text.setting(x),
        "points": points,
    }


def _row(analysis: TaskAnalysis, index: int) -> dict[str, object]:
    row = analysis.rows[index]
    costs, x = row.costs, row.configuration
    return {
        "id": index,
        "series": x.series,
        "model": x.model,
        "kind": x.kind,
        "dial": _number(x.dial_value) if x.dial else None,
        "dial_word": text.dial_value(x) if x.dial in TEXT_DIALS else "",
        "dial_name": x.dial.replace("_", " "),
        "label": text.dial(x) if x.dial else "",
        "quality": _number(row.quality),
        "quality_interval": _bounds(row.quality_interval),
        "quality_text": text.quality(row),
        "quality_span": row.scale.span(row.quality_interval),
        "noise_text": text.noise(row),
        "latency_s": _number(row.latency_s),
        "latency_text": text.latency(row),
        "latency_span": text.seconds_interval(row.latency_interval),
        "nfe": _number(costs.nfe),
        "nfe_text": text.counted(row, costs.nfe),
        "forward_text": text.per_forward(row),
        "visible_text": text.counted(row, costs.visible_tokens),
        "canvas_known": not math.isnan(costs.canvas_tokens),
        "canvas_text": text.counted(row, costs.canvas_tokens),
        "speed_text": text.speed(row),
        "estimator": costs.estimator,
        "above_chance": row.above_chance,
        "busy_mark": text.busy_mark(row.busy).strip(),
        "standing": standing(row),
        "faded": faded(row),
        "on_own_frontier": row.on_own_frontier,
        "p_frontier_text": text.percent(row.p_frontier, digits=0),
        "verdict": "" if row.comparison is None else row.comparison.verdict,
    }


def _number(value: float) -> float | None:
    """Seven significant digits; None where unknown, which JSON can say and NaN it cannot."""
    value = float(value)
    return float(f"{value:.7g}") if math.isfinite(value) else None


def _bounds(interval: Interval) -> list[float | None]:
    return [_number(interval.low), _number(interval.high)]
