"""How the cells of each purpose are run: the sections `quality`, `latency` and `load` of a sweep.

Knows no model and no suite. `spec.Sweep` holds one of each.
"""

from typing import Annotated

from pydantic import BaseModel, Field, field_validator, model_validator

from dllm_eval.load import Load
from dllm_eval.sweep.spec_values import STRICT, Real, SpecError


class _Strict(BaseModel):
    model_config = STRICT


class QualitySpec(_Strict):
    """How quality cells run."""

    batch_size: int = Field(default=16, ge=1)


class LatencySpec(_Strict):
    """How latency cells run, with the machine to themselves."""

    enabled: bool = True
    batch_sizes: list[Annotated[int, Field(ge=1)]] = Field(default=[1], min_length=1)
    """Requests that share the forward passes. Seconds per request are read at 1; the others say
    what a loaded machine answers in a second."""
    requests: int = Field(default=10, ge=1)
    """Documents timed in each task, at least; a batch size above its half takes more."""
    rounds: int = Field(default=3, ge=1)
    """Passes over all settings, each in another order; a request's seconds are the median over
    them, so that a slow minute of the machine does not stick to one setting."""
    repeats: int = Field(default=1, ge=1)
    """Times each request is run in a round; its seconds there are the median."""
    warmup: int = Field(default=3, ge=0)
    """Full generations before the first one timed."""
    min_seconds: Real = Field(default=10.0, ge=0, allow_inf_nan=False)
    """Repeats go up until a setting has measured for this long, over its rounds."""
    threads: int | None = Field(default=None, ge=1)
    """CPU threads while timing; None takes all cores. Small models are fastest, and timings
    steadiest, on one."""

    @field_validator("batch_sizes")
    @classmethod
    def _each_once(cls, sizes: list[int]) -> list[int]:
        _check_each_once(sizes)
        return sizes

    def timed_documents(self, batch_size: int, limit: int | None) -> int:
        """Documents timed at a batch size: two full batches at least, as far as there are any.

        Args:
            batch_size: Requests that share the forward passes.
            limit: The suite's.
        """
        wanted = self.requests if batch_size == 1 else max(self.requests, 2 * batch_size)
        return min(wanted, limit or wanted)

    def relaxed_at(self, requests: int) -> bool:
        """Whether timing so many documents this way is less than the measuring rules ask for."""
        return requests < 10 or self.warmup < 3 or self.min_seconds < 10


def too_few_rounds(latency: LatencySpec) -> list[str]:
    """One line where timings will have no confidences, or too narrow intervals; else none."""
    if not latency.enabled or latency.rounds > 2:
        return []
    if latency.rounds == 2:
        return [
            "warning: latency.rounds is 2, too few for any confidence about seconds: reports and "
            "recommend leave those out; set it to 3 or more"
        ]
    return [
        "warning: latency.rounds is 1, so intervals of seconds are over requests alone: how runs "
        "differ is not known; set it to 3 or more"
    ]


def _check_each_once(values: list[int] | list[float]) -> None:
    for number, value in enumerate(values):
        if value in values[:number]:
            raise SpecError(f"{value:g} stands there twice; keep one of them", number)


class LoadSpec(_Strict):
    """What models are offered, and for how long: one load cell for every value of the two lists."""

    in_flight: list[Annotated[int, Field(ge=1)]] = []
    """Closed loops: so many requests at any time. Models of ours decode them in batches of up to
    so many."""
    arrivals_per_s: list[Annotated[Real, Field(gt=0, allow_inf_nan=False)]] = []
    """Poisson arrivals of these mean rates, whatever is unanswered."""
    seconds: Real = Field(default=30.0, gt=0, allow_inf_nan=False)
    """Nothing is offered later than this; what is open then is answered still."""
    requests: int = Field(default=64, ge=1)
    """Nothing is offered after so many. No document is asked twice, so a suite may have fewer."""
    rounds: int = Field(default=3, ge=1)
    """Passes over all settings under all loads, each in another order and with other arrivals:
    without a second one nobody knows how runs differ."""
    most_in_batch: int = Field(default=16, ge=1)
    """Under arrivals, models of ours decode up to so many waiting requests together. A server
    makes batches of its own."""
    warmup: int = Field(default=1, ge=0)
    """Times that a full batch, and under arrivals a single request too, is answered beforehand."""

    @field_validator("in_flight", "arrivals_per_s")
    @classmethod
    def _each_once(cls, values: list[int] | list[float]) -> list[int] | list[float]:
        _check_each_once(values)
        return values

    @model_validator(mode="after")
    def _something(self) -> "LoadSpec":
        if not self.in_flight and not self.arrivals_per_s:
            raise SpecError("it names no load; write in_flight: [1, 4] or arrivals_per_s: [0.5, 2]")
        return self

    def loads(self, seed: int, turn: int) -> list[tuple[Load, int]]:
        """Every load of a round with the most requests that share a batch, closed loops first.

        Args:
            seed: Of the arrivals, together with the round.
            turn: The round.
        """
        closed = [(self._load(seed, turn, in_flight=number), number) for number in self.in_flight]
        return closed + [
            (self._load(seed, turn, arrivals_per_s=rate), self.most_in_batch)
            for rate in self.arrivals_per_s
        ]

    def _load(
        self,
        seed: int,
        turn: int,
        *,
        in_flight: int | None = None,
        arrivals_per_s: float | None = None,
    ) -> Load:
        return Load(
            in_flight=in_flight,
            arrivals_per_s=arrivals_per_s,
            seconds=self.seconds,
            requests=self.requests,
            warmup=self.warmup,
            seed=seed,
            round=turn,
        )
