"""The page in one sentence: how many of its suites say what, and how surely.

A suite is counted once, in however many ways it was asked. Counts cards and knows none of their
rules. Called by `render.py`.
"""

from collections.abc import Mapping, Sequence
from types import MappingProxyType
from typing import Literal

from dllm_eval.report.first_look import SAME_STACK, Card, Level, Winner

LEVELS: tuple[Level, ...] = ("sure", "likely", "open")
WAYS = "prompts, protocols and lengths of gaps apart"
BOUNDS_ALONE = "Nothing to count: a bound stands beside an exact value, which shows no winner."
Said = tuple[Winner | Literal["mixed"], Level]
"""What the cards of one suite on one machine say together."""


def summary(shown: Sequence[Card], topics: Mapping[str, str] = MappingProxyType({})) -> str:
    """The whole page in one sentence: how many suites went which way, and how surely.

    Args:
        shown: The page's cards.
        topics: Of `stats.topics`: a card's suite -> the suite that it is counted with; one that is
            not in it stands for itself.
    """
    behind = sum(bool(card.behind) for card in shown)
    bounded = sum(card.bounded and not card.behind for card in shown)
    shown = [card for card in shown if not card.behind and not card.bounded]
    if not shown:
        return BOUNDS_ALONE if bounded else ""
    units: dict[tuple[str, str], list[Card]] = {}
    for number, card in enumerate(shown):
        alone = (card.suite, f"card {number}")
        key = (topics[card.suite], card.place) if card.suite in topics else alone
        units.setdefault(key, []).append(card)
    said = [_together(own) for own in units.values()]
    parts = {level: _listed(_counted(said, level)) for level in LEVELS if _counted(said, level)}
    mixed = sum(winner == "mixed" for winner, _ in said)
    if len(said) == 1 and not mixed:
        level, told = next(iter(parts.items()))
        tail = ", likely but not proven" if level == "likely" else ""
        one = "One comparison" if len(shown) == 1 else "One suite"
        about = _about(shown, behind, bounded, merged=len(shown) > 1)
        return f"{one}{about}: {told.removesuffix(' in 1')}{tail}."
    heads = {"sure": "", "likely": "likely, not proven: ", "open": "open: "}
    none = [] if "sure" in parts else ["nothing is sure"]
    depends = [f"it depends on how the suite is asked in {mixed}"] if mixed else []
    told = "; ".join([*none, *(heads[level] + parts[level] for level in parts), *depends])
    about = _about(shown, behind, bounded, merged=len(said) < len(shown))
    return f"Of {_units(units, len(shown))}{about}, {told}."


def _units(units: Mapping[tuple[str, str], Sequence[Card]], num_cards: int) -> str:
    """What is counted: cards where no suite was asked in several ways, else suites."""
    if len(units) == num_cards:
        return f"{num_cards} comparisons"
    suites = len({suite for suite, _ in units})
    if suites == len(units):
        return f"{suites} suite{'' if suites == 1 else 's'}"
    return f"{len(units)} suites on machines"


def _together(own: Sequence[Card]) -> Said:
    """What cards of one suite say together: the same, then as surely as the least sure; or not."""
    known = [card for card in own if card.winner != "unknown"] or own
    winners = {card.winner for card in known}
    if len(winners) > 1:
        return "mixed", "open"
    return known[0].winner, max((card.level for card in known), key=LEVELS.index)


def _about(shown: Sequence[Card], behind: int, bounded: int, *, merged: bool) -> str:
    """What the counted cards compare, and those that are not counted; "" where there is no need."""
    scores = sum(card.scores_alone for card in shown)
    both = sum(not card.scores_alone and card.winner != "unknown" for card in shown)
    all_scores = merged and scores == len(shown)
    of = " of scores alone" if all_scores else ""
    parts = [f"{len(shown)} comparisons{of}: {WAYS}"] if merged else []
    parts += [f"{both} of score and time"] if both and scores else []
    parts += [f"{scores} of scores alone"] if scores and len(shown) > 1 and not all_scores else []
    parts += ["of scores alone"] if scores and len(shown) == 1 else []
    if behind:
        parts.append(f"{behind} more {'card' if behind == 1 else 'cards'} with {SAME_STACK}")
    if bounded:
        parts.append(f"{bounded} more not counted: a bound beside an exact value")
    return f" ({', '.join(parts)})" if parts else ""


def _counted(said: Sequence[Said], level: Level) -> list[str]:
    surely = "surely " if level == "sure" else ""
    it = "it may be" if level == "open" else "it is"
    names: dict[Winner, str] = {
        "autoregressive": f"autoregressive is {surely}better",
        "diffusion": f"diffusion is {surely}better",
        "trade": f"{it} {surely}a trade of speed against score",
        "neither": "there is no clear winner",
        "unknown": "there is nothing to compare",
    }
    counts = {name: said.count((name, level)) for name in names}
    return [f"{names[name]} in {count}" for name, count in counts.items() if count]


def _listed(parts: Sequence[str]) -> str:
    return ", ".join(parts[:-1]) + (" and " if len(parts) > 1 else "") + parts[-1]
