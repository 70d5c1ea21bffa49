"""Timed repetitions of one batch, after untimed ones for every new shape.

Knows the clock and nothing of what it times. `base.py` calls it.
"""

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Generic, TypeVar

import torch

from dllm_eval.measure.clock import Timer

Result = TypeVar("Result")

LENGTH_GRAIN = 64


def rounded(length: int) -> int:
    """A length as a shape counts it: up to the next multiple of `LENGTH_GRAIN`."""
    return -(-length // LENGTH_GRAIN) * LENGTH_GRAIN


@dataclass(frozen=True, kw_only=True)
class Timed(Generic[Result]):
    """What a batch gave, and the seconds of every repetition."""

    result: Result
    seconds: list[float]
    cpu_seconds: list[float]
    """What this process computed in each; empty where another device did the work."""


@dataclass(kw_only=True)
class Stopwatch:
    """Times batches on one device."""

    device: torch.device
    warmup: int
    repeats: int
    compiled: Callable[[], int] | None = None
    """How many shapes have been compiled by now; None where nothing is. A batch during which it
    grew is timed anew, so that no second of a record has compiling in it."""
    _warm: set[tuple[str, int, int]] = field(default_factory=set)

    def time(
        self, run: Callable[[], Result], *, kind: str, batch_size: int, length: int
    ) -> Timed[Result]:
        """Runs a batch `repeats` times; before that `warmup` times if its shape is new.

        Args:
            run: Token ids in, token ids out; the same every time.
            kind: What is run, so that shapes of different work are kept apart.
            batch_size: Requests in the batch.
            length: Positions of its longest request.
        """
        shape = (kind, batch_size, rounded(length))
        if shape not in self._warm:
            for _ in range(self.warmup):
                run()
            self._warm.add(shape)
        while True:
            before = self._num_compiled()
            timed = self._timed(run)
            if self._num_compiled() == before:
                return timed

    def _timed(self, run: Callable[[], Result]) -> Timed[Result]:
        timers = [Timer(self.device) for _ in range(self.repeats)]
        results = []
        for timer in timers:
            with timer:
                results.append(run())
        return Timed(
            result=results[-1],
            seconds=[timer.seconds for timer in timers],
            cpu_seconds=[t.cpu_seconds for t in timers if t.cpu_seconds is not None],
        )

    def _num_compiled(self) -> int:
        return 0 if self.compiled is None else self.compiled()
