"""What is asked of a setting to deploy: a latency budget, a quality floor, or both.

Plain data and the one parser of a floor. Called by `recommendation.py` and the command line.
"""

import math
import re
from dataclasses import dataclass

import numpy as np

from dllm_eval.errors import UsageError
from dllm_eval.stats.resample import Floats

FEWEST = {50: 2, 90: 10, 99: 1000}
"""Percentile of the seconds -> timed units it takes to speak of it."""
_SHARE = re.compile(r"(\d+(?:\.\d+)?)(\s*%)?")
_RELATIVE = re.compile(r"ar\s*-\s*(\d+(?:\.\d+)?)\s*pt", re.IGNORECASE)


@dataclass(frozen=True, kw_only=True)
class Floor:
    """The least quality allowed."""

    share: float
    """Of 1; where `below_autoregressive`, how far below the AR row it may be."""
    below_autoregressive: bool = False


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


def parse_floor(written: str) -> Floor:
    """A floor as a user writes it: `0.9`, `90%`, or `ar-2pt` for two points below the AR model.

    Raises:
        UsageError: It is none of these, or no share of 1.
    """
    relative, absolute = _RELATIVE.fullmatch(written.strip()), _SHARE.fullmatch(written.strip())
    if relative is not None:
        return Floor(share=float(relative[1]) / 100, below_autoregressive=True)
    if absolute is not None:
        share = float(absolute[1]) / (100 if absolute[2] else 1)
        if 0 < share <= 1:
            return Floor(share=share)
    raise UsageError(
        f"--quality-floor is {written!r}; accepted: a share such as 0.9, a percentage such as 90%, "
        f"or points below the autoregressive model such as ar-2pt"
    )


def percentile_of(seconds: Floats, percentile: int) -> Floats:
    """A percentile along the last axis: the median, else a value that was measured (nearest rank).

    Args:
        seconds: (..., units) without NaN, at least one unit.
        percentile: Between 0 and 100.
    """
    if percentile == 50:
        return np.asarray(np.median(seconds, axis=-1))
    return np.asarray(np.quantile(seconds, percentile / 100, axis=-1, method="inverted_cdf"))
