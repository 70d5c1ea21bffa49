"""What an estimator asks of the scoring core, and how it turns the answers into a number.

An estimator is a function from a `Setting` to a `Plan`. It knows mask sets and arithmetic; it
knows no model, no token and no batch. `score` runs plans; every estimator file makes them.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

Masks = NDArray[np.bool_]
"""(rows, target length); True where the target is masked. Every row masks at least one token."""
Table = NDArray[np.float64]
"""(rows, target length); s(S, i) in nats where row S masks position i, 0 elsewhere."""


@dataclass(frozen=True, kw_only=True)
class Setting:
    """What an estimator may depend on: everything about a pair but its tokens and the model."""

    length: int
    """Target tokens, at least 1."""
    samples: int
    max_enumeration: int
    seed: int
    """Pairs with one context have one seed, and so share random numbers, unless they are salted."""


@dataclass(frozen=True, kw_only=True)
class Estimate:
    """An estimator's answer; the fields mean what they mean in `api.Likelihood`."""

    value: float
    stderr: float
    exact: bool
    quantity: Literal["log_likelihood", "elbo"]
    estimator: str
    samples: int = 0


@dataclass(frozen=True, kw_only=True)
class Plan:
    """The distinct mask sets to evaluate, and the formula over their table of s(S, i)."""

    masks: Masks
    estimate: Callable[[Table], Estimate]
    read: Masks | None = None
    """(rows, target length): which masked positions the formula reads, None for all of them; the
    table is 0 elsewhere."""


Estimator = Callable[[Setting], Plan]
