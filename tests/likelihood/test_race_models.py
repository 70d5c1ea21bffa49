"""Races through `score`: the first of the same draws, by question alone, whatever the estimator."""

from dataclasses import replace

import pytest
from small_transformer import small_model

from dllm_eval.api import Denoiser
from dllm_eval.families import Attention
from dllm_eval.likelihood import LikelihoodConfig, score
from dllm_eval.likelihood.question import Question

PAIRS = [((1, 2), (0, 1, 2, 0, 1)), ((1, 2), (2, 2, 0, 1, 0, 0, 1)), ((1, 2), (1,)), ((0,), (2,))]


@pytest.mark.parametrize(
    "estimator", ["monte_carlo", "control_variate", "end_strata", "random_order"]
)
def test_a_race_through_a_model_makes_the_first_of_the_same_draws(
    tabular: Denoiser, estimator: str
) -> None:
    questions_of = [Question(pairs=(0, 1, 2), divisors=(5.0, 7.0, 1.0)), Question(pairs=(3,))]

    def run(race: float) -> list[tuple[float, int]]:
        config = LikelihoodConfig(estimator=estimator, samples=64, race=race, race_by="sum")
        scored = score(tabular, PAIRS, config, questions=questions_of)
        return [(one.value, one.nfe) for one in scored]

    whole, some = run(0.0), run(0.3)
    assert max(some[:3])[0] == max(whole[:3])[0] == whole[2][0]
    assert sum(nfe for _, nfe in some) < sum(nfe for _, nfe in whole)
    assert some[2:] == whole[2:]


@pytest.mark.parametrize("attention", ["block_causal", "causal_context"])
def test_choices_cut_into_blocks_race_as_wholes(attention: Attention) -> None:
    model = small_model(attention, block_length=6)
    long_one, other = (0, 1, 2, 3, 0, 1, 2, 3, 0, 2, 2, 1), (3, 3, 1, 0, 2, 2, 0, 1, 1)
    pairs = [((1, 2), long_one), ((1, 2), other), ((1, 2), (1, 3))]
    compared = [Question(pairs=(0, 1, 2))]
    config = LikelihoodConfig(estimator="monte_carlo", samples=100)
    whole = score(model, pairs, config, questions=compared)
    some = score(model, pairs, replace(config, race=0.1), questions=compared)
    assert max(range(3), key=lambda i: whole[i].value) == 2
    assert some[2].value == pytest.approx(whole[2].value, abs=1e-5)
    for one, full in zip(some[:2], whole[:2], strict=True):
        assert one.nfe < full.nfe
        assert one.samples < full.samples
        assert one.value == pytest.approx(full.value, abs=4 * one.stderr)


@pytest.mark.parametrize("estimator", ["importance_bound", "upper_bound"])
def test_bounds_that_are_no_means_of_draws_are_sampled_whole(
    tabular: Denoiser, estimator: str
) -> None:
    compared = [Question(pairs=(0, 1))]
    whole, some = (
        score(
            tabular,
            PAIRS[:2],
            LikelihoodConfig(estimator=estimator, samples=200, race=race),
            questions=compared,
        )
        for race in (0.0, 0.4)
    )
    assert [one.nfe for one in some] == [one.nfe for one in whole]


def test_a_race_depends_on_nothing_beside_its_question(tabular: Denoiser) -> None:
    config = LikelihoodConfig(estimator="monte_carlo", samples=40, race=0.2)
    others = [((2,), (0, 1, 1, 0, 2)), ((2,), (1, 1, 1, 0))]
    alone = score(tabular, PAIRS[:3], config, questions=[Question(pairs=(0, 1, 2))])
    together = score(
        tabular,
        [*others, *PAIRS[:3]],
        config,
        questions=[Question(pairs=(2, 3, 4)), Question(pairs=(0, 1))],
    )
    assert together[2:] == alone
