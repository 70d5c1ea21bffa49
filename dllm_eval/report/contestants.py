"""The lines of a card: which rows stand for either side, and what must be known of them.

Strings only. Called by `first_look.py`.
"""

from collections.abc import Sequence
from dataclasses import dataclass

from dllm_eval.report import text, tier_text
from dllm_eval.stats.analysis import TaskAnalysis
from dllm_eval.stats.best_stack import BEST_STACK
from dllm_eval.stats.group import GroupAnalysis
from dllm_eval.stats.row import Row

FIXED = "fixed:"
"""Before the tokens of a length policy of one length for all gaps."""


@dataclass(frozen=True, kw_only=True)
class Contestant:
    """One line of a card: a model at the setting that stands for it."""

    kind: str
    name: str
    setting: str
    quality: str
    quality_span: str
    latency: str
    busy: bool
    """Whether nothing is claimed of its seconds, which the text marks."""


def contestant(row: Row, group: GroupAnalysis) -> Contestant:
    """A row as a card of a group says it."""
    x, setting = row.configuration, text.dial(row.configuration)
    across = group.stack == BEST_STACK
    parts = ["" if setting == text.UNKNOWN_TEXT else setting, x.stack if across else ""]
    # Seconds of another machine beside these would be a comparison.
    near = across or x.group == group.place
    return Contestant(
        kind=x.kind,
        name=tier_text.named(x) if x.kind == "autoregressive" else x.series,
        setting=", ".join(part for part in parts if part),
        quality=text.quality(row),
        quality_span=row.scale.span(row.quality_interval),
        latency=text.latency(row) if near else "not compared",
        busy=row.busy and near,
    )


def _of_places(
    analysis: TaskAnalysis, group: GroupAnalysis, shown: Sequence[Row]
) -> tuple[str, ...]:
    out = []
    if any(row.configuration.placement.remote for row in shown):
        out.append("Seconds over a network hold for its hour, on hardware that is not known.")
    eager = tier_text.only_eager(analysis.rows, group.machine)
    if eager and len({row.configuration.kind for row in shown}) > 1:
        out.append(eager)
    return tuple(out)


def caveats(analysis: TaskAnalysis, group: GroupAnalysis, shown: Sequence[Row]) -> tuple[str, ...]:
    """What a reader of a card must know of the rows that it shows."""
    return (*_of_rows(shown), *_of_lengths(analysis, shown), *_of_places(analysis, group, shown))


def _of_lengths(analysis: TaskAnalysis, shown: Sequence[Row]) -> tuple[str, ...]:
    """Of a fixed length: that it is one of several, picked by the scores that the card shows."""
    told = [x.values.get("length_policy", "") for x in analysis.table.protocols]
    policies = list(zip(analysis.rows, told, strict=False))
    out = []
    for row, policy in policies:
        name, fixed = row.configuration.model, policy.startswith(FIXED)
        run = {y for x, y in policies if x.configuration.model == name and y.startswith(FIXED)}
        if fixed and len(run) > 1 and any(row is one for one in shown):
            tokens = policy.removeprefix(FIXED)
            out.append(
                f"{name}'s length of {tokens} token{'' if tokens == '1' else 's'} was picked on "
                f"these very documents, of {len(run)} that were run, which flatters."
            )
    return tuple(out)


def _of_rows(shown: Sequence[Row]) -> tuple[str, ...]:
    told = [row for row in shown if "oracle length" in row.costs.request]
    out = []
    if told and len(told) < len(shown):
        out.append(f"{told[0].configuration.model} is told the length of the right answer.")
    if any(row.busy for row in shown):
        out.append(f"{text.BUSY_MARK} Timed on a busy machine: nothing is claimed of its seconds.")
    if any(row.configuration.approximate for row in shown):
        out.append("An approximate cache may have changed answers.")
    return tuple(out)
