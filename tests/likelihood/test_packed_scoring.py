"""Scoring passes over pairs of unequal lengths without padding: values are each pair's alone."""

from collections.abc import Callable
from functools import cache

import numpy as np
import pytest
from tiny_float64 import tiny_float64
from torch import Tensor

from dllm_eval.denoiser import ModelDenoiser
from dllm_eval.likelihood import LikelihoodConfig, score
from dllm_eval.likelihood.question import Question
from dllm_eval.packing import Packing
from dllm_eval.samplers import SamplerConfig, late_head, packed

LENGTHS = [(4, 9), (0, 1), (11, 3), (1, 8), (0, 7), (4, 9), (20, 1), (2, 12)]


@pytest.fixture(scope="module")
def tiny(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], ModelDenoiser]:
    """`tiny("dream")`: that family's tiny random checkpoint, in float64."""
    return cache(lambda writer: tiny_float64(writer, tmp_path_factory.mktemp(writer) / "tiny"))


@pytest.fixture
def passes(monkeypatch: pytest.MonkeyPatch) -> list[tuple[int, int]]:
    """Of each packed pass, how many positions it took, and how many it would with padding."""
    taken: list[tuple[int, int]] = []
    plain = Packing.packed

    def note(self: Packing, table: Tensor) -> Tensor:
        taken.append((self.num_positions, table.numel()))
        return plain(self, table)

    monkeypatch.setattr(Packing, "packed", note)
    return taken


def pairs() -> list[tuple[list[int], list[int]]]:
    generator = np.random.default_rng(5)
    return [
        (generator.integers(5, 300, size=a).tolist(), generator.integers(5, 300, size=b).tolist())
        for a, b in LENGTHS
    ]


@pytest.mark.parametrize("estimator", ["auto", "end_strata", "random_order"])
@pytest.mark.parametrize("late", [False, True], ids=["small vocabulary", "large vocabulary"])
@pytest.mark.parametrize("writer", ["llada", "dream", "mdlm"])
def test_a_pair_scores_among_others_as_it_does_alone(
    writer: str,
    late: bool,
    estimator: str,
    tiny: Callable[[str], ModelDenoiser],
    passes: list[tuple[int, int]],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    if late:
        monkeypatch.setattr(late_head, "LARGE_VOCABULARY", 1)
    model = tiny(writer)
    config = LikelihoodConfig(estimator=estimator, samples=6, max_enumeration=4)
    found = score(model, pairs(), config)
    assert passes
    assert all(taken <= (1 - packed.LEAST_PADDING) * padded for taken, padded in passes)
    for pair, each in zip(pairs(), found, strict=True):
        [alone] = score(model, [pair], config)
        # MDLM's residual stream is float32, as published.
        near = 1e-3 if writer == "mdlm" else 1e-9
        assert each.value == pytest.approx(alone.value, abs=near)
        assert each.stderr == pytest.approx(alone.stderr, abs=near)
        assert (each.nfe, each.positions) == (alone.nfe, alone.positions)


def test_choices_of_a_question_and_greedy_targets_are_scored_as_alone(
    tiny: Callable[[str], ModelDenoiser], passes: list[tuple[int, int]]
) -> None:
    model = tiny("llada")
    context = [7, 8, 9]
    choices = [(context, [11] * length) for length in (1, 2, 9)]
    config = LikelihoodConfig(samples=4, check_greedy=True)
    found = score(model, choices, config, questions=[Question(pairs=(0, 1, 2))])
    assert passes
    for pair, each in zip(choices, found, strict=True):
        [alone] = score(model, [pair], config)
        assert each.value == pytest.approx(alone.value, abs=1e-9)
        assert each.is_greedy == alone.is_greedy


def test_a_sampler_that_follows_a_given_text_is_scored_as_alone(
    tiny: Callable[[str], ModelDenoiser], passes: list[tuple[int, int]]
) -> None:
    model, generator = tiny("llada"), np.random.default_rng(7)
    asked = [
        (generator.integers(5, 300, size=length).tolist(), [11, 12, 13, 14])
        for length in (1, 20, 6)
    ]
    config = LikelihoodConfig(
        estimator="policy", policy=SamplerConfig(gen_length=4, steps=4, sampler="entropy")
    )
    found = score(model, asked, config)
    assert passes
    for pair, each in zip(asked, found, strict=True):
        [alone] = score(model, [pair], config)
        assert each.value == pytest.approx(alone.value, abs=1e-9)
        assert (each.nfe, each.positions) == (alone.nfe, alone.positions)


def test_pairs_of_one_length_are_not_packed(
    tiny: Callable[[str], ModelDenoiser], passes: list[tuple[int, int]]
) -> None:
    score(tiny("llada"), [([7, 8], [9, 10])] * 3, LikelihoodConfig(samples=4))
    assert not passes
