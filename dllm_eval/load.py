"""An offered load: how many requests are in flight, or at what rate they arrive.

Pure data and a seeded draw; knows no model and no clock. A sweep plans loads, adapters offer them.
"""

import random
from dataclasses import dataclass
from itertools import accumulate
from typing import Literal

from dllm_eval.errors import UsageError

StoppedBy = Literal["requests", "time", "documents"]
"""Why nothing more was offered: enough requests, enough seconds, or no request was left."""


@dataclass(frozen=True, kw_only=True)
class Load:
    """What a model or server is offered, bounded in time and requests.

    Exactly one of `in_flight` and `arrivals_per_s` is given.
    """

    in_flight: int | None = None
    """Closed loop: so many requests at any time, the next as soon as one is answered."""
    arrivals_per_s: float | None = None
    """Open loop: requests arrive as a Poisson process of this mean rate, whatever is unanswered."""
    seconds: float
    """Nothing is offered later than this after the beginning."""
    requests: int
    """Nothing is offered after so many."""
    warmup: int = 0
    """Rounds of answers before the beginning that leave no record."""
    seed: int = 0
    """Of the arrivals, together with the round."""
    round: int = 0
    """Which pass over all load cells this is, from 0; 0 in folders of older versions."""

    def __post_init__(self) -> None:
        if (self.in_flight is None) == (self.arrivals_per_s is None):
            raise UsageError("a load is either in_flight or arrivals_per_s")

    @property
    def words(self) -> str:
        """A few, for labels: "4 in flight" or "2 arrivals/s"."""
        if self.in_flight is not None:
            return f"{self.in_flight} in flight"
        return f"{self.arrivals_per_s:g} arrivals/s"

    @property
    def longest_s(self) -> float:
        """How long requests are offered, at most; of arrivals on average, where that is less."""
        if self.arrivals_per_s is None:
            return self.seconds
        return min(self.seconds, self.requests / self.arrivals_per_s)

    def arrivals_s(self) -> list[float] | None:
        """When each request arrives, from the beginning; None for a closed loop."""
        if self.arrivals_per_s is None:
            return None
        # Seeds of a sweep follow each other, so a round added to one would be another seed's.
        draw = random.Random(f"{self.seed}, round {self.round}" if self.round else self.seed)
        gaps = (draw.expovariate(self.arrivals_per_s) for _ in range(self.requests))
        return [at for at in accumulate(gaps) if at <= self.seconds]

    def stopped_by(self, offered: int, asked: int) -> StoppedBy:
        """Why nothing more was offered.

        Args:
            offered: How many requests were.
            asked: How many there were to offer.
        """
        if offered >= self.requests:
            return "requests"
        return "documents" if offered >= asked else "time"
