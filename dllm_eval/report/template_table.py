"""How much scores hang on the prompt's template: one column for each, and their spread.

Texts of `stats/templates.py`. A line of `suite_tables.TABLES`.
"""

from collections.abc import Mapping

import pandas as pd

from dllm_eval.report import text
from dllm_eval.report.setting_rows import name_of, place_note, places_of, points, scored
from dllm_eval.report.suite_table import Frames, SuiteTable
from dllm_eval.stats.templates import TemplateRow, TemplateTable, template_tables

ABOUT = (
    "The same documents asked in different words, each setting under each template, scores with "
    "95 % intervals. Spread: the largest score less the smallest, in points. It is biased upwards, "
    "for the largest of noisy scores less the smallest is above zero even where nothing differs; "
    "its interval of at least 95 %, by a paired bootstrap over documents that holds for all "
    "templates at once, starts at 0.0 where no two of them can be told apart."
)


def sensitivity_tables(frames: Frames) -> list[SuiteTable]:
    """One for each task that was asked in several templates."""
    return [_table(found) for found in template_tables(frames.tables)]


def _table(found: TemplateTable) -> SuiteTable:
    places = places_of([row.configuration for row in found.rows])
    note = (
        f"{found.left_out} settings were run under one template alone and are left out: a spread "
        "needs the same setting under two."
    )
    return SuiteTable(
        name="template_sensitivity",
        title=f"{found.suite}: template sensitivity ({found.metric})",
        about=ABOUT,
        suites=found.suites,
        header=("model", "setting", *found.templates, "spread (points)"),
        rows=tuple(_row(found, row, places) for row in found.rows),
        notes=(*((note,) if found.left_out else ()), *place_note(places)),
        data=pd.DataFrame([line for row in found.rows for line in _lines(found, row)]),
    )


def _row(found: TemplateTable, row: TemplateRow, places: Mapping[str, str]) -> tuple[str, ...]:
    scores = [row.scores.get(name) for name in found.templates]
    told = [text.UNKNOWN_TEXT if x is None else scored(x.quality, x.interval) for x in scores]
    spread = points(row.spread, row.spread_interval).removeprefix("+")
    return (*name_of(row.configuration, places), *told, spread)


def _lines(found: TemplateTable, row: TemplateRow) -> list[dict[str, object]]:
    x = row.configuration
    return [
        {
            "base": found.base,
            "metric": found.metric,
            "model": x.model,
            "setting": text.setting(x),
            "place": x.group,
            "template": name,
            "num_documents": row.num_documents,
            "quality": score.quality,
            "quality_low": score.interval.low,
            "quality_high": score.interval.high,
            "spread": row.spread,
            "spread_low": row.spread_interval.low,
            "spread_high": row.spread_interval.high,
        }
        for name, score in row.scores.items()
    ]
