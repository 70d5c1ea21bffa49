"""The HTML page and the HTML leaderboard: one file each, nothing loaded from anywhere.

Fills the templates in `page/`; jinja escapes every text. Called by `write.py`.
"""

import csv
import io
import re
from collections.abc import Mapping, Sequence
from dataclasses import replace
from importlib.resources import files
from types import MappingProxyType

import pandas as pd
from jinja2 import DictLoader, Environment, StrictUndefined
from markupsafe import Markup

from dllm_eval.report import protocol_text, selftest_table, text
from dllm_eval.report.beside import NOTHING_BESIDE, Beside, interval
from dllm_eval.report.best_stack_table import best_stack_tables
from dllm_eval.report.details import details
from dllm_eval.report.first_look import cards
from dllm_eval.report.first_sentence import summary
from dllm_eval.report.leaderboard import Section, sections, table
from dllm_eval.report.payload import as_script, payload
from dllm_eval.report.provenance import compared, origins
from dllm_eval.report.remarks import LEGEND
from dllm_eval.report.selftest_record import SelftestRecord
from dllm_eval.report.suite_table import SuiteTable
from dllm_eval.report.unfinished import unfinished_cells
from dllm_eval.report.untimed import how_to, not_timed
from dllm_eval.report.verdict import refusal, verdict
from dllm_eval.stats.analysis import TaskAnalysis
from dllm_eval.stats.group import GroupAnalysis
from dllm_eval.stats.row import Row

TITLE = "Diffusion against autoregressive: quality and latency"
SCRIPTS = (
    *("base.js", "filter.js", "drawer.js", "charts.js", "legend.js", "time_chart.js"),
    *("multiples.js", "canvas.js", "explorer.js", "race.js", "downloads.js", "table.js", "main.js"),
)
"""In the order in which they run, in one scope."""
MAX_FIGURE = 1_500_000
"""Characters of the drawn figure beyond which the page, which must stay small, leaves it out."""


def page(
    analyses: Sequence[TaskAnalysis],
    missing: Sequence[str],
    figure_svg: str | None,
    checks: dict[str, object] | None = None,
    *,
    cells: pd.DataFrame | None = None,
    beside: Beside = NOTHING_BESIDE,
    suite_tables: Sequence[SuiteTable] = (),
    drawn: Mapping[str, str] = MappingProxyType({}),
) -> str:
    """The whole report as one HTML document.

    Args:
        analyses: The suites, in the order shown.
        missing: Descriptions of the cells that are not finished.
        figure_svg: The combined frontier figure, shown where scripts do not run.
        checks: As `checks_shown` makes them; None where no self-test was run.
        cells: The frame of cells, for the reasons why some are missing and for their folders;
            None where they are not known.
        beside: What stands beside the suites: scores without documents, searches, notes.
        suite_tables: What single kinds of suites add.
        drawn: Stem -> SVG of the figures that they name.
    """
    shown = [card for analysis in analyses for card in cards(analysis)]
    rows = [x for analysis in analyses for x in analysis.table.configurations]
    figure = figure_svg if figure_svg is not None and len(figure_svg) < MAX_FIGURE else None
    return (
        _environment()
        .get_template("index.html.j2")
        .render(
            title=TITLE,
            css=_asset("page.css"),
            script=Markup("\n".join(_asset(name) for name in SCRIPTS)),
            data=Markup(as_script(payload(analyses, beside.topics))),
            details=Markup(as_script(details(analyses, _folders(cells)))),
            board_rows=Markup(as_script(csv_rows(analyses))),
            summary=summary(shown, beside.topics),
            compared=compared(analyses),
            timed=any(x.latency_cells for x in rows),
            how_to_time=how_to(rows),
            suites=[_suite(analysis, beside) for analysis in analyses],
            missing=missing,
            unfinished=None if cells is None else unfinished_cells(cells),
            origins=origins(analyses),
            beside=lone_scores(beside),
            notes=beside.notes,
            suite_tables=suite_tables,
            drawn={
                stem: Markup(_inline(svg)) for stem, svg in drawn.items() if len(svg) < MAX_FIGURE
            },
            figure=Markup(_inline(figure)),
            checks=checks,
            legend=LEGEND,
        )
    )


def _folders(cells: pd.DataFrame | None) -> dict[str, str]:
    if cells is None:
        return {}
    return {str(x): str(y) for x, y in zip(cells["cell_id"], cells["folder"], strict=True)}


def lone_scores(beside: Beside) -> list[tuple[str, ...]]:
    """Rows of text: model, task, metric, documents, score, 95 % interval."""
    return [
        (
            score.model,
            score.task,
            score.metric if score.filter == "none" else f"{score.metric}, {score.filter}",
            str(score.num_documents),
            text.percent(score.value),
            text.percent_interval(interval(score)),
        )
        for score in beside.scores
    ]


def csv_rows(analyses: Sequence[TaskAnalysis]) -> list[list[str]]:
    """The cells of leaderboard.csv as text, its header first; the page writes them out again."""
    return list(csv.reader(io.StringIO(table(analyses).to_csv(index=False, lineterminator="\n"))))


def checks_shown(record: SelftestRecord, figure_svg: str | None) -> dict[str, object]:
    """What the page says of a self-test."""
    return {
        "summary": record.summary(),
        "reading": f"{selftest_table.READING} {selftest_table.level_text(record)}",
        "figure": Markup(_inline(figure_svg)),
        "header": selftest_table.FULL_HEADER,
        "groups": selftest_table.full_groups(record),
    }


def leaderboard_page(
    analyses: Sequence[TaskAnalysis],
    missing: Sequence[str],
    suite_tables: Sequence[SuiteTable] = (),
) -> str:
    """The leaderboard alone, with the tables of single suites, as one HTML document."""
    return (
        _environment()
        .get_template("leaderboard.html.j2")
        .render(
            title="Leaderboard",
            css=_asset("page.css"),
            script=Markup(_asset("table.js")),
            suites=[_suite(analysis) for analysis in analyses],
            missing=missing,
            suite_tables=suite_tables,
            drawn={},
            legend=LEGEND,
        )
    )


def _suite(analysis: TaskAnalysis, beside: Beside = NOTHING_BESIDE) -> dict[str, object]:
    boards = zip(sections(analysis), analysis.groups, strict=True)
    return {
        "name": analysis.table.suite,
        "task": analysis.table.task,
        "verdict": verdict(analysis),
        "refusal": refusal(analysis),
        "protocol": protocol_text.line(analysis),
        "protocol_texts": protocol_text.texts(analysis),
        "searches": beside.found_for(analysis.table),
        "timed": any(group.curves for group in analysis.groups),
        "not_timed": not_timed(analysis),
        "likelihood": analysis.likelihood,
        "cards": cards(analysis),
        "best_stacks": best_stack_tables(analysis),
        "sections": [_what_matters_first(section) for section in sections(analysis)],
        "row_ids": [_row_ids(analysis, section, group) for section, group in boards],
    }


FIRST = ("quality", "95 % interval", "p50 latency", "latency 95 %", "against AR")
"""Beginnings of the columns that stand beside the setting, so that none has to be looked for."""


def _what_matters_first(section: Section) -> Section:
    """The same section, its columns in the order of `FIRST` where they are in it."""
    header = section.header
    wanted = [i for name in FIRST for i, own in enumerate(header) if own.startswith(name)]
    lead = [i for i in range(header.index("quality")) if i not in wanted]
    order = [*lead, *wanted, *(i for i in range(len(header)) if i not in (*lead, *wanted))]
    rows = tuple(tuple(row[i] for i in order) for row in section.rows)
    return replace(section, header=tuple(header[i] for i in order), rows=rows)


def _row_ids(analysis: TaskAnalysis, section: Section, group: GroupAnalysis) -> list[int | None]:
    """Of each row of a board, which of the suite's rows it shows: that with the same numbers."""
    left = {i: _identity(analysis.rows[i]) for i in group.members}
    out: list[int | None] = []
    for shown in section.rows:
        keys = {str(entry.key) for entry in shown}
        found = next((i for i, identity in left.items() if identity <= keys), None)
        out.append(found)
        left.pop(-1 if found is None else found, None)
    return out


def _identity(row: Row) -> set[str]:
    x = row.configuration
    return {str(key) for key in (x.model, x.dial_value, row.quality, row.latency_s)}


def _environment() -> Environment:
    names = (
        *("index.html.j2", "leaderboard.html.j2"),
        *("tables.html.j2", "cards.html.j2", "suite_tables.html.j2"),
    )
    return Environment(
        loader=DictLoader({name: _asset(name) for name in names}),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )


def _asset(name: str) -> str:
    return (files("dllm_eval.report") / "page" / name).read_text(encoding="utf-8")


def _inline(svg: str | None) -> str:
    """An SVG file as an element: without its XML declaration and document type."""
    return "" if svg is None else re.sub(r"<\?xml.*?\?>|<!DOCTYPE.*?>", "", svg, flags=re.DOTALL)
