"""The same answers under every extraction rule, and what became of the programs under each.

Texts of `stats/rules.py`. A line of `suite_tables.TABLES`.
"""

from collections.abc import Mapping, Sequence

import pandas as pd

from dllm_eval.report import text
from dllm_eval.report.setting_rows import (
    BEST_RULE,
    MOST_ROWS,
    best_of_models,
    name_of,
    place_note,
    places_of,
    points,
    scored,
)
from dllm_eval.report.suite_table import Frames, SuiteTable
from dllm_eval.stats.rules import RuleScore, RuleTable, rule_table
from dllm_eval.stats.tables import TaskTable

ABOUT = (
    "The same answers, scored under every rule that takes the answer out of the text. Scores with "
    "95 % intervals; differences from the headline rule in points, with 95 % intervals of the "
    "paired bootstrap over documents (where no document changes, the interval is what so many "
    "documents can hide). Changed: documents that score more, and less, than under the headline."
)
VERDICTS = (
    "What became of the programs under each rule: documents, over all seeds, by how their program "
    "ended. “passed” is a right answer; the rest name the error that stopped it."
)
MOST_VERDICTS = 7
"""Verdicts with a column of their own; the others are counted together."""


def extraction_tables(frames: Frames) -> list[SuiteTable]:
    """Two tables for each suite that was scored under several rules."""
    out = []
    for table in frames.tables:
        found = rule_table(table, lambda: frames.index)
        if found is not None:
            out.append(_rules(table, found))
            out += _verdicts(table, found)
    return out


def _shown(table: TaskTable, found: RuleTable) -> tuple[list[int], list[int]]:
    """The settings shown, and those folded away."""
    if len(found.rows) <= MOST_ROWS:
        return list(found.rows), []
    first = [i for i in best_of_models(table) if i in found.rows]
    return first, [i for i in found.rows if i not in first]


def _rules(table: TaskTable, found: RuleTable) -> SuiteTable:
    headline, *others = found.rules
    first, rest = _shown(table, found)
    return SuiteTable(
        name="extraction_rules",
        title=f"{table.suite}: extraction rules ({table.metric})",
        about=ABOUT,
        suites=(table.suite,),
        header=(
            *("model", "setting", f"{headline} (headline)"),
            *(name for rule in others for name in (rule, f"{rule} less {headline}", "changed")),
        ),
        rows=tuple(_rule_row(table, found, i) for i in first),
        notes=(
            *((f"{BEST_RULE} The others are folded below.",) if rest else ()),
            *place_note(places_of(table.configurations)),
        ),
        more=tuple(_rule_row(table, found, i) for i in rest),
        more_title=f"All other settings ({len(rest)})",
        data=_rule_data(table, found),
    )


def _rule_row(table: TaskTable, found: RuleTable, i: int) -> tuple[str, ...]:
    x = table.configurations[i]
    by_rule = {score.rule: score for score in found.rows[i]}
    cells = [*name_of(x, places_of(table.configurations))]
    for rule in found.rules:
        score = by_rule.get(rule)
        cells.append(text.UNKNOWN_TEXT if score is None else scored(score.quality, score.interval))
        if rule != found.rules[0]:
            cells += _gap(score)
    return tuple(cells)


def _gap(score: RuleScore | None) -> list[str]:
    if score is None or score.gap is None:
        return [text.UNKNOWN_TEXT, text.UNKNOWN_TEXT]
    gap = score.gap
    changed = f"{gap.gained} more, {gap.lost} less" if gap.gained or gap.lost else "none"
    return [points(gap.difference, gap.interval), changed]


def _rule_data(table: TaskTable, found: RuleTable) -> pd.DataFrame:
    lines = []
    for i, own in found.rows.items():
        x = table.configurations[i]
        for score in own:
            gap = score.gap
            lines.append(
                {
                    "task": table.task,
                    "metric": table.metric,
                    "config_id": x.config_id,
                    "model": x.model,
                    "setting": text.setting(x),
                    "place": x.group,
                    "rule": score.rule,
                    "headline": score.rule == found.rules[0],
                    "quality": score.quality,
                    "quality_low": score.interval.low,
                    "quality_high": score.interval.high,
                    "difference": None if gap is None else gap.difference,
                    "difference_low": None if gap is None else gap.interval.low,
                    "difference_high": None if gap is None else gap.interval.high,
                    "documents_more": None if gap is None else gap.gained,
                    "documents_less": None if gap is None else gap.lost,
                    "verdicts": "; ".join(f"{k}: {v}" for k, v in score.verdicts.items()),
                }
            )
    return pd.DataFrame(lines)


def _verdicts(table: TaskTable, found: RuleTable) -> list[SuiteTable]:
    total: dict[str, int] = {}
    for score in (one for own in found.rows.values() for one in own):
        for verdict, count in score.verdicts.items():
            total[verdict] = total.get(verdict, 0) + count
    if not total:
        return []
    names = sorted(total, key=lambda name: (name != "passed", -total[name], name))
    named, others = names[:MOST_VERDICTS], names[MOST_VERDICTS:]
    first, rest = _shown(table, found)

    def lines(rows: list[int]) -> tuple[tuple[str, ...], ...]:
        return tuple(
            _verdict_row(table, i, rules, verdicts, named, others)
            for i in rows
            for rules, verdicts in _alike(found.rows[i])
        )

    return [
        SuiteTable(
            name="verdicts",
            title=f"{table.suite}: what became of the programs",
            about=VERDICTS,
            folded=True,
            suites=(table.suite,),
            header=("model", "setting", "rules", *named, *(("other",) if others else ())),
            rows=lines(first),
            notes=(
                *((f"Other: {', '.join(others)}.",) if others else ()),
                *place_note(places_of(table.configurations)),
            ),
            more=lines(rest),
            more_title=f"All other settings ({len(rest)})",
        )
    ]


def _alike(scores: Sequence[RuleScore]) -> list[tuple[str, Mapping[str, int]]]:
    """(Rules, verdicts): rules under which the programs ended alike share a row."""
    found: list[tuple[list[str], Mapping[str, int]]] = []
    for score in scores:
        same = next((rules for rules, verdicts in found if verdicts == score.verdicts), None)
        if same is None:
            found.append(([score.rule], score.verdicts))
        else:
            same.append(score.rule)
    return [(", ".join(rules), verdicts) for rules, verdicts in found]


def _verdict_row(
    table: TaskTable,
    i: int,
    rules: str,
    verdicts: Mapping[str, int],
    named: list[str],
    others: list[str],
) -> tuple[str, ...]:
    counts = [str(verdicts.get(name, 0)) for name in named]
    rest = [str(sum(verdicts.get(name, 0) for name in others))] if others else []
    places = places_of(table.configurations)
    return (*name_of(table.configurations[i], places), rules, *counts, *rest)
