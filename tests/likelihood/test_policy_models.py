"""The policy likelihood of real forward passes: attention by blocks, shifts, batches, caches."""

import random
from collections.abc import Collection
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import slow_policy
import torch
from policies import CONTEXT, scored, texts, total
from slow_policy import SlowPolicy, quota
from small_transformer import MASK, TOKENS, slow_log_probs, small_model
from torch import Tensor

from dllm_eval.api import Denoiser, Prompt
from dllm_eval.families import Attention
from dllm_eval.likelihood import LikelihoodConfig
from dllm_eval.likelihood.pair import Pair
from dllm_eval.likelihood.policy import policy
from dllm_eval.likelihood.score import score
from dllm_eval.samplers import SamplerConfig, generate_batch, late_head


def test_one_token_a_step_in_reading_order_is_the_chain_rule() -> None:
    for shift in (0, 1):
        model = small_model("full", logits_shift=shift)
        targets = [(0, 3, 2), (1,), (2, 2, 0, 1, 3)]
        pairs = [((1, 2), target) for target in targets]
        chain = score(model, pairs, LikelihoodConfig(estimator="left_to_right"))
        found = scored(model, targets, context=(1, 2), sampler="left_to_right")
        for each, other in zip(found, chain, strict=True):
            assert each.value == pytest.approx(other.value, abs=1e-4)
            assert (each.nfe, each.positions) == (other.nfe, other.positions)


def alone_and_together(model: Denoiser, tokens_per_forward: int, **settings: Any) -> None:
    """Pairs of several lengths: each one's answer is its answer alone."""
    generator = random.Random(1)
    pairs = [
        (
            tuple(generator.choices(range(TOKENS), k=context)),
            tuple(generator.choices(range(TOKENS), k=length)),
        )
        for context, length in [(3, 5), (1, 5), (7, 5), (2, 3), (6, 1), (4, 3), (5, 9)]
    ]
    sampler = SamplerConfig.from_mapping(settings, model.family)
    config = LikelihoodConfig(
        estimator="policy", policy=sampler, tokens_per_forward=tokens_per_forward
    )
    built = [Pair(token_ids=np.array([*c, *t]), target_length=len(t)) for c, t in pairs]
    together = list(policy(model, built, [0] * len(built), config))
    for pair, found in zip(built, together, strict=True):
        [alone] = policy(model, [pair], [0], config)
        assert found.value == pytest.approx(alone.value, abs=1e-4)
        assert (found.nfe, found.positions) == (alone.nfe, alone.positions)
        assert found.is_greedy == alone.is_greedy


@pytest.mark.parametrize(
    ("attention", "block_length", "shift"),
    [("full", None, 0), ("full", None, 1), ("block_causal", 4, 0), ("block_causal", 4, 1)],
)
def test_a_pairs_value_does_not_depend_on_batches_and_neighbours(
    attention: Attention, block_length: int | None, shift: int
) -> None:
    model = small_model(attention, block_length=block_length, logits_shift=shift)
    each_kind: tuple[dict[str, Any], ...] = (
        {"steps": 32},
        {"threshold": 0.4},
        {"sampler": "klass", "threshold": 0.3},
    )
    for settings in each_kind:
        alone_and_together(model, 8192, **settings)
        alone_and_together(model, 20, **settings)


@pytest.mark.parametrize("shift", [0, 1])
@pytest.mark.parametrize("attention", ["full", "block_causal", "causal_context"])
def test_small_models_say_what_the_slow_statement_says(attention: Attention, shift: int) -> None:
    """By blocks from position 0, context and target both ending within one, nothing behind them."""
    block = 4
    model = small_model(attention, block_length=block, logits_shift=shift)

    def read(canvas: list[int], block_start: int) -> slow_policy.Rows:
        rows: slow_policy.Rows = slow_log_probs(model, canvas, block_start).tolist()
        return rows

    settings: dict[str, Any] = {"sampler": "margin", "gen_length": 8, "block_length": 4, "steps": 4}
    for context, length in [((1, 2), 5), ((3, 0, 1, 1), 3), ((2, 0, 1), 6)]:
        first = block - len(context) % block if attention == "block_causal" else block
        borders = (*range(first, length, block), length)
        rule = quota([2, 2], slow_policy.by_margin)
        slow = SlowPolicy(read, rule, MASK, context, borders, sees_later_blocks=attention == "full")
        target = tuple(random.Random(length).choices(range(TOKENS), k=length))
        [found] = scored(model, [target], context=context, **settings)
        value, steps = slow.log_p(target)
        assert found.value == pytest.approx(value, abs=1e-4)
        assert found.nfe == steps
        every = scored(model, texts(3, TOKENS), context=context, **settings)
        assert total(every) == pytest.approx(1, abs=1e-5)


def test_a_blocks_first_token_may_be_alone() -> None:
    """As Fast-dLLM v2 and NBDiff decode: in a step of its own, then by threshold."""
    model = small_model("full", logits_shift=1)

    def read(canvas: list[int], block_start: int) -> slow_policy.Rows:
        rows: slow_policy.Rows = slow_log_probs(model, canvas, block_start).tolist()
        return rows

    def rule(step: slow_policy.Step) -> Collection[int]:
        return [step.first] if step.index == 0 else slow_policy.threshold(0.5)(step)

    slow = SlowPolicy(read, rule, MASK, CONTEXT, (2, 4))
    settings: dict[str, Any] = {
        "threshold": 0.5,
        "first_token": "autoregressive",
        "block_length": 2,
    }
    found = scored(model, texts(4, TOKENS), **settings)
    assert total(found) == pytest.approx(1, abs=1e-5)
    for target, each in list(zip(texts(4, TOKENS), found, strict=True))[::37]:
        value, steps = slow.log_p(target)
        assert each.value == pytest.approx(value, abs=1e-4)
        assert each.nfe == steps


def test_guidance_scores_the_guided_distribution() -> None:
    model = small_model("full")

    def read(canvas: list[int], block_start: int) -> slow_policy.Rows:
        blank = [MASK] * len(CONTEXT) + canvas[len(CONTEXT) :]
        own, bare = (slow_log_probs(model, each, block_start) for each in (canvas, blank))
        rows: slow_policy.Rows = (bare + 1.5 * (own - bare)).tolist()
        return rows

    slow = SlowPolicy(read, quota([1] * 3), MASK, CONTEXT, (3,))
    [found] = scored(model, [(3, 0, 2)], cfg_scale=0.5)
    value, steps = slow.log_p((3, 0, 2))
    assert found.value == pytest.approx(value, abs=1e-4)
    assert found.nfe == 2 * steps


def test_the_late_head_makes_no_difference(monkeypatch: pytest.MonkeyPatch) -> None:
    model = small_model("full")
    before = scored(model, texts(3, TOKENS), sampler="margin")
    monkeypatch.setattr(late_head, "LARGE_VOCABULARY", 1)
    assert scored(model, texts(3, TOKENS), sampler="margin") == before


@pytest.mark.parametrize("settings", [{"steps": 32}, {"threshold": 0.5}, {"sampler": "klass"}])
def test_the_text_that_the_sampler_writes_is_the_greedy_one(settings: dict[str, Any]) -> None:
    model = small_model("full")
    sampler = SamplerConfig.from_mapping({**settings, "gen_length": 64}, model.family)
    own = replace(sampler, gen_length=3, steps=2 if "steps" in settings else 3)
    [written] = generate_batch(model, [Prompt(prefix=CONTEXT)], own)
    found = scored(model, texts(3, TOKENS), **settings)
    greedy = [t for t, each in zip(texts(3, TOKENS), found, strict=True) if each.is_greedy]
    assert greedy == [written.tokens]
    at = texts(3, TOKENS).index(written.tokens)
    assert (found[at].nfe, found[at].positions) == (written.nfe, written.positions)


def test_an_approximate_cache_gives_a_law_of_its_own() -> None:
    model = small_model("full")
    settings: dict[str, Any] = {"gen_length": 4, "block_length": 2, "steps": 4}
    exact = scored(model, texts(4, TOKENS), **settings)
    cached = scored(model, texts(4, TOKENS), cache="prefix", **settings)
    assert total(cached) == pytest.approx(1, abs=1e-5)
    assert max(abs(a.value - b.value) for a, b in zip(exact, cached, strict=True)) > 1e-3


def test_a_pass_that_runs_out_of_memory_is_halved(monkeypatch: pytest.MonkeyPatch) -> None:
    model = small_model("full")
    before = scored(model, texts(3, TOKENS), sampler="margin", steps=32)
    whole, asked = model.logits, []

    def small_memory(token_ids: Tensor, **options: Any) -> Tensor:
        asked.append(len(token_ids))
        if len(token_ids) > 20:
            raise torch.OutOfMemoryError("CUDA out of memory")
        return whole(token_ids, **options)

    monkeypatch.setattr(model, "logits", small_memory)
    after = scored(model, texts(3, TOKENS), sampler="margin", steps=32)
    assert asked[:3] == [64, 32, 16]
    assert set(asked[2:]) == {16}
    for each, other in zip(after, before, strict=True):
        assert each.value == pytest.approx(other.value, abs=1e-5)
