"""The leaderboard as rows of text, and as markdown and csv.

One section per suite and per machine and stack, because seconds compare only there. Computes no
statistic. Called by `write.py`; the page and `leaderboard.html` show the same rows.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import pandas as pd

from dllm_eval.report import text
from dllm_eval.report.remarks import LEGEND, remarks
from dllm_eval.report.verdict import refusal, verdict
from dllm_eval.stats.analysis import GroupAnalysis, TaskAnalysis
from dllm_eval.stats.row import Row, as_frame


@dataclass(frozen=True, kw_only=True)
class Entry:
    """One cell of the leaderboard: what is shown, and what it sorts by."""

    shown: str
    key: float | str


@dataclass(frozen=True, kw_only=True)
class _Columns:
    """Which of a suite's columns are shown, the same for all its rows."""

    sampler: bool
    request: bool
    likelihood: bool
    noise: bool
    looseness: bool

    @classmethod
    def of(cls, analysis: TaskAnalysis) -> "_Columns":
        """Those with something in them."""
        rows = analysis.rows
        gaps = [gap for r in rows for gap in (r.looseness.at_least, r.looseness.at_most)]
        return cls(
            sampler=any(row.configuration.composition for row in rows),
            request=any(row.costs.request for row in rows),
            likelihood=analysis.likelihood,
            noise=any(not math.isnan(row.noise.monte_carlo) for row in rows),
            looseness=not all(math.isnan(gap) for gap in gaps),
        )


@dataclass(frozen=True, kw_only=True)
class Section:
    """The ranked rows of one suite on one machine and stack."""

    suite: str
    task: str
    metric: str
    place: str
    protocol: str
    note: str
    """Why seconds are not ranked across sections; "" where there is one."""
    remarks: tuple[str, ...]
    """What a reader of the rows must know, shown below them."""
    header: tuple[str, ...]
    rows: tuple[tuple[Entry, ...], ...]


GENERATION = ("visible tokens", "canvas tokens", "tokens/s")
LIKELIHOOD = ("estimator", "quantity", "mean stderr (nats)")
NOISE = ("Monte-Carlo ± (points)", "documents ± (points)", "answers another seed would change")
LOOSENESS = ("ELBO loose by at least (nats)", "at most about (nats)")


def sections(analysis: TaskAnalysis) -> list[Section]:
    """One section per machine and stack, rows by quality and then latency."""
    return [_section(analysis, group) for group in analysis.groups]


def _section(analysis: TaskAnalysis, group: GroupAnalysis) -> Section:
    rows = sorted((analysis.rows[i] for i in group.members), key=_rank)
    columns = _Columns.of(analysis)
    return Section(
        suite=analysis.table.suite,
        task=analysis.table.task,
        metric=analysis.table.metric,
        place=group.place,
        protocol=analysis.table.protocol,
        note=refusal(analysis),
        remarks=remarks(analysis, rows, noise=columns.noise, looseness=columns.looseness),
        header=_header(analysis, columns),
        rows=tuple(_entries(analysis, row, columns) for row in rows),
    )


def _header(analysis: TaskAnalysis, columns: _Columns) -> tuple[str, ...]:
    question = analysis.table.unit == "question"
    scored = "canvases per question" if question else "canvases scored"
    return (
        "model",
        *((_composition_name(columns),) if columns.sampler else ()),
        text.dial_name(analysis),
        *(("request",) if columns.request else ()),
        "quality",
        "95 % interval",
        *(NOISE if columns.noise else ()),
        "p50 latency per question" if question else "p50 latency",
        "latency 95 %",
        scored if columns.likelihood else "NFE",
        *(LIKELIHOOD if columns.likelihood else GENERATION),
        "P(frontier)",
        "speed-up vs AR",
        "against AR",
        *(LOOSENESS if columns.looseness else ()),
    )


def _composition_name(columns: _Columns) -> str:
    return "settings" if columns.likelihood else "sampler"


def _rank(row: Row) -> tuple[float, bool, float, str]:
    # A NaN would make the order depend on the input's order.
    untimed = math.isnan(row.latency_s)
    return -row.quality, untimed, 0.0 if untimed else row.latency_s, row.configuration.config_id


def _entries(analysis: TaskAnalysis, row: Row, columns: _Columns) -> tuple[Entry, ...]:
    x, costs = row.configuration, row.costs
    setting = text.dial_text(analysis, x)
    request = Entry(shown=costs.request or text.UNKNOWN_TEXT, key=costs.request)
    sampler = Entry(shown=x.composition or text.UNKNOWN_TEXT, key=x.composition)
    return (
        Entry(shown=x.model, key=x.model),
        *((sampler,) if columns.sampler else ()),
        Entry(shown=setting, key=x.dial_value),
        *((request,) if columns.request else ()),
        Entry(shown=text.percent(row.quality), key=row.quality),
        Entry(shown=text.percent_interval(row.quality_interval), key=row.quality_interval.low),
        *(_noise_entries(row) if columns.noise else ()),
        Entry(shown=text.latency(row), key=row.latency_s),
        Entry(shown=text.seconds_interval(row.latency_interval), key=row.latency_interval.low),
        Entry(shown=text.count(costs.nfe), key=costs.nfe),
        *(_likelihood_entries(row) if columns.likelihood else _generation_entries(row)),
        Entry(shown=text.percent(row.p_frontier, digits=0), key=row.p_frontier),
        *_comparison_entries(row),
        *(_looseness_entries(row) if columns.looseness else ()),
    )


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


def _generation_entries(row: Row) -> tuple[Entry, ...]:
    costs = row.costs
    return (
        Entry(shown=text.count(costs.visible_tokens), key=costs.visible_tokens),
        Entry(shown=text.count(costs.canvas_tokens), key=costs.canvas_tokens),
        Entry(shown=text.significant(costs.visible_tokens_per_s), key=costs.visible_tokens_per_s),
    )


def _likelihood_entries(row: Row) -> tuple[Entry, ...]:
    costs = row.costs
    quantity = text.quantity(costs.quantity)
    return (
        Entry(shown=costs.estimator, key=costs.estimator),
        Entry(shown=quantity, key=quantity),
        Entry(shown=text.significant(costs.value_stderr), key=costs.value_stderr),
    )


def _comparison_entries(row: Row) -> tuple[Entry, Entry]:
    comparison = row.comparison
    if comparison is None:
        empty = Entry(shown=text.UNKNOWN_TEXT, key=float("nan"))
        return empty, Entry(shown="", key="")
    speedup = text.ratio(comparison.latency_ratio)
    return (
        Entry(shown=speedup, key=comparison.latency_ratio),
        Entry(shown=comparison.verdict, key=comparison.verdict),
    )


def markdown(analyses: Sequence[TaskAnalysis], missing: Sequence[str]) -> str:
    """The leaderboard for a README or a terminal."""
    lines = ["# Leaderboard", ""]
    for analysis in analyses:
        lines += [f"## {_cell(analysis.table.suite)}", "", _cell(verdict(analysis)), ""]
        for section in sections(analysis):
            about = f"`{section.task}`, {section.metric}; {section.protocol}; {section.place}"
            lines += [_cell(about), ""] + ([_cell(section.note), ""] if section.note else [])
            lines += [_line(section.header), _line(["---"] * len(section.header))]
            lines += [_line([entry.shown for entry in row]) for row in section.rows] + [""]
            lines += [line for remark in section.remarks for line in (_cell(remark), "")]
    lines += [LEGEND, ""]
    if missing:
        lines += ["Not finished, and so not in the tables:", ""]
        lines += [f"- {_cell(name)}" for name in missing] + [""]
    return "\n".join(lines)


def _line(cells: Sequence[str]) -> str:
    return "| " + " | ".join(_cell(cell) for cell in cells) + " |"


def _cell(value: str) -> str:
    escaped = value.replace("&", "&amp;").replace("<", "&lt;").replace("|", "\\|")
    return escaped.replace("\n", " ")


def table(analyses: Sequence[TaskAnalysis]) -> pd.DataFrame:
    """Every number of the leaderboard unrounded, one line per row, in the leaderboard's order."""
    frames = []
    for analysis in analyses:
        for group in analysis.groups:
            frame = as_frame(sorted((analysis.rows[i] for i in group.members), key=_rank))
            frame.insert(0, "suite", analysis.table.suite)
            frame.insert(1, "task", analysis.table.task)
            frame.insert(2, "metric", analysis.table.metric)
            frame.insert(3, "protocol", analysis.table.protocol)
            frames.append(frame)
    return pd.concat(frames, ignore_index=True)
