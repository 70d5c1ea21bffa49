"""Infilling under every length policy, side by side and never mixed.

Texts of `stats/length_policies.py`. A line of `suite_tables.TABLES`.
"""

from collections.abc import Mapping

import pandas as pd

from dllm_eval.report import text
from dllm_eval.report.setting_rows import (
    MOST_ROWS,
    name_of,
    place_note,
    places_of,
    points,
    scored,
)
from dllm_eval.report.suite_table import Frames, SuiteTable
from dllm_eval.stats.length_policies import (
    COLUMNS,
    PolicyRow,
    PolicyScore,
    PolicyTable,
    policy_tables,
)

HEADER = {
    "oracle": "oracle",
    "fixed_mean": "mean over fixed lengths",
    "fixed_best": "best fixed, same documents",
    "fixed_held_out": "best fixed, held out",
    "model": "model-chosen",
    "until_end": "until its end",
}
ABOUT = (
    "One model with otherwise equal settings under each length policy, with 95 % intervals over "
    "documents. Oracle: told the reference answer's length, which nobody knows outside a test. "
    "Fixed: every gap gets N tokens; the mean over the lengths run, and the best of them. The best "
    "is chosen on the very documents that it is scored on and flatters; held out scores each half "
    "of the documents at the length that the other half chooses, over 20 random halvings, and its "
    "interval takes these choices as given. Less oracle: paired, in points."
)


def length_tables(frames: Frames) -> list[SuiteTable]:
    """One for each suite that was infilled under several policies."""
    return [_table(found) for found in policy_tables(frames.tables)]


def _table(found: PolicyTable) -> SuiteTable:
    columns = [name for name in COLUMNS if any(name in row.scores for row in found.rows)]
    compared = [
        name
        for name in ("fixed_mean", "fixed_held_out", "model")
        if any(name in row.scores and row.scores[name].gap is not None for row in found.rows)
    ]
    places = places_of([row.configuration for row in found.rows])
    ranked = sorted(found.rows, key=lambda row: -max(x.quality for x in row.scores.values()))
    kept = ranked if len(ranked) <= MOST_ROWS else ranked[:MOST_ROWS]
    first = [row for row in found.rows if row in kept]
    rest = [row for row in found.rows if row not in kept]

    def lines(rows: list[PolicyRow]) -> tuple[tuple[str, ...], ...]:
        return tuple(_row(row, columns, compared, places) for row in rows)

    return SuiteTable(
        name="length_policies",
        title=f"{found.suite}: length policies ({found.metric}, {found.num_documents} documents)",
        about=ABOUT,
        suites=found.suites,
        header=(
            *("model", "setting"),
            *(HEADER[name] for name in columns),
            *(f"{HEADER[name]} less oracle" for name in compared),
        ),
        rows=lines(first),
        notes=(
            *(
                (f"The {MOST_ROWS} rows of the best scores; the others are folded below.",)
                * bool(rest)
            ),
            *place_note(places),
        ),
        more=lines(rest),
        more_title=f"All other settings ({len(rest)})",
        data=pd.DataFrame([line for row in found.rows for line in _lines(found, row)]),
    )


def _row(
    row: PolicyRow, columns: list[str], compared: list[str], places: Mapping[str, str]
) -> tuple[str, ...]:
    model, _ = name_of(row.configuration, places)
    shown = [_score(row.scores.get(name)) for name in columns]
    gaps = [_gap(row.scores.get(name)) for name in compared]
    return (model, _setting(row), *shown, *gaps)


def _setting(row: PolicyRow) -> str:
    """The setting without its length policy, which is a column."""
    x = row.configuration
    parts = x.composition.split(", ")
    kept = ", ".join(part for part in parts if not part.startswith("infill_length "))
    dial = text.dial(x)
    told = [kept, "" if dial == text.UNKNOWN_TEXT else dial]
    return " at ".join(part for part in told if part) or text.UNKNOWN_TEXT


def _score(score: PolicyScore | None) -> str:
    if score is None:
        return text.UNKNOWN_TEXT
    told = f", of {score.told}" if "," in score.told else f", {score.told}" if score.told else ""
    return f"{scored(score.quality, score.interval)}{told}"


def _gap(score: PolicyScore | None) -> str:
    if score is None or score.gap is None:
        return text.UNKNOWN_TEXT
    return points(score.gap.difference, score.gap.interval)


def _lines(found: PolicyTable, row: PolicyRow) -> list[dict[str, object]]:
    x = row.configuration
    choices = "; ".join(f"{k}: {v:.3g}" for k, v in row.held_out_choices.items())
    return [
        {
            "task": found.task,
            "metric": found.metric,
            "model": x.model,
            "setting": _setting(row),
            "place": x.group,
            "policy": name,
            "lengths": score.told or (choices if name == "fixed_held_out" else ""),
            "quality": score.quality,
            "quality_low": score.interval.low,
            "quality_high": score.interval.high,
            "less_oracle": None if score.gap is None else score.gap.difference,
            "less_oracle_low": None if score.gap is None else score.gap.interval.low,
            "less_oracle_high": None if score.gap is None else score.gap.interval.high,
        }
        for name, score in row.scores.items()
    ]
