"""Plans that draw mask sets of stratified sizes, each compared with what a few fixed ones say.

Knows mask sets and weights only. `monte_carlo`, `control_variate` and `end_strata` are made here;
they differ in which sets are fixed, which sizes are drawn, and in the control.
"""

from collections.abc import Callable
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from dllm_eval.likelihood.draws import (
    completed,
    effective_degrees,
    in_order_of_use,
    rows_after,
    spread_order,
    stderr_of_mean,
    stratified_counts,
    uniform_subsets,
)
from dllm_eval.likelihood.plan import Draws, Estimate, Masks, Plan, Sampling, Setting, Table

Terms = NDArray[np.float64]
"""(target length,)"""
Control = Callable[[Table], tuple[Terms, Terms]]
"""From the fixed rows' table: what s(S, i) is compared with where S is a single position and where
it is all of them. In between it goes linearly with the size of S."""


def stratified(
    setting: Setting,
    *,
    num_draws: int,
    sizes: range,
    fixed: Masks,
    control: Control,
    estimator: str,
) -> Plan:
    """An unbiased estimate of the ELBO from `num_draws` sets, of sizes uniform on `sizes`.

    With e and c the control's two ends, h(l, i) = c_i + (L - l) / (L - 1) * (e_i - c_i), and n the
    number of sizes, a draw of size l has the value

        sum over i of (c_i + e_i) / 2  +  (n / l) * sum over i in S of (s(S, i) - h(l, i)).

    Let g(l) be the mean over sets of size l of (L / l) * sum over i in S of s(S, i): the mean of
    g(l) over l = 1..L is the ELBO. Each i is in S with probability l / L, so a draw's expectation
    is sum (c + e) / 2 + sum over drawn sizes of (g(l) - sum over i of h(l, i)) / L. As h(l, i) is
    (c_i + e_i) / 2 on average over l = 1..L, that is the ELBO wherever g(l) is the sum over i of
    h(l, i) at every size that is not drawn. The caller sees to that.

    Args:
        setting: Its length and seed are read.
        num_draws: Drawn sets; repeats are evaluated once.
        sizes: Those that are drawn, not empty.
        fixed: (rows, length), evaluated first.
        control: See `Control`.
        estimator: The name in the record.
    """
    length = setting.length
    strata, subsets, inverse = _drawn(setting, num_draws, sizes)
    needed = rows_after(inverse, fixed=len(fixed))
    weights = len(sizes) / subsets.sum(axis=1)

    def draws(table: Table) -> Draws:
        done = completed(needed, len(table))
        one, every = control(table[: len(fixed)])
        known = float((one + every).sum()) / 2
        if not np.isfinite(known):
            return np.full(done, -np.inf)
        gains = _gains(table[len(fixed) :], subsets, one, every)
        values: Draws = known + (weights[: len(gains)] * gains)[inverse[:done]]
        return values

    def estimate(table: Table) -> Estimate:
        # Where the control is infinite, so is the estimate, whatever is drawn.
        # So it is where there is but one mask set.
        sure = length == 1 or not np.isfinite(np.sum(control(table[: len(fixed)])))
        found = _mean(draws(table), strata, estimator)
        return replace(
            found, stderr=0.0 if sure else found.stderr, samples=found.samples + len(fixed)
        )

    return Plan(
        masks=np.concatenate([fixed, subsets]),
        estimate=estimate,
        sampling=Sampling(rows_after=needed, draws=draws),
    )


def _drawn(
    setting: Setting, num_draws: int, sizes: range
) -> tuple[NDArray[np.int64], Masks, NDArray[np.int64]]:
    """The stratum of each draw, the different sets in order of use, and the set of each draw."""
    generator = np.random.default_rng(setting.seed)
    # The sizes' numbers come first: pairs that differ in length still share them.
    strata = spread_order(num_draws, generator.random())
    drawn = stratified_counts(len(sizes), generator.random(num_draws))[strata] + sizes.start - 1
    subsets, inverse = in_order_of_use(uniform_subsets(drawn, setting.length, generator))
    return strata, subsets, inverse


def _gains(rows: Table, subsets: Masks, one: Terms, every: Terms) -> Terms:
    """(rows,) the sums of s(S, i) - h(l, i) over S, of the first sets."""
    masked, length = subsets[: len(rows)], subsets.shape[1]
    away = (length - masked.sum(axis=1, keepdims=True)) / max(length - 1, 1)
    gains: Terms = np.where(masked, rows - every - away * (one - every), 0.0).sum(axis=1)
    return gains


def _mean(values: Draws, strata: NDArray[np.int64], estimator: str) -> Estimate:
    in_order = values[strata[: len(values)].argsort()]
    return Estimate(
        value=float(values.mean()),
        stderr=stderr_of_mean(in_order),
        exact=False,
        quantity="elbo",
        estimator=estimator,
        samples=len(values),
        degrees=effective_degrees(in_order),
    )
