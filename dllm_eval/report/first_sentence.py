"""The page in one sentence: how many of its cards say what, and how surely.

Counts cards and knows none of their rules. Called by `render.py`.
"""

from collections.abc import Sequence

from dllm_eval.report.first_look import SAME_STACK, Card, Level


def summary(shown: Sequence[Card]) -> str:
    """The whole page in one sentence: how many cards went which way, and how surely."""
    behind = sum(bool(card.behind) for card in shown)
    shown = [card for card in shown if not card.behind]
    if not shown:
        return ""
    of: dict[Level, list[Card]] = {"sure": [], "likely": [], "open": []}
    for card in shown:
        of[card.level].append(card)
    parts = {level: _listed(_counted(own, level)) for level, own in of.items() if own}
    if len(shown) == 1:
        level, said = next(iter(parts.items()))
        tail = ", likely but not proven" if level == "likely" else ""
        return f"One comparison{_about(shown, behind)}: {said.removesuffix(' in 1')}{tail}."
    heads = {"sure": "", "likely": "likely, not proven: ", "open": "open: "}
    none = [] if "sure" in parts else ["nothing is sure"]
    told = "; ".join([*none, *(heads[level] + said for level, said in parts.items())])
    return f"Of {len(shown)} comparisons{_about(shown, behind)}, {told}."


def _about(shown: Sequence[Card], behind: int) -> str:
    """What the counted cards compare, and those that are not counted; "" where there is no need."""
    scores = sum(card.scores_alone for card in shown)
    both = len(shown) - scores
    parts = [f"{both} of score and time"] if both and scores else []
    parts += [f"{scores} of scores alone"] if scores and len(shown) > 1 else []
    parts += ["of scores alone"] if scores and len(shown) == 1 else []
    if behind:
        parts.append(f"{behind} more {'card' if behind == 1 else 'cards'} with {SAME_STACK}")
    return f" ({', '.join(parts)})" if parts else ""


def _counted(own: Sequence[Card], level: Level) -> list[str]:
    surely = "surely " if level == "sure" else ""
    it = "it may be" if level == "open" else "it is"
    names = {
        "autoregressive": f"autoregressive is {surely}better",
        "diffusion": f"diffusion is {surely}better",
        "trade": f"{it} {surely}a trade of speed against score",
        "neither": "there is no clear winner",
        "unknown": "there is nothing to compare",
    }
    counts = {name: sum(card.winner == name for card in own) for name in names}
    return [f"{names[name]} in {count}" for name, count in counts.items() if count]


def _listed(parts: Sequence[str]) -> str:
    return ", ".join(parts[:-1]) + (" and " if len(parts) > 1 else "") + parts[-1]
