"""What a reader of the leaderboard must know, as sentences below its rows.

Knows which columns are shown; computes no statistic. Called by `leaderboard.py` and the page.
"""

import math
from collections.abc import Sequence

from dllm_eval.report import flag_text, protocol_text, text, tier_text
from dllm_eval.stats.analysis import TaskAnalysis
from dllm_eval.stats.contention import unchecked_rows
from dllm_eval.stats.row import Row

APPROXIMATE = (
    "Approximate: a cache kept keys of tokens that have changed since, so answers may differ from "
    "those without it."
)
PER_QUESTION = (
    "Latency and canvases are per question, all its choices together, for every model. A diffusion "
    "model scores many masked canvases for it, several in one forward; one that choices share is "
    "counted once."
)
TWO_NOISES = (
    "Monte-Carlo ±: standard error of the score under other seeds with the same documents, at "
    "most; 0 where nothing is drawn. Documents ±: that of the score's mean over seeds under other "
    "documents, at least. Answers another seed would change: about so many, as the values, their "
    "errors and the suite's other questions predict. A dash: too few samples to tell. The 95 % "
    "interval is over documents and over the seeds that were run; where there is a dash, nothing "
    "is known of other seeds."
)
BOUNDS = (
    "ELBO loose by: a tighter lower bound of log p, and an estimate of an upper bound, less the "
    "ELBO, from the same forwards; means over documents, per value scored."
)

MIXED = (
    "Bounds beside exact values: the likelihood of a diffusion row here is a bound, so its true "
    "number is at least as good; that of an AR row is exact. The order of the two kinds is no "
    "ranking: a bound that is better than an exact value is a better model, a bound that is worse "
    "shows nothing, and no verdict says that it does."
)
BEST_TIER = (
    "The best AR row that rows are held against: of the model of the highest score the fastest "
    "tier that scores within a point of it. Tiers of one model decode the same thing."
)
UNCHECKED = (
    "Whether the machine was busy while its engines were timed is not known: nothing of this suite "
    "that ran in process was timed there with its CPU seconds."
)
NOT_REPORTED = "Not reported: the server does not say it; such a number is neither 0 nor a guess."

LEGEND = (
    "Quality: mean over all documents (of a group, every document of every task counts the same; "
    "of several seeds, a document's mean), with a 95 % interval: Wilson's of a share, a bootstrap"
    " over documents of any other metric. Latency: p50 seconds per request, of multiple choice "
    "per question, at batch size 1, 95 % bootstrap over them and over rounds. NFE: forward passes"
    " per request. Visible tokens end before the first end-of-text; prompt tokens are counted "
    "nowhere. P(frontier): share of resamples in which the row is above chance and no other row "
    "on the same machine and stack beats it; rows timed on one request, in two rounds or on a "
    "busy machine are left out, and one alone has a dash. Tokens/s: visible tokens over seconds, "
    "both summed over the timed requests. Peak memory: the most in use while the row was timed, "
    "of torch on a GPU, else of the process. Speed-up vs AR: p50 of the best AR row over p50 of "
    "this row, whatever the quality. Against AR: paired bootstrap within one point of quality, "
    "Holm-corrected over all rows of the suite."
)


def remarks(
    analysis: TaskAnalysis, rows: Sequence[Row], *, noise: bool, looseness: bool
) -> tuple[str, ...]:
    """Those that the rows of one section need.

    Args:
        analysis: The suite.
        rows: The section's rows.
        noise: Whether the columns of Monte-Carlo noise are shown.
        looseness: Whether the columns of bounds are shown.
    """
    return (
        *((text.BUSY_NOTE,) if any(row.busy for row in rows) else ()),
        *((UNCHECKED,) if _unchecked(analysis, rows) else ()),
        *((analysis.table.scale.remark,) if analysis.table.scale.remark else ()),
        *((MIXED,) if _mixed(rows) else ()),
        *protocol_text.remarks(analysis),
        *((APPROXIMATE,) if any(row.configuration.approximate for row in rows) else ()),
        *((BEST_TIER,) if tier_text.shown(rows) else ()),
        *((NOT_REPORTED,) if any(_silent(row) for row in rows) else ()),
        *((PER_QUESTION,) if analysis.table.unit == "question" else ()),
        *((TWO_NOISES,) if noise else ()),
        *((BOUNDS,) if looseness else ()),
        *flag_text.remarks(analysis, rows),
    )


def _unchecked(analysis: TaskAnalysis, rows: Sequence[Row]) -> bool:
    """Whether this section is its machine's first with engines whose load nothing shows."""
    found = unchecked_rows(analysis.table)
    first: dict[str, str] = {}
    for group in analysis.groups:
        if not found.isdisjoint(group.members):
            first.setdefault(group.machine, group.place)
    return any(first.get(x.machine) == x.group for x in (row.configuration for row in rows))


def _mixed(rows: Sequence[Row]) -> bool:
    """Whether bounds and exact values of one likelihood metric stand side by side."""
    return {row.likelihood for row in rows} >= {"bound", "exact"}


def _silent(row: Row) -> bool:
    """Whether a column says "not reported" of it."""
    told = (row.costs.nfe, row.costs.visible_tokens, row.costs.canvas_tokens)
    return row.configuration.placement.served and any(math.isnan(value) for value in told)
