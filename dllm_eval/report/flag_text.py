"""Answers that say little about a model, in words: why they are flagged, and that they count.

Strings only. Called by `remarks.py` and the table of servers.
"""

from collections.abc import Mapping, Sequence

from dllm_eval.report import text
from dllm_eval.stats.analysis import TaskAnalysis
from dllm_eval.stats.row import Row
from dllm_eval.stats.servers import flags_of

WORDS = {
    "reasoning_limit": "reasoning used up the token limit, nothing was left for an answer",
    "content_filter": "the server withheld the answer",
    "refusal": "the server says that the model refused",
}
"""Records' flags -> why."""


def flags(found: Mapping[str, int], answers: int) -> str:
    """For example "reasoning_limit 12 of 164"; a dash for none."""
    said = [f"{name} {count} of {answers}" for name, count in found.items()]
    return "; ".join(said) or text.UNKNOWN_TEXT


def remarks(analysis: TaskAnalysis, rows: Sequence[Row]) -> tuple[str, ...]:
    """One sentence for each row with flagged answers."""
    if not flags_of(analysis.table.requests):
        return ()
    out = []
    for x in (row.configuration for row in rows):
        own = analysis.table.requests_of(x.quality_cells)
        name = " at ".join(part for part in (x.model, text.setting(x)) if part)
        out += [
            f"{name}: {count} of {len(own)} answers are flagged ({flag}): {WORDS.get(flag, flag)}. "
            "They are scored like any other, so as wrong where nothing was answered."
            for flag, count in flags_of(own).items()
        ]
    return tuple(out)
