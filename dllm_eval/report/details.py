"""What the page's drawer says of one point: all its numbers, settings, cells and origin.

Settings and origins are alike for many points, so a fact is stored once and points name it by its
number. Computes no statistic. Called by `render.py`.
"""

import math
from collections.abc import Mapping, Sequence

from dllm_eval.report import protocol_text, text, tier_text
from dllm_eval.report.provenance import flat
from dllm_eval.report.rerun import rerun_command
from dllm_eval.stats.analysis import TaskAnalysis
from dllm_eval.stats.group import Curve
from dllm_eval.stats.row import Row

Fact = tuple[str, str]
OF_DECODING = "sampler."
OF_THE_MODEL = ("settings.", OF_DECODING, "model.arguments.")
"""Facts about how it was decoded, which the drawer shows before the machine's."""


class _Facts:
    """Every (name, value) once, in the order met."""

    def __init__(self) -> None:
        self.numbers: dict[Fact, int] = {}

    def number(self, facts: Sequence[Fact]) -> list[int]:
        return [self.numbers.setdefault(fact, len(self.numbers)) for fact in facts]


def details(analyses: Sequence[TaskAnalysis], folders: Mapping[str, str]) -> dict[str, object]:
    """`facts`: all (name, value) pairs; `suites`: for each suite, one entry per row.

    Args:
        analyses: The suites.
        folders: Cell id -> the results folder whose plan tells how to run it again.
    """
    facts = _Facts()
    suites = [
        [_row(analysis, i, facts, folders) for i in range(len(analysis.rows))]
        for analysis in analyses
    ]
    return {"facts": [list(fact) for fact in facts.numbers], "suites": suites}


def _row(
    analysis: TaskAnalysis, index: int, facts: _Facts, folders: Mapping[str, str]
) -> dict[str, object]:
    row = analysis.rows[index]
    x = row.configuration
    given = sorted(flat(x.settings, "settings.").items())
    found = sorted(flat(x.provenance, "").items())
    # Nothing of the decoding rule is read where requests are scored.
    read = tuple(x for x in OF_THE_MODEL if x != OF_DECODING or not row.costs.estimator)
    decoding = [fact for fact in found if fact[0].startswith(read)]
    origin = [fact for fact in found if not fact[0].startswith(OF_THE_MODEL)]
    return {
        "result": facts.number([*_result(row), *_best_stack(analysis, index)]),
        "protocol": facts.number(protocol_text.facts(analysis, index)),
        "costs": facts.number(_costs(row)),
        "series": facts.number(_series(analysis, index)),
        "settings": facts.number([*(f for f in given if f not in decoding), *decoding]),
        "origin": facts.number([("machine and stack", x.group), *origin]),
        "quality_cells": list(x.quality_cells),
        "latency_cells": list(x.latency_cells),
        "command": rerun_command(analysis.table, x, folders),
    }


def _known(facts: Sequence[Fact]) -> list[Fact]:
    return [(name, value) for name, value in facts if value not in ("", text.UNKNOWN_TEXT)]


def _with_interval(value: str, span: str) -> str:
    return value if span == text.UNKNOWN_TEXT else f"{value} (95 % interval {span})"


def _result(row: Row) -> list[Fact]:
    unit, compared = row.costs.unit, row.comparison
    span = text.seconds_interval(row.latency_interval)
    out = [
        (
            "quality",
            _with_interval(text.quality(row), row.scale.span(row.quality_interval)),
        ),
        ("documents scored", str(row.num_documents)),
        ("tier", row.configuration.tier),
        ("ran", row.configuration.placement.words if row.configuration.placement.served else ""),
        ("noise", text.noise(row)),
        (f"p50 latency per {unit}", _with_interval(text.latency(row), span)),
        (f"{unit}s timed", _timed(row)),
        ("on the frontier", text.percent(row.p_frontier, digits=0) + " of resamples"),
        ("energy frontier", "on it" if row.on_energy_frontier else ""),
        ("memory frontier", "on it" if row.on_memory_frontier else ""),
    ]
    if compared is not None:
        gap = text.percent_interval(compared.difference_interval)
        ratio = compared.latency_ratio_interval
        speed = f"{text.ratio(ratio.low)} to {text.ratio(ratio.high)}"
        known = not math.isnan(ratio.low)
        whose = "of its bound " if row.likelihood == "bound" else ""
        out += [
            ("against AR", compared.verdict),
            (f"points {whose}above AR", _with_interval(text.fixed(100 * compared.difference), gap)),
            (
                "speed-up vs AR",
                _with_interval(text.ratio(compared.latency_ratio), speed) if known else "",
            ),
            ("McNemar p, Holm-corrected", _probability(compared.mcnemar_p)),
        ]
    return [(name, value) for name, value in _known(out) if not value.startswith(text.UNKNOWN_TEXT)]


def _best_stack(analysis: TaskAnalysis, index: int) -> list[Fact]:
    """How a row stands against the best AR row of its machine, on whatever stack."""
    out: list[Fact] = []
    for found in analysis.best_stacks:
        compared = found.comparisons.get(index)
        if compared is None or math.isnan(compared.latency_ratio):
            continue
        rival, ratio = analysis.rows[compared.rival], compared.latency_ratio_interval
        span = f"{text.ratio(ratio.low)} to {text.ratio(ratio.high)}"
        shown = _with_interval(text.ratio(compared.latency_ratio), span)
        against = tier_text.against(rival, stack=True)
        out.append(("speed-up vs AR, best stack", f"{shown}{against}; {compared.verdict}"))
    return out


def _timed(row: Row) -> str:
    rounds = len(row.configuration.latency_cells)
    return f"{row.num_timed} in {rounds} rounds" if rounds > 1 else str(row.num_timed)


def _probability(value: float) -> str:
    return "below 0.001" if value < 0.001 else text.significant(value, figures=2)


def _tokens(row: Row) -> list[Fact]:
    """Of answers that were written; a scored text has no tokens that the model made visible."""
    return [
        ("visible tokens", text.counted(row, row.costs.visible_tokens)),
        ("canvas tokens", text.counted(row, row.costs.canvas_tokens)),
        ("visible tokens per second", text.speed(row)),
    ]


def _costs(row: Row) -> list[Fact]:
    costs = row.costs
    joules = text.joules(row.joules)
    return _known(
        [
            *([] if costs.estimator else _tokens(row)),
            (
                "canvases scored" if costs.estimator else "NFE (forward passes)",
                text.counted(row, costs.nfe),
            ),
            ("token positions processed", text.counted(row, costs.positions)),
            *([] if costs.estimator else [("seconds per forward", text.per_forward(row))]),
            ("peak memory", text.size(row.peak_memory_bytes)),
            ("energy", "" if joules == text.UNKNOWN_TEXT else f"{joules} per {costs.unit}"),
            ("estimator", costs.estimator),
            ("quantity", text.quantity(costs.quantity) if costs.quantity else ""),
            ("mean stderr (nats)", text.significant(costs.value_stderr)),
            ("how gaps are put", costs.request),
        ]
    )


def _series(analysis: TaskAnalysis, index: int) -> list[Fact]:
    """What is known of the curve that the point belongs to."""
    curves = [c for g in analysis.groups for c in g.curves if index in c.members]
    return [fact for curve in curves for fact in _curve(analysis, curve)]


def _curve(analysis: TaskAnalysis, curve: Curve) -> list[Fact]:
    out: list[Fact] = []
    if not math.isnan(curve.hypervolume):
        area = curve.hypervolume_interval
        span = f"{text.significant(area.low)} to {text.significant(area.high)}"
        known = text.UNKNOWN_TEXT if math.isnan(area.low) else span
        out.append(("hypervolume", _with_interval(text.significant(curve.hypervolume), known)))
    if curve.aup is not None:
        of = f"y_max {curve.aup.y_max:.1f} %, alpha {curve.aup.alpha:g}"
        left = f", {curve.aup.dropped} settings left out" if curve.aup.dropped else ""
        out.append(("AUP of the series", f"{text.significant(curve.aup.value)} ({of}{left})"))
    if curve.acceptable is not None:
        out.append(("cheapest acceptable setting", acceptable_text(analysis, curve)))
    return out


def acceptable_text(analysis: TaskAnalysis, curve: Curve) -> str:
    """The cheapest setting that is surely within the stated distance of the series' best."""
    found = curve.acceptable
    if found is None:
        return text.UNKNOWN_TEXT
    distance = (
        f"{100 * found.within:g} point of the series' best with {found.confidence:.0%} confidence"
    )
    if found.row is None:
        return f"none is surely within {distance}"
    return f"{text.dial(analysis.rows[found.row].configuration)}: within {distance}"
