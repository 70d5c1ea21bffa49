"""How much the rounds of a timing differ.

A machine is a little faster or slower in one round than in the next, for every request alike, and
no resampling of requests can see that. Pure arrays; called by `latency_draws.py`.
"""

import math
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np

from dllm_eval.stats.resample import Floats


@dataclass(frozen=True, kw_only=True)
class RoundSpread:
    """How much rounds differ, as standard deviations of the logarithm of seconds.

    Degrees of freedom of 0 say that a part is not known, and its deviation is 0.
    """

    common: float
    """Of what a round does to all settings alike, which no ratio of two settings sees."""
    common_degrees: int
    own: float
    """Of what it does to one setting besides."""
    own_degrees: int

    @property
    def too_few(self) -> bool:
        """Whether there were two rounds, whose one difference bounds no interval.

        Student's t of one degree of freedom is Cauchy's distribution, which has no spread.
        """
        return 1 in (self.common_degrees, self.own_degrees)

    @property
    def deviation(self) -> float:
        """Of both together, for seconds that are compared with a number."""
        return math.hypot(self.common, self.own)

    @property
    def degrees(self) -> int:
        """Of freedom of `deviation`, by Satterthwaite (1946), rounded down; 0 for unknown."""
        parts = ((self.common, self.common_degrees), (self.own, self.own_degrees))
        share = sum(deviation**4 / count for deviation, count in parts if count)
        if share == 0.0:
            return self.own_degrees
        return max(1, math.floor(self.deviation**4 / share))


NO_ROUNDS = RoundSpread(common=0.0, common_degrees=0, own=0.0, own_degrees=0)


def round_spread(rounds_s: Iterable[Floats]) -> RoundSpread:
    """The spread of several settings, which were timed on one machine in the same rounds.

    A two-way analysis of variance without repetition. A handful of rounds of one setting would say
    very little about their spread; all settings of a machine together do. A setting whose rounds
    differ more than the others' is therefore given too narrow an interval, one whose rounds differ
    less too wide a one.

    Args:
        rounds_s: (units, rounds) seconds of each setting, NaN where a round left out a unit; the
            settings of the most frequent number of rounds are taken.
    """
    effects = [x for x in map(_effects, rounds_s) if len(x) > 1]
    if not effects:
        return NO_ROUNDS
    ((usual, _),) = Counter(len(x) for x in effects).most_common(1)
    table = np.array([x - x.mean() for x in effects if len(x) == usual])  # (settings, rounds)
    settings = len(table)
    if settings == 1:
        own = float((table**2).sum()) / (usual - 1)
        return RoundSpread(common=0.0, common_degrees=0, own=math.sqrt(own), own_degrees=usual - 1)
    shared = table.mean(axis=0)
    degrees = (settings - 1) * (usual - 1)
    own = float(((table - shared) ** 2).sum()) / degrees
    common = float((shared**2).sum()) / (usual - 1) - own / settings
    return RoundSpread(
        common=math.sqrt(max(common, 0.0)),
        common_degrees=usual - 1,
        own=math.sqrt(own),
        own_degrees=degrees,
    )


def _effects(seconds: Floats) -> Floats:
    """(rounds,) median over units of the log seconds less those of the unit's median round."""
    if seconds.size == 0:
        return np.empty(0)
    seconds = seconds[:, ~np.isnan(seconds).all(axis=0)]
    seconds = seconds[(~np.isnan(seconds)).sum(axis=1) == seconds.shape[1]]
    if seconds.size == 0 or bool((seconds <= 0).any()):
        return np.empty(0)
    relative = np.log(seconds) - np.log(np.median(seconds, axis=1, keepdims=True))
    effects: Floats = np.median(relative, axis=0)
    return effects


def median_variance(count: int) -> float:
    """Variance of the median of so many standard normals, right within 2 %.

    pi / (2 n) for many; the terms added make it 0.449 for three, 0.298 for four, 0.287 for five.
    """
    if count <= 2:
        return 1.0 / max(count, 1)
    return math.pi / (2 * count + (1.0 if count % 2 else 2.5))


def spreads(
    rounds_s: Sequence[Floats], groups: Sequence[str], *, left_out: frozenset[int]
) -> dict[str, RoundSpread]:
    """Machine and stack -> the spread of its rounds; settings in `left_out` say nothing of it."""
    out = {}
    for group in set(groups):
        own = [x for i, x in enumerate(rounds_s) if groups[i] == group and i not in left_out]
        out[group] = round_spread(own)
    return out
