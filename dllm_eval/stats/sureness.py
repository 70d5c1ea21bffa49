"""How sure it is that a setting meets a budget, and that none that does is preferable.

Paired resamples of documents and of timed requests, shifted as rounds of timing shift, and held
back by exact bounds where there are few of them. Pure arrays; called by `recommendation.py`.
"""

import numpy as np
from scipy.stats import binom

from dllm_eval.stats.budget import percentile_of
from dllm_eval.stats.candidates import Candidates
from dllm_eval.stats.chooser import SLACK, Chooser, good_enough, in_time
from dllm_eval.stats.distance import p_above
from dllm_eval.stats.paired import TOLERANCE, t_test
from dllm_eval.stats.resample import Floats, document_weights, mean_replicates

_BLOCK = 2_000_000
"""Resampled seconds held at a time."""


class Sureness:
    """Resamples of candidates, against the budget.

    Args:
        chooser: Candidates and budget.
        generator: Of the resamples.
        replicates: How many.
    """

    def __init__(
        self, chooser: Chooser, *, generator: np.random.Generator, replicates: int
    ) -> None:
        candidates, budget = chooser.candidates, chooser.budget
        self._chooser = chooser
        count = candidates.quality.shape[1]
        weights = document_weights(count, replicates=replicates, generator=generator)
        self._quality = mean_replicates(candidates.quality, weights)  # (replicates, candidates)
        self._shifts = _shifts(candidates, generator, replicates)
        drawn = _seconds(candidates, budget.percentile, generator, replicates)
        self._seconds = drawn * self._shifts  # (replicates, candidates)
        floor = self._floor(weights)
        good = good_enough(self._quality, floor[:, None])
        self._meets = good & in_time(self._seconds, budget.latency_s)

    def _floor(self, weights: Floats) -> Floats:
        asked, rival = self._chooser.budget.floor, self._chooser.candidates.autoregressive
        if asked is None:
            return np.full(len(weights), np.nan)
        if not asked.below_autoregressive or rival is None:
            return np.full(len(weights), asked.share)
        replicates: Floats = mean_replicates(rival[None], weights)[:, 0] - asked.share
        return replicates

    def p_meets(self, i: int) -> float:
        """The share of resamples in which a candidate meets the budget.

        No more than what the exact tests leave: a resample of ten requests never draws one that is
        slower than all ten, and resamples of documents without a loss have none. NaN where seconds
        are asked for and their rounds are too few.
        """
        if self._chooser.candidates.rounds_too_few and self._chooser.budget.latency_s is not None:
            return float("nan")
        share = float(self._meets[:, i].mean())
        return min(share, self._in_time(i), self._good_enough(i))

    def p_best(self, i: int) -> float:
        """The share of resamples in which it meets the budget and no other is preferable.

        Another that meets it is preferable if it is better by more than a point; without a latency
        budget, if it is faster. NaN where rounds of timing are too few, and where the machine was
        busy.
        """
        if self._chooser.candidates.rounds_too_few or self._chooser.candidates.busy:
            return float("nan")
        if self._chooser.by_quality:
            rivals = np.where(self._meets, self._quality, -np.inf).max(axis=1)
            unbeaten = self._quality[:, i] >= rivals - TOLERANCE - SLACK
        else:
            rivals = np.where(self._meets, self._seconds, np.inf).min(axis=1)
            unbeaten = self._seconds[:, i] <= rivals
        return min(float((self._meets[:, i] & unbeaten).mean()), self.p_meets(i))

    def _in_time(self, i: int) -> float:
        """1 - p of the exact binomial test that the percentile lies within the latency budget.

        The mean of it over what rounds may shift the seconds by.
        """
        budget = self._chooser.budget
        if budget.latency_s is None:
            return 1.0
        seconds = np.sort(self._chooser.candidates.seconds[i])
        limits = budget.latency_s / self._shifts[:, i]
        within = np.searchsorted(seconds, limits, side="right")
        p_values = binom.sf(within - 1, len(seconds), budget.percentile / 100)
        return 1.0 - float(np.mean(p_values))

    def _good_enough(self, i: int) -> float:
        """1 - p of the test that the quality is above the floor.

        That of `distance.p_above`, of scores that are no shares Student's t.
        """
        asked, candidates = self._chooser.budget.floor, self._chooser.candidates
        if asked is None or candidates.rows[i] == candidates.autoregressive_row:
            return 1.0
        scores, rival = candidates.quality[i], candidates.autoregressive
        if asked.as_quality:
            return 1.0 - t_test(scores[~np.isnan(scores)], asked.share)
        if not asked.below_autoregressive or rival is None:
            return 1.0 - p_above(scores[~np.isnan(scores)], asked.share, lowest=0.0)
        gaps = scores - rival
        known = gaps[~np.isnan(gaps)]
        if not candidates.shares:
            return 1.0 - t_test(known, -asked.share)
        return 1.0 - p_above(known, -asked.share, lowest=-1.0)


def _seconds(
    candidates: Candidates, percentile: int, generator: np.random.Generator, replicates: int
) -> Floats:
    """(replicates, candidates) percentiles of resampled units.

    Candidates with equally many units were timed on the same requests in the same order, so that
    they share their draws, which pairs them.
    """
    out = np.full((replicates, len(candidates.seconds)), np.nan)
    for units in sorted({len(x) for x in candidates.seconds}):
        own = [i for i, x in enumerate(candidates.seconds) if len(x) == units]
        size = max(1, _BLOCK // units)
        for start in range(0, replicates, size):
            rows = slice(start, min(start + size, replicates))
            drawn = generator.integers(units, size=(rows.stop - rows.start, units))
            for i in own:
                out[rows, i] = percentile_of(candidates.seconds[i][drawn], percentile)
    return out


def _shifts(candidates: Candidates, generator: np.random.Generator, replicates: int) -> Floats:
    """(replicates, candidates) factors on the seconds, as `rounds.latency_replicates` has them."""
    count = len(candidates.rows)
    if candidates.round_degrees == 0 or candidates.rounds_too_few:
        return np.ones((replicates, count))
    drawn = generator.standard_t(candidates.round_degrees, size=(replicates, count))
    return np.exp(drawn * candidates.round_spread)
