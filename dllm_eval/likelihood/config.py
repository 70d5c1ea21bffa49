"""The settings of likelihood scoring, checked where they are made.

Knows the names of the estimators and nothing else. Callers: adapters, `score`, users.
"""

from dataclasses import dataclass
from math import isfinite
from typing import Literal, get_args

from dllm_eval.errors import UsageError, unknown
from dllm_eval.registry import ESTIMATORS
from dllm_eval.samplers.config import SamplerConfig

MOST_RACE_ERROR = 0.5

MOST_SAMPLES = 2**20
"""A plan of more would not fit into memory for long targets."""

TargetEnd = Literal["none", "eos"]
RaceBy = Literal["both", "sum", "normalised"]

ENUMERATION_LIMIT = 16
"""The longest target whose mask sets are ever enumerated: 65535 of them."""


@dataclass(frozen=True, kw_only=True)
class LikelihoodConfig:
    """How (context, target) pairs are scored.

    Raises:
        UsageError: A name that is no estimator, or a number out of range.
    """

    estimator: str = "auto"
    """A name in `registry.ESTIMATORS`."""
    samples: int = 128
    """Masked canvases that an estimator may ask for, per pair; where attention goes by blocks, per
    block of it."""
    seed: int = 0
    tokens_per_forward: int = 8192
    """Positions per forward pass, padding included; at least one masked canvas always runs. Changes
    the speed and not the result."""
    max_enumeration: int = 6
    """`auto` enumerates targets of up to this many tokens where their 2^length - 1 mask sets are
    within `samples`: no error."""
    check_greedy: bool = False
    """Whether to find out if greedy decoding gives the target: up to one forward per token more."""
    race: float = 0.0
    """The error rate at which choices of a question that cannot win are no longer sampled: a bound,
    for every question, of the chance that the full number of samples would have given another
    answer; on the average question that is far rarer. 0 samples all."""
    race_by: RaceBy = "both"
    """Which answer must be safe: by the highest sum, by the highest value per character
    (normalised), or both."""
    policy: SamplerConfig | None = None
    """The sampler whose likelihood estimator "policy" gives."""
    target_end: TargetEnd = "none"
    """What lies behind the target. "eos" is Dream's published convention (DreamLM/Dream fac0a7f2,
    eval/eval.py): the end-of-text id, visible in every canvas, never masked and not scored."""

    def __post_init__(self) -> None:
        if self.estimator not in ESTIMATORS:
            raise unknown("likelihood estimator", self.estimator, ESTIMATORS)
        for name in ("samples", "tokens_per_forward", "max_enumeration"):
            _require_at_least_one(name, getattr(self, name))
        if self.target_end not in get_args(TargetEnd):
            raise unknown("target_end", self.target_end, get_args(TargetEnd))
        if self.race_by not in get_args(RaceBy):
            raise unknown("race_by", self.race_by, get_args(RaceBy))
        if self.samples > MOST_SAMPLES:
            raise UsageError(f"samples is {self.samples}; accepted: 1 to {MOST_SAMPLES}")
        if not _is_number(self.race) or not 0 <= self.race < MOST_RACE_ERROR:
            raise UsageError(f"race is {self.race!r}; accepted: 0 (off) to below {MOST_RACE_ERROR}")
        if self.max_enumeration > ENUMERATION_LIMIT:
            raise UsageError(
                f"max_enumeration is {self.max_enumeration}, i.e. 2^{self.max_enumeration} forwards"
                f" for one target; accepted: 1 to {ENUMERATION_LIMIT}"
            )


def _is_number(value: object) -> bool:
    return isinstance(value, int | float) and isfinite(value)


def _require_at_least_one(name: str, value: object) -> None:
    if isinstance(value, bool) or not isinstance(value, int) or value < 1:
        raise UsageError(f"{name} is {value!r}; accepted: a whole number of at least 1")
