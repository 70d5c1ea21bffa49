"""Questions name known pairs once, and divide by positive numbers."""

import pytest

from dllm_eval.api import Denoiser
from dllm_eval.errors import UsageError
from dllm_eval.likelihood import LikelihoodConfig, score
from dllm_eval.likelihood.question import Question, check_questions


@pytest.mark.parametrize("pairs", [(), (1, 1)])
def test_a_question_names_each_pair_once(pairs: tuple[int, ...]) -> None:
    with pytest.raises(UsageError, match="accepted: each index once"):
        Question(pairs=pairs)


@pytest.mark.parametrize(
    "divisors", [(1.0,), (1.0, 0.0), (1.0, -2.0), (1.0, float("nan")), (1.0, float("inf"))]
)
def test_divisors_are_one_positive_number_each(divisors: tuple[float, ...]) -> None:
    with pytest.raises(UsageError, match="accepted: one number above 0 for each") as error:
        Question(pairs=(0, 1), divisors=divisors)
    assert str(divisors) in str(error.value)


@pytest.mark.parametrize("pairs", [[(0, 3)], [(-1,)], [(0, 1), (1, 2)]])
def test_questions_share_no_pair_and_name_known_ones(pairs: list[tuple[int, ...]]) -> None:
    with pytest.raises(UsageError, match="accepted: 0 to 2, in one question each"):
        check_questions([Question(pairs=one) for one in pairs], 3)


def test_questions_of_different_pairs_are_accepted() -> None:
    check_questions([Question(pairs=(2, 0)), Question(pairs=(1,))], 3)


def test_a_question_about_one_context_changes_no_value(tabular: Denoiser) -> None:
    pairs = [((1,), (0, 1, 2)), ((1,), (2, 0, 2, 1)), ((2,), (0, 0, 1))]
    config = LikelihoodConfig(estimator="monte_carlo", samples=9)
    alone = score(tabular, pairs, config)
    together = score(
        tabular, pairs, config, questions=[Question(pairs=(1, 0)), Question(pairs=(2,))]
    )
    assert [one.value for one in together] == [one.value for one in alone]
    assert [one.stderr for one in together] == [one.stderr for one in alone]
