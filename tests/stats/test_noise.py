"""Monte-Carlo noise and document noise of a score, against runs under many seeds and documents."""

from typing import Any

import numpy as np
import pandas as pd
import pytest
from quiz import Floats, Quiz, frames
from scipy.integrate import quad
from scipy.stats import norm

from dllm_eval.stats.noise import Noise, answer_variances, noise
from dllm_eval.stats.tables import task_tables


def noise_of(parts: tuple[pd.DataFrame, pd.DataFrame, pd.DataFrame]) -> Noise:
    (table,) = task_tables(*parts)
    return noise(parts[1], table.quality[0], table.gold, table.metric)


def seen(quiz: Quiz, generator: np.random.Generator) -> Noise:
    """What one run of a quiz says of its own noise."""
    values = quiz.run(generator)
    return noise_of(frames(quiz, values, quiz.chances(values, generator)))


@pytest.mark.parametrize(
    ("choices", "spread"), [(2, 0.0), (2, 2.0), (2, 8.0), (4, 2.0), (4, 5.0), (4, 15.0)]
)
def test_the_monte_carlo_error_is_the_spread_over_seeds(choices: int, spread: float) -> None:
    generator = np.random.default_rng(choices + int(spread))
    quiz = Quiz.drawn(num=400, choices=choices, spread=spread, generator=generator)
    scores = [quiz.scores(quiz.run(generator)).mean() for _ in range(3000)]
    predicted = [seen(quiz, generator).monte_carlo for _ in range(3)]
    # The spread of 3000 runs is known within 1.3 %, three predictions vary by about 4 %.
    assert np.mean(predicted) == pytest.approx(np.std(scores, ddof=1), rel=0.1)


def test_both_parts_add_up_to_the_spread_over_documents_and_seeds() -> None:
    generator = np.random.default_rng(5)
    quizzes = [Quiz.drawn(num=200, choices=4, spread=3.0, generator=generator) for _ in range(2000)]
    scores = [quiz.scores(quiz.run(generator)).mean() for quiz in quizzes]
    means = [
        np.mean([quiz.scores(quiz.run(generator)) for _ in range(40)]) for quiz in quizzes[:500]
    ]
    out = [seen(quiz, generator) for quiz in quizzes[:4]]
    assert np.mean([x.score for x in out]) == pytest.approx(np.std(scores), rel=0.06)
    # Forty seeds leave a little of the Monte-Carlo noise in the mean.
    left = out[0].monte_carlo / np.sqrt(40)
    expected = np.sqrt(np.var(means) - left**2)
    assert np.mean([x.documents for x in out]) == pytest.approx(expected, rel=0.1)
    for x in out:
        assert x.documents**2 + x.monte_carlo**2 == pytest.approx(x.score**2)


def test_changed_answers_are_those_of_the_next_seed() -> None:
    generator = np.random.default_rng(6)
    quiz = Quiz.drawn(num=400, choices=4, spread=8.0, generator=generator)
    answers = np.stack([quiz.run(generator).argmax(axis=1) for _ in range(400)])
    changed = (answers[1:] != answers[:-1]).mean()
    predicted = np.mean([seen(quiz, generator).changed_answers for _ in range(4)])
    assert predicted == pytest.approx(changed, rel=0.1)


@pytest.mark.parametrize("margin", [-3.0, -0.5, 0.0, 1.0, 4.0])
def test_a_variance_is_that_of_two_seeds_of_which_one_wins(margin: float) -> None:
    # Margins spread so far that the neighbours of one say nothing about it.
    others = np.concatenate([np.zeros(40), np.ones(40)])
    chances = np.append(others, norm.cdf(margin / np.sqrt(2.0)))
    expected, _ = quad(
        lambda true: norm.pdf(true - margin) * norm.cdf(true) * norm.sf(true), -15.0, 15.0
    )
    assert answer_variances(chances)[-1] == pytest.approx(expected, abs=1e-8)
    assert (answer_variances(chances)[:-1] < 1e-12).all()


def test_margins_that_are_noise_alone_share_one_chance() -> None:
    generator = np.random.default_rng(7)
    x = 0.7 + generator.normal(size=4000)
    chances = norm.cdf(x / np.sqrt(2.0))
    expected = norm.cdf(0.7) * norm.sf(0.7)
    assert answer_variances(chances).mean() == pytest.approx(expected, rel=0.03)


def exact(requests: pd.DataFrame) -> pd.DataFrame:
    return requests.assign(exact=True, stderr=0.0)


@pytest.fixture(scope="module")
def quiz() -> Quiz:
    return Quiz.drawn(num=40, choices=4, spread=3.0, generator=np.random.default_rng(8))


@pytest.fixture(scope="module")
def values(quiz: Quiz) -> Floats:
    return quiz.run(np.random.default_rng(9))


@pytest.fixture(scope="module")
def chances(quiz: Quiz, values: Floats) -> Floats:
    return quiz.chances(values, np.random.default_rng(10))


def test_what_draws_nothing_has_no_monte_carlo_noise(quiz: Quiz, values: Floats) -> None:
    cells, requests, scores = frames(quiz, values, None)
    out = noise_of((cells, exact(requests), scores))
    assert out.monte_carlo == 0.0
    assert out.changed_answers == 0.0
    assert out.documents == out.score > 0.0


def test_exact_questions_among_others_count_as_certain(
    quiz: Quiz, values: Floats, chances: Floats
) -> None:
    cells, requests, scores = frames(quiz, values, chances)
    whole = noise_of((cells, requests, scores))
    certain = requests["doc_id"] >= 20
    mixed = pd.concat([requests[~certain], exact(requests[certain])])
    out = noise_of((cells, mixed, scores))
    assert 0.0 < out.monte_carlo < whole.monte_carlo
    alone = noise_of((cells, requests[~certain], scores[scores["doc_id"] < 20]))
    assert out.changed_answers == pytest.approx(alone.changed_answers / 2)


def test_old_records_say_nothing_and_are_never_zero(quiz: Quiz, values: Floats) -> None:
    out = noise_of(frames(quiz, values, None))
    assert np.isnan([out.monte_carlo, out.documents, out.changed_answers]).all()
    assert out.score > 0.0


@pytest.mark.parametrize("column", ["win_probability", "flip_probability"])
def test_one_unknown_question_makes_the_row_unknown(
    quiz: Quiz, values: Floats, chances: Floats, column: str
) -> None:
    cells, requests, scores = frames(quiz, values, chances)
    requests.loc[requests["doc_id"] == 3, column] = None
    out = noise_of((cells, requests, scores))
    assert np.isnan(out.monte_carlo) == (column == "win_probability")
    assert np.isnan(out.changed_answers) == (column == "flip_probability")


def test_without_the_right_choice_only_changes_are_known(
    quiz: Quiz, values: Floats, chances: Floats
) -> None:
    cells, requests, scores = frames(quiz, values, chances)
    out = noise_of((cells, requests, scores.drop(columns="gold")))
    assert np.isnan(out.monte_carlo)
    assert out.changed_answers > 0.0


def test_each_metric_has_its_own_probabilities(quiz: Quiz, values: Floats, chances: Floats) -> None:
    cells, requests, scores = frames(quiz, values, chances)

    def under(metric: str) -> Noise:
        return noise_of((cells.assign(metric=metric), requests, scores.assign(metric=metric)))

    assert np.isnan(under("acc_norm").monte_carlo)
    requests["win_probability_normalised"] = requests["win_probability"]
    requests["flip_probability_normalised"] = 0.25
    assert under("acc_norm").monte_carlo == under("acc").monte_carlo > 0.0
    assert 0.1 < under("acc_norm").changed_answers < 0.5
    assert under("acc_norm").changed_answers != under("acc").changed_answers
    assert np.isnan(under("brier_score").monte_carlo)


def test_the_mean_of_four_seeds_has_half_the_error(
    quiz: Quiz, values: Floats, chances: Floats
) -> None:
    runs: list[tuple[Any, ...]] = [
        frames(quiz, values, chances, cell_id=f"seed {seed}") for seed in range(4)
    ]
    together = [pd.concat(parts, ignore_index=True) for parts in zip(*runs, strict=True)]
    one, four = noise_of(runs[0]), noise_of((together[0], together[1], together[2]))
    assert four.monte_carlo == pytest.approx(one.monte_carlo / 2)
    # Four times as many questions tell a little more of which margins there are.
    assert four.changed_answers == pytest.approx(one.changed_answers, rel=0.2)


def test_more_monte_carlo_noise_than_seen_in_all_leaves_nothing_to_tell(
    quiz: Quiz, values: Floats, chances: Floats
) -> None:
    cells, requests, scores = frames(quiz, values, chances)
    few = scores.assign(value=[1.0] * 39 + [0.0])
    out = noise_of((cells, requests, few))
    assert out.monte_carlo > out.score > 0.0
    assert np.isnan(out.documents)


@pytest.mark.parametrize(("degrees", "known"), [(1.0, False), (2.9, False), (3.0, True)])
def test_too_few_samples_leave_the_noise_unknown(
    quiz: Quiz, values: Floats, chances: Floats, degrees: float, known: bool
) -> None:
    cells, requests, scores = frames(quiz, values, chances)
    out = noise_of((cells, requests.assign(degrees=degrees), scores))
    assert np.isnan([out.monte_carlo, out.documents, out.changed_answers]).all() != known
    assert out.score > 0.0
    if known:
        assert out == noise_of((cells, requests, scores))


def test_exact_values_have_no_degrees_and_stay_exact(quiz: Quiz, values: Floats) -> None:
    cells, requests, scores = frames(quiz, values, None)
    out = noise_of((cells, exact(requests).assign(degrees=None), scores))
    assert out.monte_carlo == out.changed_answers == 0.0


def test_all_right_is_not_certainty(quiz: Quiz, values: Floats, chances: Floats) -> None:
    cells, requests, scores = frames(quiz, values, chances)
    assert np.isnan(noise_of((cells, requests, scores.assign(value=1.0))).score)
