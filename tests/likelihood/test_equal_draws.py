"""Where all draws came out alike, or all choices are: nothing is claimed that chance decided."""

from collections.abc import Callable
from math import inf

import pytest

from dllm_eval.api import Denoiser
from dllm_eval.likelihood import LikelihoodConfig, score
from dllm_eval.likelihood.question import Question

SHORT = {"control_variate": (2, 3), "random_order": (2, 3), "llada_mc": (2, 16), "auto": (3, 5)}
"""Estimator -> tokens of a target, and so few samples that equal mask sets are often all."""


@pytest.mark.parametrize("estimator", SHORT)
def test_equal_mask_sets_leave_the_error_unknown(tabular: Denoiser, estimator: str) -> None:
    length, samples = SHORT[estimator]
    pair = ([1, 2], [2, 0, 1][:length])
    (exact,) = score(tabular, [pair], LikelihoodConfig(estimator="enumeration"))
    unknown = 0
    for seed in range(80):
        config = LikelihoodConfig(estimator=estimator, samples=samples, seed=seed)
        (found,) = score(tabular, [pair], config)
        unknown += found.stderr == inf
        assert found.stderr > 0 or found.value == pytest.approx(exact.value, abs=1e-9)
        assert (found.degrees is None) == (found.stderr in (0, inf))
    assert unknown > 0


def test_of_equal_choices_the_first_is_the_answer_under_every_seed(
    tiny_model: Callable[[int], Denoiser],
) -> None:
    pairs = [([1, 2], [0, 1, 2, 2, 1, 0, 2])] * 3
    config = LikelihoodConfig(estimator="end_strata", samples=20)
    found = score(tiny_model(0), pairs, config, questions=[Question(pairs=(0, 1, 2))])
    assert [choice.win_probability for choice in found] == [1, 0, 0]
