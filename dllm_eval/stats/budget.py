"""What is asked of a setting to deploy: a latency budget, a quality floor, or both.

Plain data and the one parser of a floor. Called by `recommendation.py` and the command line.
"""

import math
import re
from dataclasses import dataclass, replace

import numpy as np

from dllm_eval.errors import UsageError
from dllm_eval.stats.resample import Floats
from dllm_eval.stats.scale import Scale

FEWEST = {50: 2, 90: 10, 99: 1000}
"""Percentile of the seconds -> timed units it takes to speak of it."""
_ACCEPTED = (
    "a share such as 0.9, a percentage such as 90%, points below the autoregressive model such as "
    "ar-2pt, or the most that a metric may be which is better where it is lower, such as 4"
)
_SHARE = re.compile(r"(\d+(?:\.\d+)?)(\s*%)?")
_RELATIVE = re.compile(r"ar\s*-\s*(\d+(?:\.\d+)?)\s*pt", re.IGNORECASE)


@dataclass(frozen=True, kw_only=True)
class Floor:
    """The least quality allowed."""

    share: float
    """Of 1; where `below_autoregressive`, how far below the AR row it may be; where `plain` and not
    yet `on`, the number as it was written; where `as_quality`, a quality."""
    below_autoregressive: bool = False
    plain: bool = False
    """Whether it was written as a bare number, which may be the metric's own."""
    as_quality: bool = False
    """Whether it is a quality of a metric that is better where it is lower."""

    def on(self, scale: Scale) -> "Floor":
        """The floor on a metric's scale.

        Args:
            scale: Of the suite that it is asked of.

        Raises:
            UsageError: A percentage of a metric that is no share, or a share above 1.
        """
        if self.below_autoregressive:
            return self
        if not scale.lower_is_better:
            if self.share <= 1:
                return self
            raise UsageError(f"--quality-floor is {self.share:g}; accepted: {_ACCEPTED}")
        if not self.plain:
            raise UsageError(
                f"--quality-floor is {100 * self.share:g}%, and this suite's metric is better "
                "where it is lower; accepted: the most it may be, such as 4, or how far the "
                "autoregressive model may be better, such as ar-5pt"
            )
        quality = float(scale.quality(np.array([self.share]))[0])
        return replace(self, share=quality, as_quality=True)


@dataclass(frozen=True, kw_only=True)
class Budget:
    """What a setting has to meet; at least one of the two bounds is there."""

    latency_s: float | None = None
    """The most seconds per request, or per question, one at a time."""
    floor: Floor | None = None
    percentile: int = 50
    """Of the seconds, one of `FEWEST`."""

    def __post_init__(self) -> None:
        if self.latency_s is None and self.floor is None:
            raise UsageError("say what is asked for: --latency-ms X, --quality-floor Q, or both")
        if self.latency_s is not None and not 0 < self.latency_s < math.inf:
            raise UsageError(
                f"--latency-ms is {1000 * self.latency_s:g}; accepted: milliseconds above 0"
            )
        if self.percentile not in FEWEST:
            accepted = ", ".join(map(str, FEWEST))
            raise UsageError(f"--percentile is {self.percentile}; accepted: {accepted}")

    def on(self, scale: Scale) -> "Budget":
        """The same with its floor on a metric's scale.

        Raises:
            UsageError: As `Floor.on`.
        """
        return self if self.floor is None else replace(self, floor=self.floor.on(scale))


def parse_floor(written: str) -> Floor:
    """A floor as a user writes it: `0.9`, `90%`, or `ar-2pt` for two points below the AR model.

    A bare number may be above 1, which `Floor.on` takes for the most of a metric that is better
    where it is lower.

    Raises:
        UsageError: It is none of these.
    """
    relative, absolute = _RELATIVE.fullmatch(written.strip()), _SHARE.fullmatch(written.strip())
    if relative is not None:
        return Floor(share=float(relative[1]) / 100, below_autoregressive=True)
    if absolute is not None:
        plain = not absolute[2]
        share = float(absolute[1]) / (1 if plain else 100)
        if share > 0 and (plain or share <= 1):
            return Floor(share=share, plain=plain)
    raise UsageError(f"--quality-floor is {written!r}; accepted: {_ACCEPTED}")


def percentile_of(seconds: Floats, percentile: int) -> Floats:
    """A percentile along the last axis: the median, else a value that was measured (nearest rank).

    Args:
        seconds: (..., units) without NaN, at least one unit.
        percentile: Between 0 and 100.
    """
    if percentile == 50:
        return np.asarray(np.median(seconds, axis=-1))
    return np.asarray(np.quantile(seconds, percentile / 100, axis=-1, method="inverted_cdf"))
