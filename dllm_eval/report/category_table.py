"""Scores by group and by subject, of the suites whose documents say where they belong.

Texts of `stats/categories.py`. A line of `suite_tables.TABLES`.
"""

import pandas as pd

from dllm_eval.report import text
from dllm_eval.report.setting_rows import (
    BEST_RULE,
    best_of_models,
    name_of,
    place_note,
    places_of,
    scored,
)
from dllm_eval.report.suite_table import Frames, SuiteTable
from dllm_eval.stats.categories import CategoryRow, CategoryScore, CategoryTable, category_table
from dllm_eval.stats.tables import TaskTable

ABOUT = (
    "Mean over the documents of each group, so that a large subject counts for more, as in "
    "lm-eval's mmlu groups, with Wilson's 95 % intervals. Beside it the mean of the subjects' "
    "scores, every subject counting the same."
)
SUBJECTS = "Every subject, with 95 % intervals; subjects of few documents have wide ones."


def category_tables(frames: Frames) -> list[SuiteTable]:
    """Two tables for each suite of several categories: groups, and all subjects folded away."""
    out: list[SuiteTable] = []
    told = frames.scores.get("category")
    if told is None or not bool(told.notna().any()):
        return out
    for table in frames.tables:
        found = category_table(table, frames.index, best_of_models(table))
        if found is not None and len(found.subjects) > 1:
            out += [_groups(table, found), *_subjects(table, found)]
    return out


def _groups(table: TaskTable, found: CategoryTable) -> SuiteTable:
    several = found.subjects != found.groups
    sizes = found.rows[0].groups
    return SuiteTable(
        name="categories",
        title=f"{table.suite}: scores by group ({table.metric})",
        about=f"{BEST_RULE} {ABOUT}",
        suites=(table.suite,),
        header=(
            *("model", "setting", "all, by size"),
            *(("mean of subjects",) if several else ()),
            *(f"{name} ({sizes[name].num_documents})" for name in found.groups),
        ),
        rows=tuple(_row(table, found, row, several=several) for row in found.rows),
        notes=(
            "In parentheses behind a group: its documents.",
            *place_note(places_of(table.configurations)),
        ),
        data=pd.DataFrame([line for row in found.rows for line in _lines(table, row)]),
    )


def _row(
    table: TaskTable, found: CategoryTable, row: CategoryRow, *, several: bool
) -> tuple[str, ...]:
    x = table.configurations[row.row]
    return (
        *name_of(x, places_of(table.configurations)),
        _shown(row.whole),
        *((text.percent(row.mean_of_subjects),) if several else ()),
        *(_shown(row.groups[name]) for name in found.groups),
    )


def _shown(score: CategoryScore) -> str:
    return scored(score.quality, score.interval) if score.num_documents else text.UNKNOWN_TEXT


def _subjects(table: TaskTable, found: CategoryTable) -> list[SuiteTable]:
    if found.subjects == found.groups:
        return []
    places = places_of(table.configurations)
    names = [name_of(table.configurations[row.row], places) for row in found.rows]
    heads = [model if at == text.UNKNOWN_TEXT else f"{model}, {at}" for model, at in names]
    rows = []
    for path in found.subjects:
        own = [row.subjects[path] for row in found.rows]
        group, _, subject = path.rpartition("/")
        count = str(max(score.num_documents for score in own))
        rows.append((subject.replace("_", " "), group, count, *(_shown(x) for x in own)))
    return [
        SuiteTable(
            name="subjects",
            title=f"{table.suite}: scores by subject ({table.metric})",
            about=f"{BEST_RULE} {SUBJECTS}",
            suites=(table.suite,),
            header=("subject", "group", "documents", *heads),
            rows=(),
            more=tuple(rows),
            more_title=f"All {len(rows)} subjects",
            data=_subject_data(table, found),
        )
    ]


def _facts(table: TaskTable, row: CategoryRow) -> dict[str, object]:
    x = table.configurations[row.row]
    told = {"task": table.task, "metric": table.metric, "config_id": x.config_id}
    return {**told, "model": x.model, "setting": text.setting(x), "place": x.group}


def _lines(table: TaskTable, row: CategoryRow) -> list[dict[str, object]]:
    told = {"all, by size": row.whole, **row.groups}
    lines = [_line(table, row, name, score) for name, score in told.items()]
    mean = {"category": "mean of subjects", "quality": row.mean_of_subjects}
    return [*lines, {**_facts(table, row), **mean}]


def _subject_data(table: TaskTable, found: CategoryTable) -> pd.DataFrame:
    return pd.DataFrame(
        [
            _line(table, row, path, score)
            for row in found.rows
            for path, score in row.subjects.items()
        ]
    )


def _line(table: TaskTable, row: CategoryRow, name: str, score: CategoryScore) -> dict[str, object]:
    return {
        **_facts(table, row),
        "category": name,
        "quality": score.quality,
        "quality_low": score.interval.low,
        "quality_high": score.interval.high,
        "num_documents": score.num_documents,
    }
