"""The leaderboard as rows of text, and as markdown and csv.

One section per suite and per machine and stack, because seconds compare only there. Computes no
statistic. Called by `write.py`; the page and `leaderboard.html` show the same rows.
"""

import html
import math
from collections.abc import Sequence
from dataclasses import asdict, dataclass, fields

import pandas as pd

from dllm_eval.report import protocol_text, text, tier_text
from dllm_eval.report.best_stack_table import best_stack_tables
from dllm_eval.report.columns import Columns, Entry, aups, entries, header
from dllm_eval.report.remarks import LEGEND, remarks
from dllm_eval.report.verdict import refusal, verdict
from dllm_eval.stats.analysis import TaskAnalysis
from dllm_eval.stats.aup import Aup
from dllm_eval.stats.group import GroupAnalysis
from dllm_eval.stats.resample import UNKNOWN
from dllm_eval.stats.row import Row, as_frame
from dllm_eval.stats.series import TEXT_DIALS


@dataclass(frozen=True, kw_only=True)
class Section:
    """The ranked rows of one suite on one machine and stack."""

    suite: str
    task: str
    metric: str
    place: str
    ran: str
    """What kind of place that is: "API", ...; "" where every row of the report ran in process."""
    protocol: str
    note: str
    """Why seconds are not ranked across sections; "" where there is one."""
    remarks: tuple[str, ...]
    """What a reader of the rows must know, shown below them."""
    header: tuple[str, ...]
    rows: tuple[tuple[Entry, ...], ...]


def sections(analysis: TaskAnalysis) -> list[Section]:
    """One section per machine and stack, rows by quality and then latency."""
    return [_section(analysis, group) for group in analysis.groups]


def _section(analysis: TaskAnalysis, group: GroupAnalysis) -> Section:
    order = sorted(group.members, key=lambda i: _rank(analysis.rows[i]))
    rows = [analysis.rows[i] for i in order]
    served = any(row.configuration.placement.served for row in analysis.rows)
    columns, known = Columns.of(analysis), aups(analysis)
    return Section(
        suite=analysis.table.suite,
        task=analysis.table.task,
        metric=analysis.table.metric,
        place=group.place,
        ran=rows[0].configuration.placement.words if served else "",
        protocol=analysis.table.protocol,
        note=refusal(analysis),
        remarks=remarks(analysis, rows, noise=columns.noise, looseness=columns.looseness),
        header=header(analysis, columns),
        rows=tuple(entries(analysis, analysis.rows[i], columns, known.get(i)) for i in order),
    )


def _rank(row: Row) -> tuple[float, bool, float, str]:
    # A NaN would make the order depend on the input's order.
    untimed = math.isnan(row.latency_s)
    return -row.quality, untimed, 0.0 if untimed else row.latency_s, row.configuration.config_id


def markdown(analyses: Sequence[TaskAnalysis], missing: Sequence[str]) -> str:
    """The leaderboard for a README or a terminal."""
    lines = ["# Leaderboard", ""]
    for analysis in analyses:
        lines += [
            f"## {markdown_cell(analysis.table.suite)}",
            "",
            markdown_cell(verdict(analysis)),
            "",
            *_protocol_lines(analysis),
        ]
        lines += _best_stack_lines(analysis)
        for section in sections(analysis):
            place = f"{section.place} ({section.ran})" if section.ran else section.place
            about = f"`{section.task}`, {section.metric}; {section.protocol}; {place}"
            lines += [markdown_cell(about), ""] + (
                [markdown_cell(section.note), ""] if section.note else []
            )
            lines += [markdown_line(section.header), markdown_line(["---"] * len(section.header))]
            lines += [markdown_line([entry.shown for entry in row]) for row in section.rows] + [""]
            lines += [line for remark in section.remarks for line in (markdown_cell(remark), "")]
    lines += [LEGEND, ""]
    if missing:
        lines += ["Not finished, and so not in the tables:", ""]
        lines += [f"- {markdown_cell(name)}" for name in missing] + [""]
    return "\n".join(lines)


def _best_stack_lines(analysis: TaskAnalysis) -> list[str]:
    lines: list[str] = []
    for table in best_stack_tables(analysis):
        lines += [f"### {markdown_cell(table.title)}", "", markdown_cell(table.about), ""]
        lines += [markdown_line(table.header), markdown_line(["---"] * len(table.header))]
        lines += [markdown_line(row) for row in table.rows] + [""]
        lines += [line for note in table.notes for line in (markdown_cell(note), "")]
    return lines


def _protocol_lines(analysis: TaskAnalysis) -> list[str]:
    told = protocol_text.line(analysis)
    return [markdown_cell(f"Protocol of every row: {told}."), ""] if told else []


def markdown_line(cells: Sequence[str]) -> str:
    """A row of a markdown table."""
    return "| " + " | ".join(markdown_cell(cell) for cell in cells) + " |"


def markdown_cell(value: str) -> str:
    """A text of one line that no markdown and no HTML is read from."""
    escaped = value.replace("&", "&amp;").replace("<", "&lt;").replace("|", "\\|")
    return escaped.replace("\n", " ")


def for_terminal(markdown_text: str) -> str:
    """The leaderboard as a person reads it where nothing turns its signs back."""
    return html.unescape(markdown_text).replace("\\|", "|")


def table(analyses: Sequence[TaskAnalysis]) -> pd.DataFrame:
    """Every number of the leaderboard unrounded, one line per row, in the leaderboard's order."""
    frames = []
    for analysis in analyses:
        for group in analysis.groups:
            order = sorted(group.members, key=lambda i: _rank(analysis.rows[i]))
            frame = as_frame([analysis.rows[i] for i in order])
            frame.insert(0, "suite", analysis.table.suite)
            frame.insert(1, "task", analysis.table.task)
            frame.insert(2, "metric", analysis.table.metric)
            frame.insert(3, "protocol", analysis.table.protocol)
            frame = frame.join(protocol_text.frame(analysis, order))
            frame = frame.join(_of_series(analysis, order))
            frame = frame.join(_of_places(analysis, order))
            frames.append(frame)
    whole = pd.concat(frames, ignore_index=True)
    # A report of what ran in process, by records that name no tier, has nothing to say here.
    placed = any(analysis.best_stacks for analysis in analyses)
    told = {name: bool(whole[name].any()) for name in ("tier", "dial_word")}
    told["placement"] = set(whole["placement"]) != {"local"}
    idle = [name for name in whole if str(name).startswith("best_stack_") and not placed]
    return whole.drop(columns=[*idle, *(name for name, has in told.items() if not has)])


def _of_places(analysis: TaskAnalysis, order: Sequence[int]) -> pd.DataFrame:
    """Where each row ran, its tier, and how it compares with the best AR row of its machine."""
    parts = []
    compared = {i: x for found in analysis.best_stacks for i, x in found.comparisons.items()}
    for i in order:
        x, found = analysis.rows[i].configuration, compared.get(i)
        part: dict[str, object] = {"placement": x.placement.kind, "tier": x.tier}
        part["dial_word"] = text.dial_value(x) if x.dial in TEXT_DIALS else ""
        rival = None if found is None else analysis.rows[found.rival].configuration
        part["best_stack_rival"] = (
            "" if rival is None else f"{tier_text.named(rival)}: {rival.stack}"
        )
        ratio = math.nan if found is None else found.latency_ratio
        span = UNKNOWN if found is None else found.latency_ratio_interval
        part |= {"best_stack_latency_ratio": ratio, "best_stack_latency_ratio_low": span.low}
        part |= {"best_stack_latency_ratio_high": span.high}
        part["best_stack_verdict"] = "" if found is None else found.verdict
        parts.append(part)
    return pd.DataFrame(parts)


def _of_series(analysis: TaskAnalysis, order: Sequence[int]) -> pd.DataFrame:
    """What is said of a row's series: its AUP with all it was made from, and its knee."""
    known = aups(analysis)
    knees = {
        curve.acceptable.row
        for group in analysis.groups
        for curve in group.curves
        if curve.acceptable is not None
    }
    parts = [
        {} if i not in known else {f"aup_{name}": v for name, v in asdict(known[i]).items()}
        for i in order
    ]
    columns = [f"aup_{field.name}" for field in fields(Aup)]
    frame = pd.DataFrame(parts, columns=columns)
    return frame.assign(cheapest_acceptable=[i in knees for i in order])
