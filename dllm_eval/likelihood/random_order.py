"""Chains in random orders: the ELBO as their mean, and bounds of log p on both sides.

Knows arithmetic only, canvases are those of `orders`. The registry names its three estimators,
which read the same canvases.
"""

import numpy as np

from dllm_eval.likelihood.orders import Chains, draw_chains
from dllm_eval.likelihood.plan import Draws, Estimate, Plan, Sampling, Setting, Table
from dllm_eval.likelihood.weighted import independent

FEWEST_CHAINS = 2
FEWEST_CHAINS_FOR_UPPER = 4


def random_order(setting: Setting) -> Plan:
    """An unbiased estimate of the ELBO: the mean over random orders of the chain rule's sum.

    ELBO = E over orders of the sum over k of s({the k-th and all later ones}, the k-th) (LLaDA,
    arXiv 2502.09992, Eq. 15). A chain costs L canvases, of which all share the fully masked one:
    there are (`samples` - 1) / (L - 1) chains, but at least 2 whatever the budget, since one says
    nothing of its error. From 8 chains on they are pairs of an order and its reverse: part of what
    a token's place in the order does to it cancels, which about halved the variance on the
    reference model. Pairs, or else chains, are independent: the standard error is sd / sqrt(n).
    Where a model is consistent all orders agree, and the error is none.

    Beside it stand `importance_bound` and, from 4 chains on, `upper_bound`, of the same canvases.
    """
    chains = draw_chains(setting, FEWEST_CHAINS)

    def draws(table: Table) -> Draws:
        means: Draws = chains.values(table).mean(axis=1)
        return means

    def estimate(table: Table) -> Estimate:
        values = chains.values(table)
        stderr, degrees = _error(values.mean(axis=1), chains)
        upper = _upper(values) if values.size >= FEWEST_CHAINS_FOR_UPPER else None
        return Estimate(
            value=float(values.mean()),
            stderr=stderr,
            exact=False,
            quantity="elbo",
            estimator="random_order",
            samples=values.size,
            degrees=degrees,
            importance_bound=_log_mean_exp(values),
            upper_bound=None if upper is None else float(upper.mean()),
            upper_bound_stderr=None if upper is None else _error(upper, chains)[0],
        )

    if setting.length == 1:
        return _one_token(chains, "random_order")
    sampling = Sampling(rows_after=chains.needed, draws=draws)
    return Plan(masks=chains.masks, read=chains.read, estimate=estimate, sampling=sampling)


def _error(draws: Draws, chains: Chains) -> tuple[float, float | None]:
    """As `independent`, but equal draws of different orders are a consistent model's: no error."""
    orders = chains.orders[: len(draws) * chains.per_draw]
    equal = len(draws) > 1 and bool(np.isfinite(draws[0]) and (draws == draws[0]).all())
    if equal and bool((orders != orders[0]).any()):
        return 0.0, float(len(draws) - 1)
    return independent(draws)


def importance_bound(setting: Setting) -> Plan:
    """Log of the mean over K random orders of exp of the chain rule's sum.

    p(x) is the mean over all orders, the law of decoding one token a step in random order, so the
    expectation lies below log p by Jensen's inequality and above the ELBO, and rises to log p with
    K: the importance-weighted bound (Burda et al., arXiv 1509.00519, Theorem 1) with orders as the
    latent variable. Chains are those of `random_order`; that a pair is dependent breaks neither
    inequality.

    A draw is the bound plus its w / mean(w) - 1, with w = exp of its chains: their mean is the
    bound, their spread its error to first order (the delta method). The bound of fewer chains is
    another, lower one.
    """
    chains = draw_chains(setting, FEWEST_CHAINS)
    if setting.length == 1:
        return _one_token(chains, "importance_bound")

    def draws(table: Table) -> Draws:
        values = chains.values(table)
        bound = _log_mean_exp(values)
        if not np.isfinite(bound):
            return np.full(len(values), bound)
        around: Draws = bound + np.exp(values - bound).mean(axis=1) - 1.0
        return around

    def estimate(table: Table) -> Estimate:
        stderr, degrees = _error(draws(table), chains)
        return Estimate(
            value=_log_mean_exp(chains.values(table)),
            stderr=stderr,
            exact=False,
            quantity="importance_bound",
            estimator="importance_bound",
            samples=chains.values(table).size,
            degrees=degrees,
        )

    sampling = Sampling(rows_after=chains.needed, draws=draws)
    return Plan(masks=chains.masks, read=chains.read, estimate=estimate, sampling=sampling)


def upper_bound(setting: Setting) -> Plan:
    """An estimate, from at least 4 random orders, of a number above log p.

    log p <= p / psi - 1 + log psi for every psi > 0, with equality at psi = p (TUBE, arXiv
    2605.24292). Here psi is the mean of w = exp of the chain rule's sum over every other draw of
    `random_order`, and p is estimated by w of the rest: of expectation p, and independent of psi,
    so that the estimate's expectation is above log p. Then the two halves change places, and each
    draw has the value w / psi - 1 + log psi with the other half's psi.

    It is of use where orders differ by little. Where chains spread over nats, w has a heavy tail:
    the expectation is then far above log p, most estimates are below both, and the standard error
    is too small.
    """
    chains = draw_chains(setting, FEWEST_CHAINS_FOR_UPPER)
    if setting.length == 1:
        return _one_token(chains, "upper_bound")

    def draws(table: Table) -> Draws:
        return _upper(chains.values(table))

    def estimate(table: Table) -> Estimate:
        values = draws(table)
        stderr, degrees = _error(values, chains)
        return Estimate(
            value=float(values.mean()),
            stderr=stderr,
            exact=False,
            quantity="upper_bound",
            estimator="upper_bound",
            samples=len(values) * chains.per_draw,
            degrees=degrees,
        )

    needed = np.maximum(chains.needed, chains.needed[1])  # both halves have a draw at least
    sampling = Sampling(rows_after=needed, draws=draws)
    return Plan(masks=chains.masks, read=chains.read, estimate=estimate, sampling=sampling)


def _upper(values: Draws) -> Draws:
    """(draws,) of `upper_bound` from (draws, chains per draw); infinite where a half has p = 0."""
    halves = [_log_mean_exp(values[start::2]) for start in (0, 1)]
    log_psi = np.resize(halves[::-1], len(values))
    if not np.isfinite(log_psi).all():
        return np.full(len(values), np.inf)
    with np.errstate(over="ignore"):  # infinite is what such a bound is
        ratios = np.exp(values - log_psi[:, None]).mean(axis=1)
    upper: Draws = ratios - 1.0 + log_psi
    return upper


def _log_mean_exp(values: Draws) -> float:
    return float(np.logaddexp.reduce(values, axis=None) - np.log(values.size))


def _one_token(chains: Chains, estimator: str) -> Plan:
    """A single token has one order, and all three are its log-probability."""

    def estimate(table: Table) -> Estimate:
        return Estimate(
            value=float(table.sum()),
            stderr=0.0,
            exact=True,
            quantity="log_likelihood",
            estimator=estimator,
        )

    return Plan(masks=chains.masks, estimate=estimate)
