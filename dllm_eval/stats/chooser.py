"""The rule by which a setting is chosen under a budget, for any part of the documents.

Pure arrays, no resampling: `recommendation.py` applies it to all documents and to halves of them,
`sureness.py` asks how sure its parts are.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np

from dllm_eval.errors import UsageError
from dllm_eval.stats.budget import Budget, percentile_of
from dllm_eval.stats.candidates import Candidates, Indices, mean_over
from dllm_eval.stats.paired import LEVEL, TOLERANCE, sign_test, t_test
from dllm_eval.stats.resample import Flags, Floats

SLACK = 1e-9
"""Far below any difference of quality: 1 - 0.02 is not quite 0.98 in floating point."""


@dataclass(frozen=True, kw_only=True, eq=False)
class Chooser:
    """A budget applied to candidates; every index is a candidate's."""

    candidates: Candidates
    budget: Budget

    def __post_init__(self) -> None:
        floor = self.budget.floor
        if floor is None:
            return
        if floor.below_autoregressive and self.candidates.autoregressive is None:
            raise UsageError(
                "a quality floor below the autoregressive model needs one in this suite, and none "
                "was run; give a share such as 0.9 or 90%"
            )
        own = floor.below_autoregressive or floor.as_quality
        if not own and not self.candidates.shares:
            raise UsageError(
                "a quality floor that is a share needs scores between 0 and 1, and this suite has "
                "others; say how far below the autoregressive model, such as ar-2pt"
            )

    @cached_property
    def seconds(self) -> Floats:
        """(candidates,) at the percentile asked for."""
        found = [percentile_of(x, self.budget.percentile) for x in self.candidates.seconds]
        return np.array(found, dtype=np.float64)

    @property
    def by_quality(self) -> bool:
        """Whether quality decides among those that qualify; else speed does."""
        return self.budget.latency_s is not None

    def floor(self, documents: Indices) -> float:
        """The least quality allowed on these documents; NaN where none was asked for."""
        asked, rival = self.budget.floor, self.candidates.autoregressive
        if asked is None:
            return float("nan")
        if not asked.below_autoregressive or rival is None:
            return asked.share
        return float(mean_over(rival[documents])) - asked.share

    def fast(self) -> Flags:
        """(candidates,) whether the seconds are within the budget."""
        return in_time(self.seconds, self.budget.latency_s)

    def meeting(self, documents: Indices) -> list[int]:
        """Those that meet the budget on these documents."""
        means = self.candidates.means(documents)
        good = good_enough(means, np.float64(self.floor(documents)))
        return [int(i) for i in np.flatnonzero(self.fast() & good & ~np.isnan(means))]

    def best(self, documents: Indices, among: Sequence[int]) -> int:
        """The highest quality, or without a latency budget the fastest; the cheapest of equals."""
        means = self.candidates.means(documents)

        def rank(i: int) -> tuple[float, ...]:
            first = -round(float(means[i]), 9) if self.by_quality else float(self.seconds[i])
            return first, *self._cost(i)

        return min(among, key=rank)

    def choice(self, documents: Indices, among: Sequence[int]) -> int:
        """The best, or what is cheaper and within a point of it and not separable from it."""
        best = self.best(documents, among)
        if not self.by_quality:
            return best
        scores = self.candidates.quality[:, documents]
        means = self.candidates.means(documents)

        def tied(i: int) -> bool:
            gaps = scores[best] - scores[i]
            near = bool(means[i] >= means[best] - TOLERANCE - SLACK)
            known = gaps[~np.isnan(gaps)]
            p = sign_test(known) if self.candidates.shares else t_test(known, 0.0)
            return near and p > LEVEL

        return min([best, *filter(tied, among)], key=self._cost)

    def ranked(self, documents: Indices, *, depth: int = 2) -> list[int]:
        """The choice, then the choice among the rest, and so on; empty where nothing qualifies."""
        left = self.meeting(documents)
        order: list[int] = []
        while left and len(order) < depth:
            order.append(self.choice(documents, left))
            left.remove(order[-1])
        return order

    def nearest(self, documents: Indices) -> list[int]:
        """Where nothing qualifies: the fastest that is good enough, the best that is fast enough.

        With one bound alone, what comes nearest to it.
        """
        means = self.candidates.means(documents)
        good = good_enough(means, np.float64(self.floor(documents)))
        every = [i for i in range(len(means)) if not np.isnan(means[i])]
        ways: list[int] = []
        if self.budget.latency_s is not None:
            pool = [i for i in every if good[i]]
            ways += [min(pool, key=lambda i: float(self.seconds[i]))] if pool else []
        if self.budget.floor is not None:
            pool = [i for i in every if self.fast()[i]]
            ways += [max(pool, key=lambda i: float(means[i]))] if pool else []
        return list(dict.fromkeys(ways))

    def _cost(self, i: int) -> tuple[float, ...]:
        """Positions, forwards, a server's dollars, then seconds."""
        return *map(float, self.candidates.cost[i]), float(self.seconds[i])


def good_enough(quality: Floats, floor: Floats | np.float64) -> Flags:
    """Whether a quality reaches a floor; NaN is no floor."""
    found: Flags = np.isnan(floor) | (quality >= floor - SLACK)
    return found


def in_time(seconds: Floats, latency_s: float | None) -> Flags:
    """Whether seconds are within the budget; None is no budget."""
    limit = np.inf if latency_s is None else latency_s
    found: Flags = seconds <= limit
    return found
