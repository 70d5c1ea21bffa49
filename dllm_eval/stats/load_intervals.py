"""Intervals of what one run under load measured, whose requests wait for each other.

Requests that are in flight together are not independent: one that is late makes the next one late.
So nothing here counts requests; it counts blocks of consecutive ones. Pure arrays; `load.py` calls
it, and benchmarks/_coverage_load.py says how often the intervals hold the truth.
"""

import math
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray
from scipy.special import stdtrit
from scipy.stats import binom

from dllm_eval.stats.resample import NORMAL_975, UNKNOWN, Floats, Interval

Blocks = NDArray[np.int64]
"""(requests,) the number of each request's block."""
MOST_BLOCKS = 10
FEW_BLOCKS = 5
"""Longer blocks see longer waits, fewer of them say less about the spread; whichever of two lengths
of blocks gives the wider interval is taken."""
LEAST_BLOCKS = 3
"""Of a rate: two say next to nothing of how they spread."""


def blocks(count: int, *, at_least: int, most: int) -> Blocks:
    """Consecutive requests, in the order in which they were offered, as blocks of equal length.

    Args:
        count: Requests.
        at_least: Requests of a block, and what its length is a multiple of: as many as are in
            flight together.
        most: Blocks; what is left over joins the last one.
    """
    size = at_least * max(1, math.ceil(count / (most * at_least)))
    return np.minimum(np.arange(count) // size, max(0, count // size - 1))


def rate_interval(amounts: Floats, seconds: Floats, block: Blocks) -> Interval:
    """95 % interval of sum of amounts over sum of seconds: Student's t on the logarithm.

    The variance is that of a ratio of two sums over blocks (batch means; Schmeiser 1982, Oper.
    Res. 30, on few and long blocks). Unknown for fewer than `LEAST_BLOCKS`.

    Args:
        amounts: (requests,) for example visible tokens.
        seconds: (requests,) that each took up.
        block: (requests,).
    """
    top, bottom = np.bincount(block, amounts), np.bincount(block, seconds)
    count = len(top)
    if count < LEAST_BLOCKS or not top.sum() > 0:
        return UNKNOWN
    pull = top / top.sum() - bottom / bottom.sum()
    stderr = math.sqrt(count / (count - 1) * float((pull**2).sum()))
    half = float(stdtrit(count - 1, 0.975)) * stderr
    rate = float(top.sum() / bottom.sum())
    return Interval(low=rate * math.exp(-half), high=rate * math.exp(half))


def widest(found: Sequence[Interval]) -> Interval:
    """Of those that are known; unknown where none is."""
    known = [x for x in found if not math.isnan(x.low)]
    return max(known, key=lambda x: x.high - x.low, default=UNKNOWN)


def quantile_interval(values: Floats, level: float, *, together: int | None) -> Interval:
    """95 % interval of a quantile of seconds, by order statistics of as many as count.

    How many of the requests count is p (1 - p) over the variance of the share below the quantile,
    which blocks tell (batch means of the indicator), less what so few blocks do not know: times the
    square of the normal quantile over Student's (Korn and Graubard 1998, Survey Methodology 24).
    Where these are too few for an upper bound the interval has none: its `high` is infinite.
    Unknown where they are too few for a lower bound.

    The quantile is that of such runs, from an idle server on, not of a queue that went on for ever.

    Args:
        values: (requests,) in the order in which they were offered.
        level: For example 0.9.
        together: Requests that a block has at least; None where requests are independent.
    """
    counted = float(len(values))
    if together is not None:
        counted = min(
            (_counted(values, level, blocks(len(values), at_least=together, most=most)))
            for most in (MOST_BLOCKS, FEW_BLOCKS)
        )
    number = int(counted)
    low = int(binom.ppf(0.025, number, level)) if number else 0
    if low < 1:
        return UNKNOWN
    high = int(binom.ppf(0.975, number, level)) + 1
    ordered, scale = np.sort(values), (len(values) + 1) / (number + 1)
    upper = math.inf if high > number else float(ordered[_rank(math.ceil(high * scale), ordered)])
    return Interval(low=float(ordered[_rank(math.floor(low * scale), ordered)]), high=upper)


def _rank(number: int, ordered: Floats) -> int:
    return min(max(number, 1), len(ordered)) - 1


def _counted(values: Floats, level: float, block: Blocks) -> float:
    """How many independent requests would know the share below the quantile as well."""
    sizes = np.bincount(block)
    count = len(sizes)
    if count < 2:
        return 0.0
    below = (values <= np.quantile(values, level)).astype(np.float64)
    pull = (np.bincount(block, below) - sizes * below.mean()) / len(values)
    variance = count / (count - 1) * float((pull**2).sum())
    alone = float(len(values))
    found = min(alone, level * (1.0 - level) / variance) if variance > 0 else alone
    return found * (NORMAL_975 / float(stdtrit(count - 1, 0.975))) ** 2
