"""The chance of another answer under another seed is the measured one."""

import csv
from collections.abc import Sequence
from typing import Any

import numpy as np
import pytest
from drawn_chains import answer, drawn, exact
from numpy.typing import NDArray
from scipy import stats

from dllm_eval.api import Denoiser
from dllm_eval.likelihood import LikelihoodConfig, score
from dllm_eval.likelihood.chain import Chain
from dllm_eval.likelihood.question import Question
from dllm_eval.likelihood.win import win_probabilities
from dllm_eval.loading import load_model
from dllm_eval.reference import DATA_DIR

Values = NDArray[np.float64]


def chances(
    chains: Sequence[Chain], divisors: tuple[float, ...] | None = None
) -> tuple[list[float | None], list[float | None]]:
    question = Question(pairs=tuple(range(len(chains))), divisors=divisors)
    wins = win_probabilities(question, chains)
    return [win.by_value for win in wins], [win.normalised for win in wins]


def test_two_choices_have_the_closed_form() -> None:
    generator = np.random.default_rng(3)
    noise = generator.normal(size=(2, 60))
    shared = generator.normal(size=60)
    draws = [noise[0] + 2 * shared, 0.1 + noise[1] + shared]
    means = [sum(values) / 60 for values in draws]
    covariance = np.cov(draws) / 60
    spread = covariance[0, 0] + covariance[1, 1] - 2 * covariance[0, 1]
    first = stats.norm.cdf((means[0] - means[1]) / (2 * spread) ** 0.5)
    assert chances([drawn(values) for values in draws])[0] == pytest.approx(
        [first, 1 - first], abs=0.001
    )


@pytest.mark.parametrize(("fewer", "more"), [(20, 80), (80, 20)])
def test_draws_beyond_the_other_s_are_noise_of_their_own(fewer: int, more: int) -> None:
    generator = np.random.default_rng(5)
    shared = generator.normal(size=80)
    draws = [shared[:fewer] * 2.0, 0.1 + shared[:more] + 0.2 * generator.normal(size=more)]
    both = min(fewer, more)
    errors = [values.std(ddof=1) / len(values) ** 0.5 for values in draws]
    correlation = np.corrcoef(draws[0][:both], draws[1][:both])[0, 1]
    covariance = correlation * (both / max(fewer, more)) ** 0.5 * errors[0] * errors[1]
    spread = errors[0] ** 2 + errors[1] ** 2 - 2 * covariance
    first = stats.norm.cdf((draws[0].mean() - draws[1].mean()) / (2 * spread) ** 0.5)
    assert chances([drawn(values) for values in draws])[0][0] == pytest.approx(first, abs=0.001)


def test_noise_that_is_shared_decides_nothing() -> None:
    shared = np.random.default_rng(6).normal(size=30)
    assert chances([drawn(shared), drawn(0.01 + shared)])[0] == [0.0, 1.0]


def test_the_chances_of_many_choices_add_up_and_follow_a_plain_simulation() -> None:
    generator = np.random.default_rng(8)
    shared = generator.normal(size=50)
    draws = [
        0.2 * generator.normal() + shared + (1 + k) * generator.normal(size=50) for k in range(5)
    ]
    found = chances([drawn(values) for values in draws])[0]
    correlations = np.corrcoef(draws)
    errors = np.array([values.std(ddof=1) for values in draws]) / 50**0.5
    samples = generator.multivariate_normal(
        np.mean(draws, axis=1), 2 * correlations * np.outer(errors, errors), size=200_000
    )
    measured = np.bincount(samples.argmax(axis=1), minlength=5) / len(samples)
    assert sum(chance or 0.0 for chance in found) == pytest.approx(1.0)
    assert found == pytest.approx(measured, abs=0.005)


def test_a_normalised_answer_has_a_chance_of_its_own() -> None:
    noise = np.random.default_rng(1).normal(size=(2, 40))
    chains = [drawn(-20 + noise[0]), drawn(-10 + noise[1])]
    by_value, normalised = chances(chains, divisors=(40.0, 10.0))
    assert by_value == [0.0, 1.0]
    assert normalised == [1.0, 0.0]
    assert chances(chains)[1] == [None, None]


def test_exact_choices_are_sure_and_the_first_of_equals_is_the_answer() -> None:
    assert chances([exact(-1.0), exact(-2.0)])[0] == [1.0, 0.0]
    assert chances([exact(-2.0), exact(-1.0), exact(-1.0)])[0] == [0.0, 1.0, 0.0]
    draws = np.random.default_rng(2).normal(size=30)
    error = draws.std(ddof=1) / 30**0.5
    beside = chances([exact(draws.mean() + 0.1), drawn(draws)])[0]
    assert beside[0] == pytest.approx(stats.norm.cdf(0.1 / (2**0.5 * error)), abs=0.001)


def test_impossible_choices_have_no_chance() -> None:
    finite = np.random.default_rng(2).normal(size=30)
    nothing = np.append(finite[1:], -np.inf)
    assert chances([drawn(nothing), exact(-np.inf), drawn(finite)])[0] == [0.0, 0.0, 1.0]
    assert chances([exact(-np.inf), exact(-np.inf)])[0] == [1.0, 0.0]


def test_nothing_is_said_where_there_is_nothing_to_say() -> None:
    assert chances([drawn([1.0, 2.0])])[0] == [None]
    assert chances([drawn([1.0]), drawn([2.0, 3.0])])[0] == [None, None]


def test_predicted_flips_are_as_many_as_happen() -> None:
    generator = np.random.default_rng(12)
    predicted, flips = [], 0
    for _ in range(1500):
        means = 1.5 * generator.normal(size=(4, 1))
        scale = 3 * np.exp(0.5 * generator.normal(size=(4, 1)))
        runs = []
        for _run in range(2):
            shared, own = generator.normal(size=(1, 64)), generator.normal(size=(4, 64))
            runs.append([drawn(row) for row in means + scale * (0.5 * shared + own)])
        chosen = answer(runs[0])
        predicted.append(1 - (chances(runs[0])[0][chosen] or 0.0))
        flips += answer(runs[1]) != chosen
    expected = float(np.sum(predicted))
    spread = sum(chance * (1 - chance) for chance in predicted) ** 0.5
    assert expected > 100
    assert abs(flips - expected) < 4 * spread


def test_scores_of_a_question_carry_their_chances(tabular: Denoiser) -> None:
    pairs = [((1, 2), (0, 1, 2, 0, 1)), ((1, 2), (2, 2, 0, 1, 0)), ((1,), (0, 1))]
    config = LikelihoodConfig(estimator="monte_carlo", samples=6)
    compared = [Question(pairs=(1, 0), divisors=(2.0, 1.0))]
    scored = score(tabular, pairs, config, questions=compared)
    for name in ("win_probability", "win_probability_normalised"):
        first, second, alone = (getattr(one, name) for one in scored)
        assert first + second == pytest.approx(1.0)
        assert 0 < first < 1
        assert alone is None


@pytest.mark.slow
def test_flips_on_the_reference_model_are_no_more_than_predicted() -> None:
    # Its gaps are wide and seldom near 0, so that with few draws fewer flip than a flat law says.
    model: Any = load_model("reference-diffusion", device="cpu")
    pairs: list[tuple[tuple[int, ...], tuple[int, ...]]] = []
    compared = []
    for file in sorted((DATA_DIR / "mmlu" / "test").glob("*.csv")):
        for row in csv.reader(file.read_text(encoding="utf-8").splitlines()):
            compared.append(Question(pairs=tuple(range(len(pairs), len(pairs) + 4))))
            context, *choices = (
                tuple(model.tokenizer.encode(text, add_special_tokens=False))
                for text in (f"{row[0]}\nAnswer:", *(f" {choice}" for choice in row[1:5]))
            )
            pairs += [(context, choice) for choice in choices]
    expected, flips = 0.0, 0
    for seed in range(0, 8, 2):
        first, second = (
            score(
                model,
                pairs,
                LikelihoodConfig(estimator="monte_carlo", samples=8, seed=one),
                questions=compared,
            )
            for one in (seed, seed + 1)
        )
        for question in compared:
            own, other = (
                int(np.argmax([run[i].value for i in question.pairs])) for run in (first, second)
            )
            expected += 1 - (first[question.pairs[own]].win_probability or 0.0)
            flips += own != other
    assert len(compared) == 150
    assert 0.002 < expected / 600 < 0.06
    assert flips < expected + 4 * expected**0.5
    assert flips > 0
