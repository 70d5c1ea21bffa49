"""Ticks of a logarithmic axis that have room, and are never one alone.

Knows matplotlib's locators and no number of ours. Called by the figures.
"""

from matplotlib.axis import Axis
from matplotlib.ticker import LogLocator, MaxNLocator, NullLocator

NEAR = 4.0
"""Of values whose largest is within this factor of the smallest, powers of ten may have no tick."""


def set_log_ticks(axis: Axis, spread: float) -> None:
    """Ticks for values within a factor of two, or over a thousand.

    Args:
        axis: Logarithmic.
        spread: The largest value on it over the smallest.
    """
    if spread < NEAR:
        axis.set_major_locator(MaxNLocator(4, steps=[1, 2, 5, 10]))
        axis.set_minor_locator(NullLocator())
    else:
        subs = (1.0,) if spread > 60 else (1.0, 2.0, 5.0)
        axis.set_major_locator(LogLocator(base=10, subs=subs))
