"""What a point's fill may claim of it: on the frontier, beaten, or compared with nothing.

Seconds of a busy machine and bounds beside exact values are beaten by nobody. Knows no figure;
`frontier_figure.py` and `payload.py` call it.
"""

from typing import Literal

from dllm_eval.stats.row import Row

Standing = Literal["frontier", "beaten", "open"]


def standing(row: Row) -> Standing:
    """How a timed row stands among the other series of its machine and stack.

    Returns:
        "open" where nothing may be said: it was timed on a busy machine, or its score is a bound,
        or no likelihood, of a likelihood metric, and another series' is better.
    """
    if row.busy:
        return "open"
    if row.on_frontier:
        return "frontier"
    loose = row.likelihood in ("bound", "neither") and row.on_own_frontier
    return "open" if loose else "beaten"


def faded(row: Row) -> bool:
    """Whether another setting of its own series beats it, by seconds that may be compared."""
    return not row.on_own_frontier and not row.busy
