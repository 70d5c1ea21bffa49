"""The HTML page and the HTML leaderboard: one file each, nothing loaded from anywhere.

Fills the templates in `page/`; jinja escapes every text. Called by `write.py`.
"""

import re
from collections.abc import Sequence
from importlib.resources import files

from jinja2 import DictLoader, Environment, StrictUndefined
from markupsafe import Markup

from dllm_eval.report import selftest_table
from dllm_eval.report.leaderboard import sections
from dllm_eval.report.payload import as_script, payload
from dllm_eval.report.provenance import origins
from dllm_eval.report.remarks import LEGEND
from dllm_eval.report.selftest_record import SelftestRecord
from dllm_eval.report.verdict import refusal, verdict
from dllm_eval.stats.analysis import TaskAnalysis

TITLE = "Diffusion against autoregressive: quality and latency"
SCRIPTS = ("charts.js", "explorer.js", "table.js")


def page(
    analyses: Sequence[TaskAnalysis],
    missing: Sequence[str],
    figure_svg: str | None,
    checks: dict[str, object] | None = None,
) -> str:
    """The whole report as one HTML document.

    Args:
        analyses: The suites, in the order shown.
        missing: Descriptions of the cells that are not finished.
        figure_svg: The combined frontier figure, shown where scripts do not run.
        checks: As `checks_shown` makes them; None where no self-test was run.
    """
    return (
        _environment()
        .get_template("index.html.j2")
        .render(
            title=TITLE,
            css=_asset("page.css"),
            script=Markup("\n".join(_asset(name) for name in SCRIPTS)),
            data=Markup(as_script(payload(analyses))),
            suites=[_suite(analysis) for analysis in analyses],
            missing=missing,
            origins=origins(analyses),
            figure=Markup(_inline(figure_svg)),
            checks=checks,
            legend=LEGEND,
        )
    )


def checks_shown(record: SelftestRecord, figure_svg: str | None) -> dict[str, object]:
    """What the page says of a self-test."""
    return {
        "summary": record.summary(),
        "reading": f"{selftest_table.READING} {selftest_table.level_text(record)}",
        "figure": Markup(_inline(figure_svg)),
        "header": selftest_table.FULL_HEADER,
        "groups": selftest_table.full_groups(record),
    }


def leaderboard_page(analyses: Sequence[TaskAnalysis], missing: Sequence[str]) -> str:
    """The leaderboard alone as one HTML document."""
    return (
        _environment()
        .get_template("leaderboard.html.j2")
        .render(
            title="Leaderboard",
            css=_asset("page.css"),
            script=Markup(_asset("table.js")),
            suites=[_suite(analysis) for analysis in analyses],
            missing=missing,
            legend=LEGEND,
        )
    )


def _suite(analysis: TaskAnalysis) -> dict[str, object]:
    return {
        "name": analysis.table.suite,
        "task": analysis.table.task,
        "verdict": verdict(analysis),
        "refusal": refusal(analysis),
        "sections": sections(analysis),
    }


def _environment() -> Environment:
    names = ("index.html.j2", "leaderboard.html.j2", "tables.html.j2")
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
