"""Facts asked forwards and in reverse, and true against random completions.

Texts of `stats/reversal.py` and `stats/probability_gap.py`. A line of `suite_tables.TABLES`.
"""

import math
from collections.abc import Iterable, Mapping, Sequence

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
from dllm_eval.stats.probability_gap import ProbabilityGap, probability_gaps
from dllm_eval.stats.resample import Interval
from dllm_eval.stats.reversal import Contrast, Reversal, contrasts, reversals

ABOUT = (
    "The same facts, asked in the order that was trained and in the other one, by the same "
    "setting. Scores, reverse less forward in points, and reverse over forward, each with its "
    "95 % interval; {unit}."
)
UNITS = {
    "fact": "documents that ask for one fact count as one cluster, and the two orders are paired "
    "by fact",
    "document": "the two orders are paired by document",
}
AGAINST_AR = (
    "Against AR: the ratio less that of the AR row with the highest forward score ({rival}). The "
    "two are taken as independent, which makes the interval a little too wide."
)
UNDEFINED = "Where the forward score is 0 the ratio is undefined."
OPEN_END = "An interval without an upper end: the forward score may be 0."
FOLDED = "Of each model the setting with the highest forward score; the others"
GAP_ABOUT = (
    "Nats by which the true completion is likelier than another fact's, mean over documents, with "
    "the 95 % interval (Student's t over facts, or over documents where each asks for another "
    "fact). p: of no difference, over the same; beside it the paired t-test over documents of "
    "arXiv 2309.12288, which takes paraphrases of one fact as independent. A dLLM's likelihoods "
    "are bounds."
)
HEADER = ("model", "setting", "forward", "reverse", "reverse less forward", "reverse / forward")
GAP_HEADER = ("model", "setting", "nats, true less random", "p", "p, paired t-test", "documents")


def reversal_tables(frames: Frames) -> list[SuiteTable]:
    """One table for each set of facts, and one of completions that were compared in nats."""
    rows = reversals(frames.tables, frames.scores)
    beside = {x.row: x for x in contrasts(rows)}
    places = dict.fromkeys(row.place for row in rows)
    found = [_pair(rows, beside, place) for place in places]
    gaps = probability_gaps(frames.tables, frames.scores)
    tasks = dict.fromkeys(gap.task for gap in gaps)
    return found + [_gaps([gap for gap in gaps if gap.task == task]) for task in tasks]


def _pair(
    rows: Sequence[Reversal], beside: Mapping[int, Contrast], place: tuple[str, str, str, str]
) -> SuiteTable:
    own = [i for i, row in enumerate(rows) if row.place == place]
    places = places_of([rows[i].configuration for i in own])
    against = any(i in beside for i in own)

    def line(i: int) -> tuple[str, ...]:
        row = rows[i]
        told = _contrast(beside.get(i))
        return (
            *name_of(row.configuration, places),
            scored(row.forward.score, row.forward.interval),
            scored(row.reverse.score, row.reverse.interval),
            points(row.difference, row.difference_interval),
            _ratio(row.ratio, row.ratio_interval),
            *((told,) if against else ()),
        )

    first = own if len(own) <= MOST_ROWS else _best(rows, own)
    one = rows[own[0]]
    return SuiteTable(
        name="reversal",
        title=f"Forward and reverse: {one.pair} ({one.metric})",
        about=ABOUT.format(unit=UNITS[one.by]),
        header=(*HEADER, "against AR") if against else HEADER,
        rows=tuple(line(i) for i in first),
        notes=(*_notes(rows, own, beside), *place_note(places)),
        more=tuple(line(i) for i in own if i not in first),
        more_title=f"{len(own) - len(first)} further settings" if len(own) > len(first) else "",
        data=pd.DataFrame([_data(rows[i], beside.get(i)) for i in own]),
    )


def _best(rows: Sequence[Reversal], own: Sequence[int]) -> list[int]:
    best: dict[tuple[str, str], int] = {}
    for i in own:
        key = (rows[i].configuration.model, rows[i].configuration.group)
        if key not in best or rows[i].forward.score > rows[best[key]].forward.score:
            best[key] = i
    return sorted(best.values())


def _notes(
    rows: Sequence[Reversal], own: Sequence[int], beside: Mapping[int, Contrast]
) -> Iterable[str]:
    one = rows[own[0]]
    asked = f"{one.forward.num_documents} and {one.reverse.num_documents} documents"
    yield (
        f"{one.forward.task} and {one.reverse.task}: {asked}, {one.units} {one.by}s in both; "
        f"{one.protocol}."
    )
    rivals = {beside[i].rival for i in own if i in beside}
    for rival in sorted(rivals):
        x = rows[rival].configuration
        yield AGAINST_AR.format(rival=" ".join(part for part in (x.model, text.setting(x)) if part))
    if any(math.isnan(rows[i].ratio) for i in own):
        yield UNDEFINED
    if any(math.isinf(rows[i].ratio_interval.high) for i in own):
        yield OPEN_END
    if len(own) > MOST_ROWS:
        yield f"{FOLDED} are folded away."


def _ratio(ratio: float, interval: Interval) -> str:
    """A ratio and its interval: "0.56 (0.41 to 0.74)"."""
    if math.isnan(ratio):
        return "undefined"
    high = "any" if math.isinf(interval.high) else text.fixed(interval.high, digits=2)
    low = "any" if math.isinf(interval.low) else text.fixed(interval.low, digits=2)
    return f"{text.fixed(ratio, digits=2)} ({low} to {high})"


def _contrast(contrast: Contrast | None) -> str:
    if contrast is None:
        return text.UNKNOWN_TEXT
    sign = "+" if contrast.difference > 0 else ""
    return sign + _ratio(contrast.difference, contrast.interval)


def _data(row: Reversal, contrast: Contrast | None) -> dict[str, object]:
    """One line of the csv, unrounded."""
    x = row.configuration
    against = Interval(low=math.nan, high=math.nan) if contrast is None else contrast.interval
    intervals = {
        "forward": row.forward.interval,
        "reverse": row.reverse.interval,
        "difference": row.difference_interval,
        "ratio": row.ratio_interval,
        "ratio_less_ar": against,
    }
    values = {
        "forward": row.forward.score,
        "reverse": row.reverse.score,
        "difference": row.difference,
        "ratio": row.ratio,
        "ratio_less_ar": math.nan if contrast is None else contrast.difference,
    }
    out: dict[str, object] = {"model": x.model, "setting": text.setting(x), "machine": x.group}
    out |= {"forward_task": row.forward.task, "reverse_task": row.reverse.task}
    out |= {"paired_by": row.by, "units": row.units}
    for name, value in values.items():
        out |= {name: value, f"{name}_low": intervals[name].low}
        out[f"{name}_high"] = intervals[name].high
    return out


def _gaps(gaps: Sequence[ProbabilityGap]) -> SuiteTable:
    places = places_of([gap.configuration for gap in gaps])
    return SuiteTable(
        name="reversal_log_probability",
        title=f"True against random: {gaps[0].task}",
        about=GAP_ABOUT,
        header=GAP_HEADER,
        rows=tuple(
            (
                *name_of(gap.configuration, places),
                _nats(gap),
                _p_value(gap.p_value),
                _p_value(gap.paired_p_value),
                f"{gap.num_documents} of {gap.units} facts",
            )
            for gap in gaps
        ),
        notes=place_note(places),
        data=pd.DataFrame(
            [
                {
                    "model": gap.configuration.model,
                    "setting": text.setting(gap.configuration),
                    "machine": gap.configuration.group,
                    "gap_nats": gap.gap,
                    "gap_low": gap.interval.low,
                    "gap_high": gap.interval.high,
                    "p_value": gap.p_value,
                    "paired_p_value": gap.paired_p_value,
                    "documents": gap.num_documents,
                    "facts": gap.units,
                }
                for gap in gaps
            ]
        ),
    )


def _nats(gap: ProbabilityGap) -> str:
    low, high = (text.fixed(end, digits=2) for end in (gap.interval.low, gap.interval.high))
    shown = text.fixed(gap.gap, digits=2)
    return shown if math.isnan(gap.interval.low) else f"{shown} ({low} to {high})"


def _p_value(value: float) -> str:
    if math.isnan(value):
        return text.UNKNOWN_TEXT
    return "< 0.001" if value < 0.001 else text.fixed(value, digits=3)
