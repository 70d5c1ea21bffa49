"""A race leaves out draws, seldom changes the answer, and says how seldom at most."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from math import ceil

import numpy as np
import pytest
from drawn_chains import answer, drawn, exact, raced
from numpy.typing import NDArray
from scipy import stats

from dllm_eval.likelihood import LikelihoodConfig
from dllm_eval.likelihood.question import Question
from dllm_eval.likelihood.race import first_round, going_on, next_round

Values = NDArray[np.float64]
Law = Callable[[np.random.Generator, tuple[int, ...]], Values]


def normal(generator: np.random.Generator, shape: tuple[int, ...]) -> Values:
    return generator.normal(size=shape)


def very_skewed(generator: np.random.Generator, shape: tuple[int, ...]) -> Values:
    """Variance 1, skewness -6.2."""
    draws = np.exp(generator.normal(size=shape) - 0.5)
    values: Values = (1.0 - draws) / np.sqrt(np.exp(1.0) - 1)
    return values


def heavy(generator: np.random.Generator, shape: tuple[int, ...]) -> Values:
    values: Values = generator.standard_t(3, size=shape) / 3**0.5
    return values


def skewed(generator: np.random.Generator, shape: tuple[int, ...]) -> Values:
    """Variance 1, skewness -1.75: a few draws are far below."""
    width = 0.5
    draws = np.exp(width * generator.normal(size=shape) - width**2 / 2)
    values: Values = (1.0 - draws) / np.sqrt(np.exp(width**2) - 1)
    return values


@dataclass(frozen=True, kw_only=True)
class Regime:
    """Gaps between the means, shared and own noise."""

    gap: float
    sd: float
    law: Law = normal
    correlation: float = 0.0
    unequal: bool = False
    choices: int = 4
    draws: int = 128

    def questions(self, count: int) -> list[Values]:
        """(choices, draws) each."""
        generator = np.random.default_rng(17)
        return [self._question(generator) for _ in range(count)]

    def _question(self, generator: np.random.Generator) -> Values:
        factors = generator.normal(size=(self.choices, 1))
        scale: Values = self.sd * np.exp(factors if self.unequal else 0.0 * factors)
        shared = self.correlation**0.5 * self.law(generator, (1, self.draws))
        own = (1 - self.correlation) ** 0.5 * self.law(generator, (self.choices, self.draws))
        values: Values = self.gap * generator.normal(size=(self.choices, 1)) + scale * (
            shared + own
        )
        return values


def wrong(some: Sequence[Values], config: LikelihoodConfig) -> int:
    """How many answers the race changes."""
    full = [int(values.mean(axis=1).argmax()) for values in some]
    return sum(
        answer(raced(list(values), config)) != right
        for values, right in zip(some, full, strict=True)
    )


REGIMES = {
    "easy": Regime(gap=8.0, sd=3.0),
    "usual": Regime(gap=4.0, sd=4.5, correlation=0.25),
    "noisy ties": Regime(gap=0.5, sd=10.0),
    "exact ties": Regime(gap=0.0, sd=3.0),
    "two tied": Regime(gap=0.0, sd=3.0, choices=2),
    "ten choices": Regime(gap=1.0, sd=4.0, choices=10),
    "much in common": Regime(gap=1.0, sd=10.0, correlation=0.9),
    "heavy tails": Regime(gap=0.5, sd=4.0, law=heavy, unequal=True),
    "skewed": Regime(gap=0.5, sd=4.0, law=skewed, unequal=True),
    "very skewed": Regime(gap=0.5, sd=4.0, law=very_skewed, unequal=True),
    "few draws": Regime(gap=0.5, sd=4.0, unequal=True, draws=12),
}


@pytest.mark.parametrize("regime", REGIMES)
def test_the_answer_changes_at_most_at_the_stated_rate(regime: str) -> None:
    some = REGIMES[regime].questions(30 if regime == "ten choices" else 90)
    changed = wrong(some, LikelihoodConfig(race=0.05))
    assert stats.binomtest(changed, len(some), 0.05, alternative="greater").pvalue > 0.001


@pytest.mark.slow
@pytest.mark.parametrize("race", [0.005, 0.05])
@pytest.mark.parametrize("regime", REGIMES)
def test_the_stated_rate_over_many_questions(regime: str, race: float) -> None:
    some = REGIMES[regime].questions(1000)
    changed = wrong(some, LikelihoodConfig(race=race))
    assert stats.binomtest(changed, len(some), race, alternative="greater").pvalue > 0.001


def test_a_clear_answer_costs_a_fraction_of_the_draws() -> None:
    some = Regime(gap=8.0, sd=3.0).questions(40)
    draws = sum(
        chain.num_draws
        for values in some
        for chain in raced(list(values), LikelihoodConfig(race=0.05))
    )
    assert draws < 40 * 4 * 128 / 5


def test_without_a_race_every_draw_is_made() -> None:
    (values,) = Regime(gap=8.0, sd=3.0).questions(1)
    assert [chain.num_draws for chain in raced(list(values), LikelihoodConfig())] == [128] * 4


def beaten_slowly(values: Values, num_draws: int, race: float) -> list[bool]:
    """The rule of the module's docstring in plain loops, for choices with equally many draws."""
    choices, of = values.shape
    out = []
    for i in range(choices):
        found = False
        for j in range(choices):
            differences = [values[j][k] - values[i][k] for k in range(num_draws)]
            middle = sum(differences) / num_draws
            differences.append(middle - 2 * (middle - min(differences)))
            mean = sum(differences) / (num_draws + 1)
            squares = sum((d - mean) ** 2 for d in differences) / num_draws
            spread = (squares * (1 / (num_draws + 1) - 1 / (of + 1))) ** 0.5
            if j == i or mean <= 0:
                continue
            tail = stats.t.sf(mean / spread, num_draws - 1)
            found |= bool(tail <= race / (choices - 1) * num_draws / of * (1 - 1 / 1.25))
        out.append(found)
    return out


@pytest.mark.parametrize("num_draws", [8, 22, 100])
def test_who_goes_on_is_who_the_formula_leaves(num_draws: int) -> None:
    config, question = LikelihoodConfig(race=0.02), Question(pairs=(0, 1, 2, 3))
    dropped = 0
    for values in Regime(gap=3.0, sd=3.0, correlation=0.3).questions(60):
        chains = [drawn(own[:num_draws], of=128) for own in values]
        beaten = beaten_slowly(values, num_draws, 0.02)
        decided = beaten.count(False) == 1
        assert going_on(question, chains, config) == [not (one or decided) for one in beaten]
        dropped += sum(beaten)
    assert 0 < dropped < 180


def test_rounds_grow_by_the_factor_that_the_error_is_spent_by() -> None:
    chain = drawn([0.0] * 8, of=128)
    assert first_round(chain, LikelihoodConfig(race=0.01)) == 8
    assert first_round(chain, LikelihoodConfig()) == 128
    looks = [8]
    while looks[-1] < 128:
        looks.append(next_round(drawn([0.0] * looks[-1], of=128)))
        assert looks[-1] == min(128, ceil(1.25 * looks[-2]))
    spent = [later * (1 - 1 / 1.25) / 128 for later in looks[:-1]]
    assert sum(spent) <= 1


@pytest.mark.parametrize(("most", "first"), [(1, 1), (3, 3), (8, 8), (9, 4), (40, 8), (1024, 8)])
def test_the_first_round_is_small_but_not_tiny(most: int, first: int) -> None:
    # At most 8 rows are read at once, whatever the draws.
    assert first_round(drawn([0.0], of=most), LikelihoodConfig(race=0.01)) == first


def test_normalised_scores_race_on_the_normalised_difference() -> None:
    generator = np.random.default_rng(4)
    noise = generator.normal(size=(3, 128))
    long_one, short, close = -20 + noise[0], -10 + noise[1], -10.02 + noise[2]
    divisors = (40.0, 10.0, 10.0)  # -0.5 against -1 per character
    values = [long_one, short, close]

    def spent(race_by: str) -> list[int]:
        config = LikelihoodConfig(race=0.01, race_by=race_by)  # type: ignore[arg-type]
        return [chain.num_draws for chain in raced(values, config, divisors)]

    by_sum, normalised, both = spent("sum"), spent("normalised"), spent("both")
    assert by_sum[0] == 8
    assert by_sum[1:] == [128, 128]
    assert normalised == [8, 8, 8]
    assert both == by_sum
    chains = raced(values, LikelihoodConfig(race=0.01), divisors)
    assert answer(chains, divisors) == 0
    assert answer(chains) == int(np.mean(values, axis=1).argmax())


def test_without_divisors_a_normalised_race_is_by_the_sum() -> None:
    (values,) = Regime(gap=8.0, sd=3.0).questions(1)
    by_sum = raced(list(values), LikelihoodConfig(race=0.01, race_by="sum"))
    normalised = raced(list(values), LikelihoodConfig(race=0.01, race_by="normalised"))
    assert [chain.num_draws for chain in normalised] == [chain.num_draws for chain in by_sum]


def test_the_highest_value_in_the_record_is_the_answer_of_the_race() -> None:
    # Most noise is shared, so the leader's value moves while a beaten choice's stands still.
    for values in Regime(gap=1.0, sd=10.0, correlation=0.97).questions(60):
        chains = raced(list(values), LikelihoodConfig(race=0.05))
        most = max(chain.num_draws for chain in chains)
        assert chains[answer(chains)].num_draws == most


def test_exact_choices_take_part_without_noise() -> None:
    generator = np.random.default_rng(2)
    far = [np.zeros(0), -30 + generator.normal(size=128)]
    assert [chain.num_draws for chain in raced(far, LikelihoodConfig(race=0.01))] == [0, 8]
    near = [np.zeros(0), 0.01 + generator.normal(size=128)]
    assert [chain.num_draws for chain in raced(near, LikelihoodConfig(race=0.01))] == [0, 128]
    question = Question(pairs=(0, 1))
    assert going_on(question, [exact(1.0), exact(1.0)], LikelihoodConfig(race=0.1)) == [False] * 2


@pytest.mark.parametrize("draws", [(16, 128), (128, 16), (5, 40), (20, 24)])
def test_choices_with_different_numbers_of_draws(draws: tuple[int, int]) -> None:
    generator = np.random.default_rng(9)
    changed = early = 0
    for _ in range(300):
        shared = 2 * generator.normal(size=128)
        pair = [0.3 * generator.normal() + generator.normal(size=n) + shared[:n] for n in draws]
        chains = raced(pair, LikelihoodConfig(race=0.1))
        full = [values.mean() for values in pair]
        changed += answer(chains) != int(np.argmax(full))
        early += sum(chain.num_draws for chain in chains) < sum(draws)
    assert early > 0
    assert stats.binomtest(changed, 300, 0.1, alternative="greater").pvalue > 0.001


def test_impossible_choices_are_not_sampled_further() -> None:
    config, nothing = LikelihoodConfig(race=0.01), np.full(128, -np.inf)
    finite = np.random.default_rng(1).normal(size=(2, 128))
    later = finite[0].copy()
    later[60] = -np.inf
    assert [c.num_draws for c in raced([nothing, nothing], config)] == [8, 8]
    assert [c.num_draws for c in raced([nothing, finite[0]], config)] == [8, 8]
    chains = raced([nothing, later, finite[1]], config)
    assert answer(chains) == 2
    assert chains[0].num_draws == 8
    assert chains[1].num_draws < 128


@pytest.mark.parametrize("count", [1, 2, 3])
def test_hardly_any_draws_are_all_made(count: int) -> None:
    values = [np.arange(count, dtype=np.float64) + 50.0 * choice for choice in range(3)]
    assert [c.num_draws for c in raced(values, LikelihoodConfig(race=0.2))] == [count] * 3


def test_a_single_choice_is_sampled_whole() -> None:
    question = Question(pairs=(0,))
    assert going_on(question, [drawn([1.0] * 8, of=9)], LikelihoodConfig(race=0.1)) == [True]
