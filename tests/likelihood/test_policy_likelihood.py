"""The policy likelihood against normalisation, slow statements, sampling, and an exact model."""

import math
import random
from collections import Counter
from typing import Any

import numpy as np
import pytest
import slow_policy
import torch
from policies import CONTEXT, name, scored, texts, total
from scipy.stats import chisquare
from slow_policy import Rule, SlowPolicy, quota

from dllm_eval.likelihood import LikelihoodConfig
from dllm_eval.likelihood.pair import Pair
from dllm_eval.likelihood.policy import policy
from dllm_eval.likelihood.score import score
from dllm_eval.oracle.base import Answers
from dllm_eval.oracle.hidden_markov import HiddenMarkovDenoiser
from dllm_eval.samplers import SamplerConfig
from dllm_eval.samplers.catalogue import CATALOGUE
from dllm_eval.samplers.noise import Noise

TOKENS = 3  # of the `tabular` model
MASK = TOKENS

POLICIES: tuple[dict[str, Any], ...] = (
    {"sampler": "low_confidence"},
    {"sampler": "confidence"},
    {"sampler": "entropy"},
    {"sampler": "margin"},
    {"sampler": "left_to_right"},
    {"sampler": "certainty_prior"},
    {"sampler": "position_calibrated", "token_frequencies": "uniform"},
    {"sampler": "low_confidence", "steps": 32},
    {"sampler": "margin", "steps": 16},
    {"sampler": "left_to_right", "steps": 32, "block_length": 2},
    {"sampler": "entropy", "block_length": 1},
    {"sampler": "low_confidence", "block_length": 2, "steps": 32, "gen_length": 32},
    {"sampler": "maskgit_plus"},
    {"sampler": "topk_margin", "steps": 128},
    {"sampler": "dream_entropy", "steps": 32},
    {"sampler": "entropy", "top_p": 0.8, "confidence": "filtered"},
    {"sampler": "low_confidence", "eos_policy": "last"},
    {"sampler": "threshold", "threshold": 0.5},
    {"threshold": 0.6, "at_least": "quota", "steps": 32},
    {"threshold": 0.6, "strict_threshold": True, "block_length": 2},
    {"threshold": 0.5, "sub_block_length": 2},
    {"entropy_threshold": 0.7, "position_penalty": 0.1},
    {"sampler": "margin+factor"},
    {"sampler": "entropy+entropy_bounded", "entropy_bound": 0.6},
    {"sampler": "klass", "threshold": 0.4, "kl_threshold": 1.0, "stable_steps": 1},
    {"sampler": "hierarchical"},
    {"sampler": "slow_fast", "slow_steps": 1, "threshold": 0.5},
    {"sampler": "local_leap", "threshold": 0.7, "relaxed_threshold": 0.5},
    {"sampler": "dilated"},
    {"sampler": "dilated", "skip_threshold": 0.6},
    {"sampler": "prophet", "early_gap": 2.0, "middle_gap": 1.0, "late_gap": 0.5},
    {"sampler": "sched", "early_gap": 1.0, "late_gap": 0.2, "changed_share": 1.0},
    {"sampler": "adablock", "delimiter_ids": "1", "window_share": 1.0, "block_length": 3},
    {"sampler": "threshold+credit+prophet", "threshold": 0.8, "credit_weight": 2.0},
    {"sampler": "guided", "cfg_scale": 0.7},
)
"""Every kind of sampler whose positions follow from the revealed text."""


@pytest.fixture
def table(tabular: Any) -> Any:
    """Random logits for every canvas, all of them finite, as guidance wants them."""
    drawn = tabular.predict
    tabular.predict = lambda canvas: np.maximum(drawn(canvas), -30.0)
    return tabular


@pytest.mark.parametrize("length", [3, 4])
@pytest.mark.parametrize("settings", POLICIES, ids=name)
def test_the_probabilities_of_all_texts_add_up_to_one(
    table: Any, settings: dict[str, Any], length: int
) -> None:
    found = scored(table, texts(length), **settings)
    assert total(found) == pytest.approx(1, abs=1e-6)
    assert all(each.exact and each.stderr == 0 for each in found)
    assert {each.quantity for each in found} == {"log_likelihood"}


def test_every_sampler_of_the_catalogue_is_among_them_or_refused() -> None:
    named = {part for each in POLICIES for part in each.get("sampler", "").split("+")}
    refused = {"random", "origin", "remdm_cap", "remdm_rescale", "remdm_conf", "remdm_loop"}
    refused |= {"p2", "wino", "saber", "token_editing", "daedal"}  # test_policy_errors.py
    assert named & refused == set()
    assert set(CATALOGUE) == (named | refused) - {""}


def test_parallel_policies_take_fewer_steps_for_some_texts(table: Any) -> None:
    """So that the sums above are not those of one token a step under other names."""
    fewest = {
        name(settings): min(each.nfe for each in scored(table, texts(4), **settings))
        for settings in POLICIES
    }
    assert sum(steps < 4 for steps in fewest.values()) >= 19


def test_nothing_is_drawn(table: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object) -> None:
        raise AssertionError("a policy drew a number")

    monkeypatch.setattr(Noise, "uniform", refuse)
    for settings in POLICIES:
        assert len(scored(table, [(0, 1, 2)], **settings)) == 1


def read_table(model: Any) -> slow_policy.Read:
    return lambda canvas, _: model.predict(tuple(canvas)).tolist()


RULES: tuple[tuple[dict[str, Any], Rule, tuple[int, ...]], ...] = (
    ({"sampler": "low_confidence"}, quota([1] * 4), (4,)),
    ({"sampler": "margin"}, quota([1] * 4, slow_policy.by_margin), (4,)),
    ({"sampler": "entropy", "steps": 32}, quota([2, 2], slow_policy.by_entropy), (4,)),
    ({"sampler": "low_confidence", "steps": 24}, quota([2, 2], slow_policy.by_confidence), (4,)),
    ({"sampler": "left_to_right", "steps": 16}, quota([4], slow_policy.left_to_right), (4,)),
    ({"sampler": "margin", "block_length": 2}, quota([1, 1], slow_policy.by_margin), (2, 4)),
    ({"threshold": 0.55, "block_length": 2}, slow_policy.threshold(0.55), (2, 4)),
    ({"threshold": 0.5}, slow_policy.threshold(0.5), (4,)),
    (
        {"sampler": "margin+entropy_bounded", "entropy_bound": 0.7},
        slow_policy.entropy_bounded(0.7, slow_policy.by_margin),
        (4,),
    ),
    ({"sampler": "factor", "factor": 1.2}, slow_policy.factor(1.2), (4,)),
    (
        {"sampler": "klass", "threshold": 0.5, "kl_threshold": 1.5, "stable_steps": 1},
        slow_policy.klass(0.5, 1.5, 1),
        (4,),
    ),
)


@pytest.mark.parametrize(
    ("settings", "rule", "borders"),
    RULES,
    ids=lambda each: name(each) if isinstance(each, dict) else "",
)
def test_it_is_the_sum_over_the_steps_of_the_rule(
    tabular: Any, settings: dict[str, Any], rule: Rule, borders: tuple[int, ...]
) -> None:
    slow = SlowPolicy(read_table(tabular), rule, MASK, CONTEXT, borders)
    for target, found in zip(texts(4), scored(tabular, texts(4), **settings), strict=True):
        value, steps = slow.log_p(target)
        assert found.value == pytest.approx(value, abs=1e-5)
        assert (found.nfe, found.positions) == (steps, steps * 6)


def test_the_last_block_is_cut_where_the_target_ends(tabular: Any) -> None:
    """Blocks of 3 at two tokens a step, over 4 tokens: the last one has one token alone."""
    slow = SlowPolicy(read_table(tabular), quota([2, 1]), MASK, CONTEXT, (3, 4))
    settings: dict[str, Any] = {"gen_length": 6, "block_length": 3, "steps": 4}
    for target, found in zip(texts(4), scored(tabular, texts(4), **settings), strict=True):
        value, steps = slow.log_p(target)
        assert found.value == pytest.approx(value, abs=1e-5)
        assert found.nfe == steps == 3


def test_text_behind_the_target_is_seen_and_not_scored(tabular: Any) -> None:
    slow = SlowPolicy(read_table(tabular), quota([1, 1]), MASK, CONTEXT, (2, 3), behind=(2, 0))
    settings: dict[str, Any] = {"gen_length": 4, "block_length": 2, "steps": 4}
    found = scored(tabular, texts(3), behind=(2, 0), **settings)
    for target, each in zip(texts(3), found, strict=True):
        assert each.value == pytest.approx(slow.log_p(target)[0], abs=1e-5)
    assert total(found) == pytest.approx(1, abs=1e-6)


@pytest.mark.parametrize(
    ("settings", "rule"),
    [
        ({"sampler": "margin", "steps": 32}, quota([2, 1], slow_policy.by_margin)),
        ({"threshold": 0.5}, slow_policy.threshold(0.5)),
    ],
    ids=["quota", "threshold"],
)
def test_drawing_by_the_rule_gives_texts_as_often_as_it_says(
    tabular: Any, settings: dict[str, Any], rule: Rule
) -> None:
    """An independent sampler at temperature 1; positions go by the best tokens, not the drawn."""
    slow = SlowPolicy(read_table(tabular), rule, MASK, CONTEXT, (3,))
    generator, draws = random.Random(5), 3000
    counts = Counter(slow.sample(generator) for _ in range(draws))
    chances = [math.exp(each.value) for each in scored(tabular, texts(3), **settings)]
    seen = [counts[text] for text in texts(3)]
    expected = np.array(chances) / sum(chances) * draws
    common = expected >= 5
    pooled = [*np.array(seen)[common], sum(np.array(seen)[~common])]
    assert chisquare(pooled, [*expected[common], expected[~common].sum()]).pvalue > 1e-3


class WithMaskMass:
    """The same conditionals with a share of the probability on the mask token."""

    def __init__(self, inner: Any, share: float) -> None:
        self.inner, self.share = inner, share
        self.family, self.device = inner.family, inner.device
        self.vocab_size = inner.vocab_size

    def logits(self, token_ids: torch.Tensor, **options: Any) -> torch.Tensor:
        out: torch.Tensor = self.inner.logits(token_ids, **options).log_softmax(dim=-1)
        out[..., MASK] = math.log(self.share / (1 - self.share))
        return out


def test_the_mask_token_is_never_written_and_has_no_part_in_it(tabular: Any) -> None:
    """Each of three tokens counts -log(1 - 0.2) more than under a softmax over all ids."""
    wasteful = WithMaskMass(tabular, share=0.2)
    found = scored(wasteful, texts(3), sampler="left_to_right")
    assert total(found) == pytest.approx(1, abs=1e-6)
    plain = score(
        wasteful,
        [(CONTEXT, target) for target in texts(3)],
        LikelihoodConfig(estimator="left_to_right"),
    )
    more = [each.value - other.value for each, other in zip(found, plain, strict=True)]
    assert more == pytest.approx([-3 * math.log(0.8)] * 27, abs=1e-6)


def test_forbidden_end_of_text_has_no_probability(tabular: Any) -> None:
    found = scored(tabular, texts(3), eos_policy="forbid")
    assert [each.value == -math.inf for each in found] == [0 in target for target in texts(3)]
    assert total(found) == pytest.approx(1, abs=1e-6)


def test_ties_are_broken_one_way_for_all_texts(tabular: Any) -> None:
    line = np.where(np.arange(TOKENS + 2) < TOKENS, 0.0, -30.0)
    tabular.predict = lambda canvas: np.tile(line, (len(canvas), 1))
    for settings in POLICIES:
        assert total(scored(tabular, texts(3), **settings)) == pytest.approx(1, abs=1e-6)


ONE_A_STEP: tuple[dict[str, Any], ...] = (
    *({"sampler": order} for order in ("low_confidence", "entropy", "margin", "left_to_right")),
    {"sampler": "certainty_prior"},
    {"sampler": "margin", "block_length": 2},
    {"threshold": 1.0},
    {"sampler": "factor", "factor": 0.0, "block_length": 1},
    {"sampler": "margin+entropy_bounded", "entropy_bound": 0.0},
)


@pytest.mark.parametrize("settings", ONE_A_STEP, ids=name)
def test_a_consistent_model_gives_the_likelihood_whatever_the_order(
    settings: dict[str, Any],
) -> None:
    chain = HiddenMarkovDenoiser.random(seed=3, answers=Answers(dtype=torch.float64))
    truth = chain.probabilities(4, prefix=CONTEXT).log()
    found = scored(chain, texts(4, chain.num_symbols), context=CONTEXT, **settings)
    for target, each in zip(texts(4, chain.num_symbols), found, strict=True):
        assert each.value == pytest.approx(float(truth[target]), abs=1e-9)


def test_two_tokens_at_once_are_another_law() -> None:
    chain = HiddenMarkovDenoiser.random(seed=3, answers=Answers(dtype=torch.float64))
    truth = chain.probabilities(4, prefix=CONTEXT).log()
    found = scored(chain, texts(4), context=CONTEXT, steps=32)
    off = [each.value - float(truth[target]) for target, each in zip(texts(4), found, strict=True)]
    assert max(off) > 0.05
    assert min(off) < -0.05
    assert total(found) == pytest.approx(1, abs=1e-6)


@pytest.mark.parametrize(("scale", "rows"), [(0.0, {4, 3}), (0.5, {4, 2})])
def test_a_forward_pass_holds_no_more_positions_than_it_may(
    table: Any, scale: float, rows: set[int]
) -> None:
    """27 canvases of 5 tokens, twice each under guidance, and room for 24."""
    sampler = SamplerConfig(sampler="left_to_right", cfg_scale=scale)
    config = LikelihoodConfig(estimator="policy", policy=sampler, tokens_per_forward=24)
    pairs = [Pair(token_ids=np.array([*CONTEXT, *text]), target_length=3) for text in texts(3)]
    found = list(policy(table, pairs, [0] * 27, config))
    assert {count for count, _ in table.batches} == rows
    assert found == scored(table, texts(3), sampler="left_to_right", cfg_scale=scale)


def test_score_reaches_it_by_name(tabular: Any) -> None:
    sampler = SamplerConfig(sampler="margin")
    config = LikelihoodConfig(estimator="policy", policy=sampler)
    [found] = score(tabular, [(CONTEXT, (0, 1, 2))], config)
    assert [found] == scored(tabular, [(0, 1, 2)], sampler="margin")
    assert (found.estimator, found.samples) == ("policy(margin)", 0)
