"""Made-up suites whose truth is known, as tables that the statistics take for measured ones.

Knows the table's fields; no statistic. Used by `coverage.py` and by its test.
"""

from dataclasses import dataclass, field
from functools import cached_property

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from dllm_eval.stats.configuration import Configuration
from dllm_eval.stats.tables import TaskTable
from dllm_eval.stats.texts import FrameTexts

Floats = NDArray[np.float64]

STEPS = (1, 2, 4, 8, 16, 32)


@dataclass(frozen=True, kw_only=True)
class World:
    """True quality and p50 seconds of several diffusion settings and, last, one AR model."""

    quality: tuple[float, ...]
    latency_s: tuple[float, ...]
    documents: int
    units: int = 24
    """Timed requests."""
    rounds: int = 3
    alike: float = 0.5
    """Share of documents whose difficulty is the same for all settings."""
    request_spread: float = 0.2
    """Standard deviation of the logarithm of seconds between requests."""
    round_spread: float = 0.02
    """The same between rounds; half the variance is common to all settings."""
    chance: float = 0.0
    requests: pd.DataFrame = field(
        default_factory=lambda: pd.DataFrame({"cell_id": pd.Series(dtype=str)})
    )

    @cached_property
    def configurations(self) -> tuple[Configuration, ...]:
        """Settings of one model by steps, then the AR model, all on one machine."""
        last = len(self.quality) - 1
        return tuple(
            Configuration(
                config_id=str(i),
                model="ar" if i == last else "diffusion",
                series="ar" if i == last else "diffusion",
                kind="autoregressive" if i == last else "diffusion",
                dial="" if i == last else "steps",
                dial_value=np.nan if i == last else float(STEPS[i % len(STEPS)]),
                settings={},
                machine="made up",
                stack="",
                quality_cells=(),
                latency_cells=(),
                provenance={},
            )
            for i in range(len(self.quality))
        )

    def scores(self, generator: np.random.Generator) -> Floats:
        """(settings, documents) of 0 and 1."""
        shared = generator.random(self.documents)
        own = generator.random((len(self.quality), self.documents))
        alike = generator.random(own.shape) < self.alike
        right = np.where(alike, shared, own) < np.array(self.quality)[:, None]
        return right.astype(np.float64)

    def seconds(self, generator: np.random.Generator) -> list[Floats]:
        """(units, rounds) of each setting."""
        requests = generator.normal(0.0, self.request_spread, (self.units, 1))
        out = []
        half = self.round_spread / np.sqrt(2.0)
        common = generator.normal(0.0, half, (1, self.rounds))
        for median in self.latency_s:
            rounds = common + generator.normal(0.0, half, (1, self.rounds))
            rest = generator.normal(0.0, 0.02, (self.units, self.rounds))
            out.append(median * np.exp(requests + rounds + rest))
        return out

    def table(self, generator: np.random.Generator) -> TaskTable:
        """One measurement of this world."""
        seconds = self.seconds(generator)
        return TaskTable(
            task="made up",
            suite="made up",
            protocol="",
            metric="acc",
            filter="none",
            chance=self.chance,
            configurations=self.configurations,
            documents=tuple(("made up", i) for i in range(self.documents)),
            quality=self.scores(generator),
            unit="request",
            latencies_s=tuple(np.median(x, axis=1) for x in seconds),
            requests=self.requests,
            texts=FrameTexts(self.requests),
            gold={},
            rounds_s=tuple(seconds),
        )
