"""The cards at the top of the page: which is better here, at what latency, how sure are we.

One card per suite and machine, decided from the suite's statistics alone and written in plain
words; the rules stand in `_card`. Knows no HTML. Called by `render.py`; `first_sentence.py` counts
the cards.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from dllm_eval.report import text, tier_text
from dllm_eval.report.contest import Contest, contest
from dllm_eval.report.contestants import Contestant, caveats, contestant
from dllm_eval.stats.analysis import TaskAnalysis
from dllm_eval.stats.best_stack import BEST_STACK
from dllm_eval.stats.group import GroupAnalysis
from dllm_eval.stats.row import Row

Winner = Literal["diffusion", "autoregressive", "trade", "neither", "unknown"]
Level = Literal["sure", "likely", "open"]

CERTAIN, PROBABLE = 0.95, 0.8
"""Shares of resamples from which a claim is called sure, and likely."""
MATCHED = "at matched quality (within one point)"


@dataclass(frozen=True, kw_only=True)
class Card:
    """What a newcomer should take away from one suite on one machine."""

    suite: str
    place: str
    winner: Winner
    headline: str
    contestants: tuple[Contestant, ...]
    level: Level
    sure: str
    caveats: tuple[str, ...]
    models: tuple[str, ...]
    """Whose results the card is about."""
    behind: str = ""
    """What of its machine's headline the card stands behind; "" for a headline itself."""
    scores_alone: bool = False
    """Whether both kinds were compared, and in score alone."""
    bounded: bool = False
    """Whether a bound stands beside an exact value and shows no winner: nothing to count."""


@dataclass(frozen=True, kw_only=True)
class _Finding:
    """What is claimed, how sure it is, and which rows show it."""

    winner: Winner
    headline: str
    level: Level
    sure: str
    shown: tuple[Row, ...]
    scores_alone: bool = False
    bounded: bool = False


def cards(analysis: TaskAnalysis) -> list[Card]:
    """The cards of one suite: of machines with several stacks, then of each machine and stack.

    A stack that ran one kind alone has no card where the machine's other stacks ran the other kind:
    the machine's own card is about it.
    """
    best = [_card(analysis.on_best_stack(found), found.group) for found in analysis.best_stacks]
    covered = {i for found in analysis.best_stacks for i in found.group.members}
    return best + [
        _card(analysis, group)
        for group in analysis.groups
        if group.members and not (_one_kind(analysis, group) and covered.issuperset(group.members))
    ]


def _one_kind(analysis: TaskAnalysis, group: GroupAnalysis) -> bool:
    return len({analysis.rows[i].configuration.kind for i in group.members}) == 1


def _card(analysis: TaskAnalysis, group: GroupAnalysis) -> Card:
    found = contest(analysis, group)
    rows = [analysis.rows[i] for i in group.members]
    if found is None:
        finding = _elsewhere(analysis, rows) or _alone(rows)
    elif not found.rival.above_chance:
        finding = _at_chance(found, analysis.table.chance)
    elif found.bounded and not found.told_better:
        finding = _bound(found)
    elif found.speedup is None or math.isnan(found.speedup.interval.high):
        finding = _by_quality(found)
    elif found.speedup.reached:
        finding = _matched(found, across=group.stack == BEST_STACK)
    elif found.bounded:
        finding = _bound(found)
    else:
        finding = _not_reached(found)
    ahead = sorted(finding.shown, key=lambda row: row.configuration.kind != finding.winner)
    return Card(
        suite=analysis.table.suite,
        place=group.place,
        winner=finding.winner,
        headline=finding.headline,
        contestants=tuple(contestant(row, group) for row in ahead),
        level=finding.level,
        sure=finding.sure,
        caveats=caveats(analysis, group, finding.shown),
        models=tuple(row.configuration.model for row in finding.shown),
        behind=_behind(analysis, group),
        scores_alone=finding.scores_alone,
        bounded=finding.bounded,
    )


SAME_STACK = "the same stack for both"


def _behind(analysis: TaskAnalysis, group: GroupAnalysis) -> str:
    """Of a stack that its machine's card of best stacks holds as well."""
    covered = {i for found in analysis.best_stacks for i in found.group.members}
    return SAME_STACK if not covered.isdisjoint(group.members) else ""


def _elsewhere(analysis: TaskAnalysis, rows: Sequence[Row]) -> _Finding | None:
    """A server's rows beside the AR row that ran elsewhere, by score alone; None for others."""
    own = [row for row in rows if row.configuration.kind == "diffusion"]
    if not own or not rows[0].configuration.placement.remote:
        return None
    best = min(own, key=lambda row: (-row.quality, math.isnan(row.latency_s), row.latency_s))
    if best.comparison is None:
        return None
    rival = analysis.rows[best.comparison.rival]
    return _by_quality(
        Contest(
            best=best,
            rival=rival,
            speedup=None,
            matched_rows=(best, rival),
            verdicts=frozenset({best.comparison.verdict}),
        )
    )


def _alone(rows: Sequence[Row]) -> _Finding:
    best = max(rows, key=lambda row: row.quality)
    where = "" if best.configuration.placement.remote else " on this machine"
    other = "an autoregressive" if best.configuration.kind == "diffusion" else "a diffusion"
    return _Finding(
        winner="unknown",
        headline="Nothing to compare with",
        level="open",
        sure=f"{other[0].upper()}{other[1:]} model was not run beside it{where}.",
        shown=(best,),
    )


def _at_chance(found: Contest, chance: float) -> _Finding:
    """The AR model does not do the task: no quality to match, so score alone decides."""
    own, name = found.best, found.rival.configuration.model
    if not own.above_chance or not found.gap.low > 0:
        return _Finding(
            winner="neither",
            headline="Neither model clearly does this task",
            level="open",
            sure=f"No score is clearly above chance ({text.percent(chance, digits=0)}).",
            shown=(own, found.rival),
            scores_alone=True,
        )
    return _Finding(
        winner="diffusion",
        headline=f"Diffusion is better: {name} is not clearly better than chance",
        level="sure" if found.scores_differ else "likely",
        sure=found.gap_text,
        shown=(own, found.rival),
        scores_alone=True,
    )


def _by_quality(found: Contest) -> _Finding:
    """No seconds to compare: score alone, and that is said."""
    if found.bounded and not found.gap.low > 0:
        return _bound(found)
    if found.gap.low > 0 or found.gap.high < 0:
        winner: Winner = "diffusion" if found.gap.low > 0 else "autoregressive"
        headline = f"{_NAMES[winner]} scores {found.ahead}; speed was not compared"
        level: Level = "sure" if found.scores_differ else "likely"
    else:
        winner, level = "neither", "open"
        headline = "No clear winner by score; speed was not compared"
    return _Finding(
        winner=winner,
        headline=headline,
        level=level,
        sure=found.gap_text,
        shown=(found.best, found.rival),
        scores_alone=True,
    )


_NAMES = {"diffusion": "Diffusion", "autoregressive": "Autoregressive"}


def _matched(found: Contest, *, across: bool) -> _Finding:
    """Some diffusion setting scores within one point of AR: the faster one is better."""
    low, high = found.span
    shown = found.matched_rows
    rival = next((r for r in shown if r.configuration.kind == "autoregressive"), None)
    against = tier_text.against(rival, stack=across)
    proven = "dominates AR" in found.verdicts if low > 1 else found.dominated
    doubt = (
        f" {found.num_documents} documents are too few to show that the scores are equal to "
        "within one point."
    )
    told = f"{found.speed_text}{'' if proven else doubt}"
    if low > 1:
        return _Finding(
            winner="diffusion",
            headline=f"Diffusion is better: {text.ratio(found.ratio)} faster {MATCHED}{against}",
            level="sure" if proven else "likely",
            sure=told,
            shown=shown,
        )
    if high < 1 and found.gap.low > 0:
        return _Finding(
            winner="trade",
            headline=f"A trade: diffusion scores {found.ahead}, autoregressive is faster",
            level="sure" if found.best_verdict == "slower, better" else "likely",
            sure=found.gap_text,
            shown=(found.best, found.rival),
        )
    if high < 1 and found.bounded:
        return _bound(found)
    if high < 1:
        factor = text.ratio(1 / found.ratio)
        return _Finding(
            winner="autoregressive",
            headline=f"Autoregressive is better: {factor} faster {MATCHED}"
            + against.replace(", against the fastest", ", by the fastest", 1),
            level="sure" if proven else "likely",
            sure=told,
            shown=shown,
        )
    return _Finding(
        winner="neither",
        headline="No clear winner: about as good and as fast",
        level="open",
        sure=found.speed_text,
        shown=shown,
    )


BOUND = "A bound beside an exact value: no winner"
OTHER_QUANTITIES = "Not the same quantity: no winner"


def _bound(found: Contest) -> _Finding:
    """A bound that is worse than an exact value says nothing of which model is better.

    Nor does any order of what is no likelihood, or of two bounds.
    """
    exact = "Its true score is at least as good as its bound; AR's is exact."
    other = "One of the two is no likelihood, or both are bounds: their order shows nothing."
    beside = found.best.likelihood == "bound" and found.told_better
    return _Finding(
        winner="neither",
        headline=BOUND if beside else OTHER_QUANTITIES,
        level="open",
        sure=f"{found.gap_text} {exact if beside else other}",
        shown=(found.best, found.rival),
        bounded=True,
    )


def _not_reached(found: Contest) -> _Finding:
    """No diffusion setting comes within one point of AR."""
    missed = 1 - found.reached_share
    level: Level = "sure" if missed >= CERTAIN else "likely" if missed >= PROBABLE else "open"
    scale = found.best.scale
    floor = scale.text(found.floor) + (" or less" if scale.lower_is_better else " or more")
    share = "over 99 %" if missed > 0.99 else text.percent(missed, digits=0)
    sure = (
        f"{found.gap_text} In {share} of resamples no setting comes within one point of it "
        f"({floor})."
    )
    shown = (found.best, found.rival)
    if found.faster and found.best.above_chance:
        headline = f"A trade: diffusion is faster, autoregressive scores {found.ahead}"
        return _Finding(winner="trade", headline=headline, level=level, sure=sure, shown=shown)
    if level == "open":
        headline = f"No clear winner: autoregressive scores {found.ahead}, maybe by chance"
        return _Finding(winner="neither", headline=headline, level=level, sure=sure, shown=shown)
    well = "well" if scale.lower_is_better else "high"
    headline = f"Autoregressive is better: no diffusion setting scores as {well}"
    return _Finding(winner="autoregressive", headline=headline, level=level, sure=sure, shown=shown)
