"""Intervals of what runs under load measured, whose requests wait for each other.

Requests that are in flight together are not independent: one that is late makes the next one late.
So nothing here counts requests; it counts blocks of consecutive ones, and, where there are several
runs, runs, because a machine is faster in one than in the next. Pure arrays; `load_point.py` calls
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
LEAST_RUNS = 3
"""The same of runs, where there are several: an interval from two would reach over decades."""


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


def rate_interval(
    amounts: Floats, seconds: Floats, block: Blocks, run: Blocks | None = None
) -> Interval:
    """95 % interval of sum of amounts over sum of seconds: Student's t on the logarithm.

    The variance is that of a ratio of two sums over blocks (batch means; Schmeiser 1982, Oper.
    Res. 30, on few and long blocks). Unknown for fewer than `LEAST_BLOCKS`. How runs differ, by the
    same ratio of sums over runs, widens it (see `_widened`); unknown for two runs.

    Args:
        amounts: (requests,) for example visible tokens.
        seconds: (requests,) that each took up.
        block: (requests,).
        run: (requests,) the number of each one's run; None for one run, of which nobody knows how
            runs differ.
    """
    total, time = float(amounts.sum()), float(seconds.sum())
    if len(np.unique(block)) < LEAST_BLOCKS or not total > 0 or _too_few(run):
        return UNKNOWN
    pull = amounts / total - seconds / time
    half, rate = _half(*_variance(pull, block)), total / time
    within = Interval(low=rate * math.exp(-half), high=rate * math.exp(half))
    return within if run is None else _widened(within, rate, _half(*_variance(pull, run)))


def widest(found: Sequence[Interval]) -> Interval:
    """Of those that are known; unknown where none is."""
    known = [x for x in found if not math.isnan(x.low)]
    return max(known, key=lambda x: x.high - x.low, default=UNKNOWN)


def quantile_interval(
    values: Floats, level: float, *, together: int | None, run: Blocks | None = None
) -> Interval:
    """95 % interval of a quantile of seconds, by order statistics of as many as count.

    How many of the requests count is p (1 - p) over the variance of the share below the quantile,
    which blocks tell (batch means of the indicator), less what so few blocks do not know: times the
    square of the normal quantile over Student's (Korn and Graubard 1998, Survey Methodology 24).
    Where these are too few for an upper bound the interval has none: its `high` is infinite.
    Unknown where they are too few for a lower bound.

    Of several runs all of this is of seconds over their run's quantile, and blocks lie within runs;
    how the logarithms of the runs' quantiles differ widens the interval (see `_widened`).

    The quantile is that of such runs, from an idle server on, not of a queue that went on for ever.

    Args:
        values: (requests,) in the order in which they were offered, one run after the other.
        level: For example 0.9.
        together: Requests that a block has at least; None where requests are independent.
        run: (requests,) the number of each one's run; None for one run.
    """
    if run is None:
        return _of_sizes(values, level, [len(values)], together)
    if _too_few(run):
        return UNKNOWN
    parts = [values[run == number] for number in np.unique(run)]
    own, all_runs = [float(np.quantile(x, level)) for x in parts], float(np.quantile(values, level))
    if min(own) <= 0:
        return UNKNOWN
    alike = [x * (all_runs / q) for x, q in zip(parts, own, strict=True)]
    within = _of_sizes(np.concatenate(alike), level, [len(x) for x in parts], together)
    spread = float(np.var(np.log(own), ddof=1)) / len(own)
    return _widened(within, all_runs, _half(spread, len(own) - 1))


def _too_few(run: Blocks | None) -> bool:
    return run is not None and len(np.unique(run)) < LEAST_RUNS


def numbered(parts: Sequence[Blocks]) -> Blocks:
    """The blocks of several runs, no two with the same number.

    Args:
        parts: (requests,) of each run.
    """
    starts = np.cumsum([0, *(len(np.unique(part)) for part in parts)])
    return np.concatenate([part + start for part, start in zip(parts, starts, strict=False)])


def _of_sizes(values: Floats, level: float, sizes: Sequence[int], together: int | None) -> Interval:
    """Of runs of so many requests each, which are alike but for chance."""
    counted = float(len(values))
    if together is not None:
        ways = [
            numbered([blocks(size, at_least=together, most=most) for size in sizes])
            for most in (MOST_BLOCKS, FEW_BLOCKS)
        ]
        counted = min(_counted(values, level, block) for block in ways)
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
    if len(np.unique(block)) < 2:
        return 0.0
    below = (values <= np.quantile(values, level)).astype(np.float64)
    variance, degrees = _variance((below - below.mean()) / len(values), block)
    alone = float(len(values))
    found = min(alone, level * (1.0 - level) / variance) if variance > 0 else alone
    return found * (NORMAL_975 / float(stdtrit(degrees, 0.975))) ** 2


def _variance(pull: Floats, block: Blocks) -> tuple[float, int]:
    """Variance of the sum of `pull`, which its sums over blocks tell, and degrees of freedom."""
    _, own = np.unique(block, return_inverse=True)
    sums = np.bincount(own, pull)
    count = len(sums)
    return count / (count - 1) * float((sums**2).sum()), count - 1


def _half(variance: float, degrees: int) -> float:
    return float(stdtrit(degrees, 0.975)) * math.sqrt(variance)


def _widened(within: Interval, centre: float, half: float) -> Interval:
    """An interval that also knows how runs differ, which say `half` on the logarithm.

    Each end is as far away as the two together, at right angles (Zou and Donner 2008, Statistics in
    Medicine 27): each part keeps its own degrees of freedom, and three runs do not make an interval
    of thirty blocks as wide as one of three.
    """
    if math.isnan(within.low):
        return within
    below = math.hypot(max(0.0, math.log(centre / within.low)), half)
    above = math.hypot(max(0.0, math.log(within.high / centre)), half)
    return Interval(low=centre * math.exp(-below), high=centre * math.exp(above))
