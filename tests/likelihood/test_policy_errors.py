"""Samplers and families without a policy likelihood, and how a policy fits a target's length."""

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch
from small_transformer import small_model

from dllm_eval.api import Denoiser, Prompt
from dllm_eval.errors import UsageError
from dllm_eval.families import Family
from dllm_eval.likelihood import LikelihoodConfig
from dllm_eval.likelihood.pair import Pair
from dllm_eval.likelihood.policy import fit, policy
from dllm_eval.samplers import SamplerConfig
from dllm_eval.samplers.canvas import Canvas
from dllm_eval.samplers.loop import denoise
from dllm_eval.samplers.teacher import Teacher

PAIR = Pair(token_ids=np.array([1, 0, 2, 1]), target_length=2)


def run(model: Denoiser, sampler: SamplerConfig | None) -> None:
    list(policy(model, [PAIR], [0], LikelihoodConfig(estimator="policy", policy=sampler)))


@pytest.mark.parametrize(
    ("settings", "says"),
    [
        ({"sampler": "random"}, "sampler 'random', which draws positions"),
        ({"temperature": 0.5}, "temperature 0.5, which draws proposals"),
        ({"sampler": "origin"}, "schedule 'bernoulli', which draws positions"),
        ({"position_temperature": 0.2}, "position_temperature 0.2, which draws positions"),
        ({"sampler": "remdm_cap"}, "sampler 'remdm_cap', which takes revealed tokens back"),
        ({"sampler": "remdm_rescale"}, "'remdm_rescale', which takes revealed tokens back"),
        ({"sampler": "remdm_conf"}, "sampler 'remdm_conf', which takes revealed tokens back"),
        ({"sampler": "remdm_loop"}, "sampler 'remdm_loop', which takes revealed tokens back"),
        ({"sampler": "p2"}, "sampler 'p2', which takes revealed tokens back"),
        ({"sampler": "wino"}, "sampler 'wino', which takes revealed tokens back"),
        ({"sampler": "saber"}, "sampler 'saber', which takes revealed tokens back"),
        ({"sampler": "token_editing"}, "edit_threshold 0.5, which overwrites revealed tokens"),
        ({"sampler": "daedal"}, "sampler 'daedal', whose canvas grows"),
        ({"initial_length": 4}, "initial_length, with which the canvas grows"),
        ({"window": 4}, "window, which moves the canvas"),
        ({"mode": "reference"}, "mode 'reference', which may write the mask token"),
        ({"transition": "ancestral"}, "transition 'ancestral', which draws what is revealed"),
    ],
)
def test_samplers_that_draw_or_revise_are_refused(
    tabular: Any, settings: dict[str, Any], says: str
) -> None:
    with pytest.raises(UsageError) as caught:
        run(tabular, SamplerConfig(**settings))
    assert says in str(caught.value)
    assert str(caught.value).startswith("estimator policy has no place for ")
    assert str(caught.value).endswith(
        "accepted: samplers that reveal at temperature 0, by an order other than random, and for "
        "good"
    )
    assert "\n" not in str(caught.value)
    assert tabular.batches == []


def test_without_a_policy_there_is_nothing_to_score_under(tabular: Any) -> None:
    with pytest.raises(UsageError, match=r"estimator policy scores under a sampler and none"):
        run(tabular, None)


@pytest.mark.parametrize(
    "facts",
    [
        {"noise": "uniform"},
        {"likelihood": "score_entropy"},
        {"likelihood": "left_to_right", "attention": "reordered"},
        {"expand_id": 1},
    ],
)
def test_families_that_decode_otherwise_are_refused(tabular: Any, facts: dict[str, Any]) -> None:
    tabular.family = replace(tabular.family, **facts)
    with pytest.raises(UsageError, match=r"family 'fake' decodes otherwise .*accepted: masked"):
        run(tabular, SamplerConfig())


def test_blocks_that_the_attention_does_not_know_are_refused() -> None:
    model = small_model("block_causal", block_length=4)
    with pytest.raises(UsageError, match="block_length is 8, but family 'small' reads blocks of 4"):
        run(model, SamplerConfig(block_length=8))


def test_unusable_logits_are_an_error(tabular: Any) -> None:
    tabular.predict = lambda canvas: np.full((len(canvas), 5), np.nan)
    with pytest.raises(UsageError, match="the model's logits are NaN or infinite"):
        run(tabular, SamplerConfig())


def test_the_loop_itself_lets_no_other_rule_follow_a_text(tabular: Any) -> None:
    canvas = Canvas.build(
        [Prompt(prefix=(1,))],
        family=tabular.family,
        vocab_size=tabular.vocab_size,
        gen_length=2,
        device=torch.device("cpu"),
    )
    canvas.teacher = Teacher.of([(0, 1)], canvas.starts, canvas.tokens)
    with pytest.raises(UsageError, match="TransitionRule cannot follow a given text"):
        denoise(tabular, canvas, SamplerConfig(transition="ancestral", gen_length=2, steps=2))


FULL = Family(name="full", mask_id=3, eos_id=0, pad_id=4, context_length=64)
BLOCKS = replace(FULL, attention="block_causal", block_length=4)


@pytest.mark.parametrize(
    ("family", "settings", "length", "expected"),
    [
        (FULL, {}, 5, (5, None, 5)),
        (FULL, {"steps": 16}, 10, (10, None, 3)),
        (FULL, {"steps": 16}, 100, (100, None, 25)),
        (FULL, {"steps": 1}, 5, (5, None, 1)),
        (FULL, {"steps": 128, "schedule": "time"}, 10, (10, None, 20)),
        (FULL, {"steps": 16, "block_length": 32}, 10, (10, None, 3)),
        (FULL, {"steps": 16, "block_length": 32}, 32, (32, None, 8)),
        (FULL, {"steps": 16, "block_length": 32}, 40, (64, 32, 16)),
        (BLOCKS, {"steps": 32, "block_length": 4}, 3, (4, None, 2)),
        (BLOCKS, {"steps": 32, "block_length": 4}, 9, (12, 4, 6)),
        (BLOCKS, {"steps": 32}, 9, (12, 4, 6)),
    ],
)
def test_a_step_reveals_as_many_tokens_whatever_the_length(
    family: Family,
    settings: dict[str, Any],
    length: int,
    expected: tuple[int, int | None, int],
) -> None:
    fitted = fit(SamplerConfig(stop="eos", **settings), family, length)
    assert (fitted.gen_length, fitted.block_length, fitted.steps) == expected
    assert fitted.stop == "none"
