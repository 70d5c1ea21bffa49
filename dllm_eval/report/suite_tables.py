"""The tables that suites add to the report, in the order in which they are shown.

Computes nothing. A table is a function from frames to tables, `[]` where nothing concerns it; a
new one is a line of `TABLES`. Called by `write.py`.
"""

from collections.abc import Callable, Sequence
from dataclasses import replace

import pandas as pd

from dllm_eval.report.category_table import category_tables
from dllm_eval.report.extraction_table import extraction_tables
from dllm_eval.report.leaderboard import markdown_cell, markdown_line
from dllm_eval.report.length_table import length_tables
from dllm_eval.report.load_table import load_tables
from dllm_eval.report.protocol_table import protocol_score_tables
from dllm_eval.report.reversal_table import reversal_tables
from dllm_eval.report.server_table import server_tables
from dllm_eval.report.stress_table import stress_tables
from dllm_eval.report.suite_table import Frames, SuiteTable
from dllm_eval.report.template_table import sensitivity_tables

TABLES: tuple[Callable[[Frames], list[SuiteTable]], ...] = (
    extraction_tables,
    sensitivity_tables,
    length_tables,
    protocol_score_tables,
    category_tables,
    reversal_tables,
    stress_tables,
    load_tables,
    server_tables,
)


def suite_tables(frames: Frames) -> list[SuiteTable]:
    """Every table that has a row."""
    made = [table for make in TABLES for table in make(frames) if table.rows or table.more]
    told = {(table.name, table.about): i for i, table in reversed(list(enumerate(made)))}
    return [
        table if told[table.name, table.about] == i else replace(table, about="")
        for i, table in enumerate(made)
    ]


def csv_files(tables: Sequence[SuiteTable]) -> dict[str, str]:
    """Name of a file -> its content; tables of one name share one, told apart by their titles."""
    by_name: dict[str, list[pd.DataFrame]] = {}
    for table in tables:
        frame = table.frame.copy()
        frame.insert(0, "table", table.title)
        by_name.setdefault(table.name, []).append(frame)
    return {
        f"{name}.csv": pd.concat(frames, ignore_index=True).to_csv(index=False, lineterminator="\n")
        for name, frames in by_name.items()
    }


def markdown(tables: Sequence[SuiteTable]) -> str:
    """The sections of leaderboard.md; "" where there is no table."""
    lines: list[str] = []
    for table in (one for one in tables if one.rows):
        lines += ["", f"## {markdown_cell(table.title)}", ""]
        lines += [markdown_cell(table.about), ""] if table.about else []
        lines += [markdown_line(table.header), markdown_line(["---"] * len(table.header))]
        lines += [markdown_line(row) for row in table.rows]
        lines += [line for note in table.notes for line in ("", markdown_cell(note))]
    return "\n".join([*lines, ""]) if lines else ""
