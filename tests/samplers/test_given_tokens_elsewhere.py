"""Given tokens under the other rules, the caches and the late output head.

What stands at a canvas's end is the same text as a suffix, so a canvas whose last tokens are given
has to be answered as a shorter one before that suffix, wherever a rule draws alike for both.
"""

import math
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from checkpoints import d3pm, diffusion_lm, plaid
from small_transformer import small_model

from dllm_eval import load_model
from dllm_eval.api import Prompt
from dllm_eval.families import NO_MASK
from dllm_eval.samplers import SamplerConfig, generate_batch, late_head
from dllm_eval.samplers.config import CacheUse

GIVEN = ((0, 2), (3, 1), (4, 0), (7, 3))
TAIL = (1, 3, 2)


def prompts(length: int) -> list[Prompt]:
    return [
        Prompt(prefix=(3, 1, 2), given=GIVEN, seed=1),
        Prompt(prefix=(2,), suffix=(0, 1), seed=2),
        Prompt(prefix=(1, 1), given=((length - 1, 2),), suffix=(3,), seed=3),
        Prompt(
            prefix=(2, 3, 0),
            given=tuple((place, place % 4) for place in range(length) if place != 2),
            seed=4,
        ),
    ]


def check(model: Any, config: SamplerConfig) -> None:
    """Given tokens stay, and a batch answers as its requests do."""
    asked = prompts(config.gen_length)
    for prompt, out in zip(asked, generate_batch(model, asked, config), strict=True):
        [alone] = generate_batch(model, [prompt], config)
        assert (out.tokens, out.reveal_step) == (alone.tokens, alone.reveal_step)
        assert (out.nfe, out.positions) == (alone.nfe, alone.positions)
        given = dict(prompt.given)
        assert {place: out.tokens[place] for place in given} == given
        assert [at for at, step in enumerate(out.reveal_step) if step == -2] == sorted(given)


def at_the_end(model: Any, config: SamplerConfig) -> None:
    """A given tail is a suffix."""
    before = [
        Prompt(prefix=(3, 1, 2), suffix=TAIL, seed=1),
        Prompt(prefix=(2,), suffix=(*TAIL, 0), seed=2),
    ]
    places = range(config.gen_length, config.gen_length + len(TAIL))
    given = tuple(zip(places, TAIL, strict=True))
    on_it = [
        replace(before[0], suffix=(), given=given),
        replace(before[1], suffix=(0,), given=given),
    ]
    longer = replace(config, gen_length=config.gen_length + len(TAIL), block_length=None)
    for one, other in zip(
        generate_batch(model, before, config), generate_batch(model, on_it, longer), strict=True
    ):
        assert other.tokens == (*one.tokens, *TAIL)
        assert (one.nfe, one.positions) == (other.nfe, other.positions)


@pytest.mark.parametrize("checkpoints", [plaid, diffusion_lm], ids=["plaid", "diffusion_lm"])
def test_latents_of_given_tokens_are_held(checkpoints: Any, tmp_path: Path) -> None:
    model = load_model(str(checkpoints.write(tmp_path / "tiny")), device="cpu")
    config = SamplerConfig.from_mapping({"gen_length": 8, "steps": 4}, model.family)
    check(model, config)
    at_the_end(model, config)


@pytest.mark.parametrize("steps", [1, 4])
def test_a_chain_leaves_given_tokens_alone(steps: int, tmp_path: Path) -> None:
    model = load_model(str(d3pm.write(tmp_path / "tiny")), device="cpu")
    for block in (8, 4):
        settings = {"gen_length": 8, "steps": steps * 8 // block, "block_length": block}
        check(model, SamplerConfig.from_mapping(settings, model.family))


def slow_uniform(model: Any, prompt: Prompt, config: SamplerConfig) -> list[int]:
    """Accept the surest, draw the rest anew: what is given is neither drawn nor counted."""
    source, length = torch.Generator().manual_seed(prompt.seed), config.gen_length
    given = dict(prompt.given)
    vocab = model.vocab_size

    def random_tokens() -> list[int]:
        drawn = torch.empty(length, dtype=torch.float64).uniform_(generator=source)
        return [given.get(i, int(drawn[i] * vocab)) for i in range(length)]

    canvas = random_tokens()
    unchanged, last = 0, None
    for _ in range(config.steps):
        text = [*prompt.prefix, *canvas, *prompt.suffix]
        rows = model.logits(torch.tensor([text]))[0, len(prompt.prefix) :][:length]
        rows = rows / config.temperature
        likeliest = [given.get(i, int(rows[i].argmax())) for i in range(length)]
        log_p = rows.log_softmax(-1)
        uniform = torch.empty(rows.shape).uniform_(generator=source)
        noise = -torch.log(-torch.log(uniform.clamp(min=torch.finfo(torch.float32).tiny)))
        drawn = (log_p + noise).argmax(-1).tolist()
        entropy = {
            i: -sum(math.exp(p) * p for p in log_p[i].double().tolist())
            for i in range(length)
            if i not in given
        }
        unchanged = unchanged + 1 if likeliest == last else 0
        last = likeliest
        mean = sum(entropy.values()) / len(entropy)
        total, kept = 0.0, set()
        for i in sorted(entropy, key=lambda i: entropy[i]):
            if total <= (config.entropy_bound or 0.0):
                kept.add(i)
            total += entropy[i]
        anew = random_tokens()
        canvas = [given.get(i, drawn[i] if i in kept else anew[i]) for i in range(length)]
        assert config.stop_entropy is not None
        if unchanged >= config.stable_steps and mean < config.stop_entropy:
            break
    assert last is not None
    return last


@pytest.mark.parametrize("stop_entropy", [0.0, 2.0])
def test_uniform_noise_counts_what_it_draws_alone(
    stop_entropy: float, random_denoiser: Callable[..., Any]
) -> None:
    model = random_denoiser(23, 4)
    model.family = replace(model.family, noise="uniform", mask_id=NO_MASK)
    config = SamplerConfig(
        gen_length=9,
        steps=8,
        temperature=0.5,
        entropy_bound=1.0,
        stop_entropy=stop_entropy,
        stable_steps=1,
    )
    check(model, config)
    asked = prompts(9)
    for prompt, out in zip(asked, generate_batch(model, asked, config), strict=True):
        assert list(out.tokens) == slow_uniform(model, prompt, config)


@pytest.mark.parametrize("shift", [0, 1])
def test_approximate_caches_know_what_is_given(shift: int) -> None:
    model = small_model("full", logits_shift=shift)
    kinds: tuple[CacheUse, ...] = ("prefix", "dual", "delayed")
    for cache in kinds:
        for block, steps in ((8, 4), (4, 6), (4, 2)):
            config = SamplerConfig(gen_length=8, block_length=block, steps=steps, cache=cache)
            check(model, config)
            asked = prompts(8)
            fresh = generate_batch(model, asked, replace(config, cache_refresh=1))
            plain = generate_batch(model, asked, replace(config, cache="none"))
            assert [out.tokens for out in fresh] == [out.tokens for out in plain]
    for cache in (kinds[0], kinds[2]):
        # "dual" reads a block's columns alone, so there a suffix is staler than a given tail.
        at_the_end(model, SamplerConfig(gen_length=6, steps=3, cache=cache))


@pytest.mark.parametrize("settings", [{"steps": 4}, {"steps": 2, "threshold": 0.4}, {"steps": 8}])
def test_the_late_head_is_asked_at_masked_positions_alone(
    settings: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    model = small_model("full")
    config = SamplerConfig(gen_length=8, **settings)
    asked = prompts(8)
    plain = generate_batch(model, asked, config)
    monkeypatch.setattr(late_head, "LARGE_VOCABULARY", 1)
    seen: list[int] = []
    run = late_head.propose_masked

    def watched(states: Any, **options: Any) -> Any:
        seen.append(sum(states.reads.counts))
        return run(states, **options)

    monkeypatch.setattr("dllm_eval.samplers.reveal.propose_masked", watched)
    late = generate_batch(model, asked, config)
    assert [(a.tokens, a.reveal_step) for a in late] == [(a.tokens, a.reveal_step) for a in plain]
    assert seen[0] == 4 + 8 + 7 + 1
