"""Chains whose draws are given numbers, and a race among them without a model."""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from dllm_eval.likelihood.chain import Chain
from dllm_eval.likelihood.config import LikelihoodConfig
from dllm_eval.likelihood.core import Scored
from dllm_eval.likelihood.pair import Pair
from dllm_eval.likelihood.plan import Estimate, Plan, Sampling, Table
from dllm_eval.likelihood.question import Question
from dllm_eval.likelihood.race import first_round, going_on, next_round

Values = NDArray[np.float64]


def unread(num_draws: int) -> Chain:
    """One that takes one row per draw; with no draws, one row for an exact value."""
    sampling = Sampling(rows_after=np.arange(1, num_draws + 1), draws=lambda table: table[:, 0])
    plan = Plan(
        masks=np.ones((max(1, num_draws), 1), dtype=np.bool_),
        estimate=_mean if num_draws else _exact,
        sampling=sampling if num_draws else None,
    )
    pair = Pair(token_ids=np.zeros(2, dtype=np.int64), target_length=1)
    return Chain(parts=[pair], plans=[plan], group=0, question=0)


def read(chain: Chain, values: Values) -> None:
    """The chain gets so many further rows."""
    chain.receive([Scored(table=values[:, None], nfe=len(values), positions=0)])


def drawn(values: Sequence[float] | Values, of: int = 0) -> Chain:
    """One that has made these draws, of as many or more."""
    chain = unread(max(of, len(values)))
    read(chain, np.asarray(values, dtype=np.float64))
    return chain


def exact(value: float) -> Chain:
    """One without noise."""
    chain = unread(0)
    read(chain, np.array([value]))
    return chain


def raced(
    choices: Sequence[Values], config: LikelihoodConfig, divisors: tuple[float, ...] | None = None
) -> list[Chain]:
    """The chains of one question after its race; a choice of no draws has the value 0."""
    chains = [unread(len(values)) for values in choices]
    question = Question(pairs=tuple(range(len(chains))), divisors=divisors)
    wanted = [first_round(chain, config) for chain in chains]
    going = [True] * len(chains)
    while any(going):
        for index, chain in enumerate(chains):
            if going[index]:
                have = chain.num_draws
                rows = choices[index][have : wanted[index]] if chain.most_draws else np.zeros(1)
                read(chain, rows)
        going = going_on(question, chains, config)
        wanted = [next_round(chain) for chain in chains]
    return chains


def answer(chains: Sequence[Chain], divisors: tuple[float, ...] | None = None) -> int:
    """The first of the highest values."""
    values = np.array([chain.estimate().value for chain in chains])
    return int((values / np.array(divisors or 1.0)).argmax())


def _mean(table: Table) -> Estimate:
    values = table[:, 0]
    spread = values.std(ddof=1) if len(values) > 1 and np.isfinite(values).all() else np.inf
    return Estimate(
        value=float(values.mean()),
        stderr=float(spread) / len(values) ** 0.5,
        exact=False,
        quantity="elbo",
        estimator="given",
        samples=len(values),
    )


def _exact(table: Table) -> Estimate:
    value = float(table[0, 0])
    return Estimate(value=value, stderr=0.0, exact=True, quantity="elbo", estimator="given")
