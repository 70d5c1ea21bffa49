"""Replicates of p50 latencies: requests are resampled, and rounds shift all of them together.

Every setting is timed on the same requests in the same rounds, so a replicate draws the same ones
for all of them: a ratio of two settings then has no noise of theirs. Pure arrays; called by
`points.py` and `compare.py`.
"""

import math
from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray

from dllm_eval.stats.resample import Floats, median_replicates
from dllm_eval.stats.rounds import NO_ROUNDS, RoundSpread, median_variance

PAIRED = 256
"""Timed requests up to which resamples are drawn one by one; beyond, medians are drawn from their
exact distribution, each setting's alone, as so many requests leave little noise."""

MOST_SHIFT = 300.0
"""Of the logarithm of seconds: e to this is far beyond any clock, and quotients of two such numbers
still are numbers."""


class LatencyDraws:
    """Replicates of one suite's p50 latencies, paired over requests.

    Args:
        spreads: How rounds differ, by machine and stack.
        replicates: How many.
        generator: Of all draws.
    """

    def __init__(
        self,
        spreads: Mapping[str, RoundSpread],
        *,
        replicates: int,
        generator: np.random.Generator,
    ) -> None:
        self._spreads = spreads
        self._replicates = replicates
        self._generator = generator
        self._picks: dict[int, NDArray[np.int64]] = {}
        self._common: dict[str, Floats] = {}

    def of(self, seconds: Floats, *, num_rounds: int, group: str) -> Floats:
        """(replicates,) of the median over units of their median over rounds.

        The rounds' part is Student's t on the logarithm, with the spreads' degrees of freedom; its
        common part is the same for all settings of a machine. NaN for fewer than two units: one
        says nothing about their spread; and for two rounds, whose one difference says next to
        nothing of theirs.

        Args:
            seconds: (units,) medians over rounds; settings with equally many have the same units.
            num_rounds: How many rounds these are medians of.
            group: Machine and stack.
        """
        drawn = self._medians(seconds)
        spread = self._spreads.get(group, NO_ROUNDS)
        if num_rounds == 0:
            return drawn
        if spread.too_few:
            return np.full(self._replicates, np.nan)
        shift = np.zeros(self._replicates)
        if spread.common_degrees:
            shift += self._common_of(group, spread)
        if spread.own_degrees:
            own = self._generator.standard_t(spread.own_degrees, size=self._replicates)
            shift += own * spread.own
        # Student's t has long tails: ratios of what no double holds would be no numbers.
        shift = np.clip(shift * math.sqrt(median_variance(num_rounds)), -MOST_SHIFT, MOST_SHIFT)
        shifted: Floats = drawn * np.exp(shift)
        return shifted

    def _common_of(self, group: str, spread: RoundSpread) -> Floats:
        """What a replicate's rounds do to all settings of a machine and stack."""
        if group not in self._common:
            drawn = self._generator.standard_t(spread.common_degrees, size=self._replicates)
            self._common[group] = drawn * spread.common
        return self._common[group]

    def _medians(self, seconds: Floats) -> Floats:
        count = len(seconds)
        if not 2 <= count <= PAIRED:
            return median_replicates(
                seconds, replicates=self._replicates, generator=self._generator
            )
        if count not in self._picks:
            shape = self._replicates, count
            self._picks[count] = self._generator.integers(count, size=shape)
        medians: Floats = np.median(seconds[self._picks[count]], axis=1)
        return medians
