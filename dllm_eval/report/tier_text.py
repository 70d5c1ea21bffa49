"""Where rows ran and how hard their stacks were driven, in words.

Strings only; old records name no tier, and nothing is said of theirs. Called by everything in
`report/` that claims something against AR.
"""

from collections.abc import Iterable, Sequence

from dllm_eval.stats import tiers
from dllm_eval.stats.placement import KINDS
from dllm_eval.stats.row import Row
from dllm_eval.stats.tables import Configuration

ONLY_EAGER = "No compiled, engine or speculative AR row was run on this machine."
PLACES = {"local": "in process", "engine": "in engines", "api": "behind APIs"}
OVER_A_NETWORK = (
    "Seconds of an API or of a server that was there already hold for that network, that hour and "
    "hardware that is not known. Scores are of answers, wherever they were given, and are compared."
)


def named(x: Configuration) -> str:
    """A series with its tier, where it has one and its name does not say it already."""
    return x.series if not x.tier or x.tier in x.composition else f"{x.series} ({x.tier})"


def against(rival: Row | None, *, stack: bool = False) -> str:
    """What seconds were divided by, to end a claim with; "" where no tier is known.

    Args:
        rival: The AR row that seconds were divided by.
        stack: Whether to name its stack too, which a best-stack claim does.
    """
    if rival is None or not rival.configuration.tier:
        return ""
    x = rival.configuration
    on = f" ({x.stack})" if stack and x.stack else ""
    return f", against the fastest AR row: {x.tier}{on}"


def only_eager(rows: Iterable[Row], machine: str) -> str:
    """Says so where a machine's AR rows, on any of its stacks, are plain ones alone; else ""."""
    told = [
        row.configuration.tier
        for row in rows
        if row.configuration.kind == "autoregressive" and row.configuration.machine == machine
    ]
    return ONLY_EAGER if tiers.eager_alone(told) else ""


def shown(rows: Iterable[Row]) -> bool:
    """Whether the leaderboard has a column for the tier."""
    return tiers.beyond_plain(row.configuration.tier for row in rows)


def kinds_of_places(configurations: Sequence[Configuration]) -> list[str]:
    """Of what kinds of places rows are, in words: "in process", "in engines", "behind APIs"."""
    found = {x.placement.kind for x in configurations}
    return [PLACES[kind] for kind in KINDS if kind in found]
