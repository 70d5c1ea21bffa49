"""What an estimator asks of the scoring core, and how it turns the answers into a number.

An estimator is a function from a `Setting` to a `Plan`. It knows mask sets and arithmetic; it
knows no model, no token and no batch. `score` runs plans; every estimator file makes them.
"""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from dllm_eval.api import Quantity

Masks = NDArray[np.bool_]
"""(rows, target length); True where the target is masked. Every row masks at least one token."""
Table = NDArray[np.float64]
"""(rows, target length); s(S, i) in nats where row S masks position i, 0 elsewhere."""
Draws = NDArray[np.float64]
"""(draws,) values whose mean is an estimate."""


@dataclass(frozen=True, kw_only=True)
class Setting:
    """What an estimator may depend on: everything about a pair but its tokens and the model."""

    length: int
    """Target tokens, at least 1."""
    samples: int
    """Masked canvases an estimator may ask for."""
    max_enumeration: int
    seed: int
    """Pairs with one context have one seed, and so share random numbers, unless they are salted."""
    raced: bool = False
    """Whether a race may stop the draws early."""


@dataclass(frozen=True, kw_only=True)
class Estimate:
    """An estimator's answer; the fields mean what they mean in `api.Likelihood`."""

    value: float
    stderr: float
    exact: bool
    quantity: Quantity
    estimator: str
    samples: int = 0
    degrees: float | None = None
    importance_bound: float | None = None
    upper_bound: float | None = None
    upper_bound_stderr: float | None = None


@dataclass(frozen=True, kw_only=True)
class Sampling:
    """How an estimate grows with its draws, so that a race may stop it early.

    Draws of two plans with one seed are paired: draw j of both uses the same random numbers.
    """

    rows_after: NDArray[np.int64]
    """(draws,), ascending: how many of the plan's first rows the first 1, 2, ... draws need."""
    draws: Callable[[Table], Draws]
    """The values of the draws that the first rows of the table complete, at least one. Each alone
    has the estimate's value as its expectation."""


@dataclass(frozen=True, kw_only=True)
class Plan:
    """The distinct mask sets to evaluate, and the formula over their table of s(S, i)."""

    masks: Masks
    estimate: Callable[[Table], Estimate]
    """From the whole table or, where there is sampling, the first rows of it."""
    sampling: Sampling | None = None
    """None where nothing is random."""
    read: Masks | None = None
    """(rows, target length): which masked positions the formula reads, None for all of them; the
    table is 0 elsewhere."""


Estimator = Callable[[Setting], Plan]
