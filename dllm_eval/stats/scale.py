"""What a metric's numbers mean: which way is better, how documents add up, how they are shown.

The one place that knows of "lower is better". All statistics are computed on *quality*: a number of
which more is better and of which a plain mean over documents is the suite's score. Shares are their
own quality; a perplexity's is minus its logarithm. Called by `tables.py`, which makes qualities of
scores, by `sweep/` before and after a cell is run, and by whoever shows a quality.
"""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np

from dllm_eval.stats.resample import Flags, Floats, Interval

Kind = Literal["share", "perplexity", "bits", "lower"]

PERPLEXITIES = ("word_perplexity", "byte_perplexity", "perplexity")
BITS = "bits_per_byte"
UNKNOWN = "–"


@dataclass(frozen=True, kw_only=True)
class Scale:
    """Of one metric."""

    kind: Kind = "share"

    @property
    def lower_is_better(self) -> bool:
        """Whether the metric's own numbers are better where they are lower."""
        return self.kind != "share"

    @property
    def of_likelihood(self) -> bool:
        """Whether it is a function of log p alone, so that bounds of log p are bounds of it."""
        return self.kind in ("perplexity", "bits")

    def quality(self, values: Floats) -> Floats:
        """What statistics are computed on, of the metric's own numbers.

        Minus the natural logarithm of a perplexity, so that a hundredth is 1 % of it; minus bits
        per byte and minus any other number that is better where it is lower.
        """
        if self.kind == "share":
            return values
        out: Floats = -np.log(values) if self.kind == "perplexity" else -values
        return out

    def value(self, quality: float) -> float:
        """The metric's own number, of a quality."""
        if self.kind == "share":
            return quality
        return math.exp(-quality) if self.kind == "perplexity" else -quality + 0.0

    def value_stderr(self, quality: float, stderr: float) -> float:
        """The standard error of the metric's own number, of a quality's (the delta method)."""
        return stderr * self.value(quality) if self.kind == "perplexity" else stderr

    def bounds(self, interval: Interval) -> Interval:
        """An interval of the metric's own numbers, of one of qualities; the lower end first."""
        ends = [self.value(end) for end in (interval.low, interval.high)]
        return Interval(low=min(ends), high=max(ends)) if not math.isnan(sum(ends)) else interval

    def floor(self, chance: float) -> float:
        """The quality of a suite's level of chance; minus infinity where it states none.

        Nobody guesses a perplexity, so 0, which a spec says without being asked, is no level of
        chance where lower is better.
        """
        if self.kind == "share":
            return chance
        return float(self.quality(np.array([chance]))[0]) if chance > 0 else -math.inf

    def text(self, quality: float) -> str:
        """A quality as people read it: "84.0 %", or the metric's own number: "12.3"."""
        if math.isnan(quality):
            return UNKNOWN
        if self.kind == "share":
            return f"{round(100 * quality, 1) + 0.0:.1f} %"
        return _figures(self.value(quality), self._digits)

    def span(self, interval: Interval) -> str:
        """An interval likewise, its lower end first: "76.0 to 90.1"."""
        if math.isnan(interval.low):
            return UNKNOWN
        if self.kind == "share":
            low, high = (round(100 * end, 1) + 0.0 for end in (interval.low, interval.high))
            return f"{low:.1f} to {high:.1f}"
        own = self.bounds(interval)
        return f"{_figures(own.low, self._digits)} to {_figures(own.high, self._digits)}"

    @property
    def _digits(self) -> int:
        return 3 if self.kind == "lower" else 4

    @property
    def remark(self) -> str:
        """What a reader must know of its numbers; "" of shares."""
        if self.kind == "perplexity":
            return (
                "Lower is better, and figures have the best on top. A point is 1 % of the "
                "perplexity: 0.01 of its natural logarithm, on which differences and intervals are "
                "computed; points above another setting are points better."
            )
        if self.kind == "bits":
            return (
                "Lower is better, and figures have the best on top. A point is 0.01 bits per byte; "
                "points above another setting are points better."
            )
        if self.kind == "lower":
            return (
                "Lower is better, and figures have the best on top. A point is 0.01 of the "
                "metric's own unit; points above another setting are points better."
            )
        return ""


SHARE = Scale()


def scale_of(metric: str, *, lower_is_better: bool = False) -> Scale:
    """That of a metric.

    Args:
        metric: Its name in lm-eval.
        lower_is_better: Whether its task says so (`higher_is_better: false`); the names in
            `PERPLEXITIES` and `BITS` say so themselves.
    """
    if metric in PERPLEXITIES:
        return Scale(kind="perplexity")
    if metric == BITS:
        return Scale(kind="bits")
    return Scale(kind="lower") if lower_is_better else SHARE


def lower_in(facts: Mapping[str, Any], metric: str) -> bool:
    """Whether the tasks that a cell ran say that lower is better, by its provenance.

    Args:
        facts: Task -> what `sweep.tasks.task_facts` kept of it.
        metric: Its name in lm-eval.
    """
    told = [(fact.get("higher_is_better") or {}).get(metric) for fact in facts.values()]
    return False in told


def weighted(quality: Floats, weights: Floats) -> Floats:
    """(documents,) numbers whose plain mean is the weighted mean of the qualities.

    lm-eval's perplexities weigh documents by their words or bytes: sum(w q) / sum(w), a ratio of
    two means over documents. These are its linearisation, m + w (q - m) / mean(w) with m the
    weighted mean, whose mean is m and whose spread is that of the ratio (the delta method; Cochran,
    Sampling Techniques, 1977, chapter 6), so that whatever resamples or compares documents needs to
    know of no weight.

    Args:
        quality: (documents,) NaN where not scored.
        weights: (documents,) positive where scored.
    """
    known: Flags = ~np.isnan(quality)
    if not known.any():
        return quality
    own, weight = quality[known], weights[known]
    mean = float((weight * own).sum() / weight.sum())
    out = np.full(quality.shape, np.nan)
    out[known] = mean + weight * (own - mean) / weight.mean()
    return out


def _figures(value: float, digits: int) -> str:
    if not math.isfinite(value):
        return UNKNOWN
    if value == 0:
        return "0"
    after = max(digits - 1 - math.floor(math.log10(abs(value))), 0)
    return f"{value:.{after}f}"
