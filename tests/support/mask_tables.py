"""Tables of s(S, i) over all mask sets of a short target, and estimators run on them.

No model: a table of random numbers, and the posteriors of a Markov chain with noise in the logits.
Rows go by the set's bits: row 5 masks positions 0 and 2. Row 0 masks nothing and is 0.
"""

from collections.abc import Sequence
from functools import lru_cache
from itertools import combinations, permutations
from math import comb, exp, factorial, log

import numpy as np
from numpy.typing import NDArray

from dllm_eval.likelihood.plan import Estimate, Estimator, Plan, Setting

Floats = NDArray[np.float64]
SYMBOLS = 3


def masks_of(length: int) -> NDArray[np.bool_]:
    """All of them, (2^length, length)."""
    masks: NDArray[np.bool_] = (np.arange(2**length)[:, None] >> np.arange(length)) % 2 == 1
    return masks


@lru_cache(maxsize=16)
def random_table(length: int) -> Floats:
    """Numbers of no distribution; the fewer are masked, the surer."""
    generator = np.random.default_rng(length)
    masks = masks_of(length)
    surer = 0.3 + masks.mean(axis=1, keepdims=True)
    return np.where(masks, -surer * generator.exponential(size=masks.shape), 0.0)


@lru_cache(maxsize=16)
def near_consistent_table(length: int, noise: float = 0.3) -> Floats:
    """A Markov chain's posteriors (forward-backward), with normal noise on every logit."""
    generator = np.random.default_rng(100 + length)
    start = generator.dirichlet(np.ones(SYMBOLS))
    step = generator.dirichlet(np.ones(SYMBOLS), size=SYMBOLS)
    text = [int(generator.choice(SYMBOLS, p=start))]
    for _ in range(length - 1):
        text.append(int(generator.choice(SYMBOLS, p=step[text[-1]])))
    masks = masks_of(length)
    seen = np.where(masks[:, :, None], 1.0, np.eye(SYMBOLS)[text])  # (sets, length, symbols)
    before = np.zeros_like(seen)
    after = np.ones_like(seen)
    before[:, 0] = start
    for i in range(1, length):
        before[:, i] = (before[:, i - 1] * seen[:, i - 1]) @ step
    for i in range(length - 2, -1, -1):
        after[:, i] = (seen[:, i + 1] * after[:, i + 1]) @ step.T
    joint = before * after
    logits = np.log(joint / joint.sum(axis=2, keepdims=True))
    logits += noise * generator.normal(size=logits.shape)
    logits -= np.log(np.exp(logits).sum(axis=2, keepdims=True))
    return np.where(masks, logits[:, np.arange(length), text], 0.0)


def elbo(table: Floats) -> float:
    """Set by set."""
    length, total = table.shape[1], 0.0
    for size in range(1, length + 1):
        for subset in combinations(range(length), size):
            total += sum(table[sum(2**i for i in subset)]) / size / comb(length, size)
    return total


def chain_sum(table: Floats, order: Sequence[int]) -> float:
    """The log-probability of decoding in this order."""
    left, total = set(order), 0.0
    for position in order:
        total += table[sum(2**i for i in left), position]
        left.remove(position)
    return total


def log_prob(table: Floats) -> float:
    """Of decoding in uniformly random order: the mean of the probabilities of all orders."""
    length = table.shape[1]
    chains = [chain_sum(table, order) for order in permutations(range(length))]
    return log(sum(map(exp, chains)) / factorial(length))


def plan_of(estimator: Estimator, length: int, samples: int, seed: int) -> Plan:
    """With a budget of canvases."""
    return estimator(Setting(length=length, samples=samples, max_enumeration=1, seed=seed))


def rows_of(plan: Plan, table: Floats) -> Floats:
    """What the core would answer: 0 wherever nothing is read."""
    wanted = plan.masks if plan.read is None else plan.read
    codes = plan.masks @ (1 << np.arange(table.shape[1]))
    return np.where(wanted, table[codes], 0.0)


def run(estimator: Estimator, table: Floats, samples: int, seed: int) -> Estimate:
    """The estimate of one seed."""
    plan = plan_of(estimator, table.shape[1], samples, seed)
    return plan.estimate(rows_of(plan, table))


def draws_of(estimator: Estimator, table: Floats, samples: int, seed: int) -> Floats:
    """All draws of one seed."""
    plan = plan_of(estimator, table.shape[1], samples, seed)
    if plan.sampling is None:
        raise ValueError("nothing is drawn")
    return plan.sampling.draws(rows_of(plan, table))


def standard_errors_off(values: Sequence[float] | Floats, truth: float) -> float:
    """How far the mean of independent values is from the truth, in its standard errors."""
    return float((np.mean(values) - truth) / (np.std(values, ddof=1) / len(values) ** 0.5))
