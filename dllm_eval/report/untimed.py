"""What of a suite was not timed, and what times it, in one line.

Strings only. Called by `render.py`, where a chart would be empty.
"""

from collections.abc import Iterable

from dllm_eval.stats.analysis import TaskAnalysis
from dllm_eval.stats.tables import Configuration

HOW = (
    "dllm-eval sweep SPEC times them, with “latency: {enabled: true}” in the spec; what is "
    "finished is kept."
)
IMPORTED = "Results of lm-eval hold no seconds of single requests."


def not_timed(analysis: TaskAnalysis) -> str:
    """Which models' settings stand in no chart, because nobody timed them; "" where all were."""
    rows = analysis.table.configurations
    timed = {x.series for group in analysis.groups for x in group.curves}
    left = [x for x in rows if x.series not in timed]
    if not left:
        return ""
    names = ", ".join(dict.fromkeys(x.series for x in left))
    return f"Not timed, so in no chart: {names}. {how_to(left)}"


def how_to(left: Iterable[Configuration]) -> str:
    """Which command times settings, or why none does."""
    return IMPORTED if all(x.imported for x in left) else HOW
