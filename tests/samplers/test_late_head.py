"""The output head at masked positions, in chunks, against a slow statement of the loop.

The slow loop takes one request at a time, asks for all logits of its sequence, and goes through
positions one by one; what it knows of a draw is that each masked position takes the request's next
numbers, one per id. Chunks are a few rows here, and tiles a few ids, so that every answer is put
together from several.
"""

import math
from typing import Any

import pytest
import torch
from mixing_model import EOS, EOT, MASK, PROMPTS, WIDTH, model_of
from small_transformer import small_model
from torch import nn

from dllm_eval.api import Prompt
from dllm_eval.denoiser import ModelDenoiser
from dllm_eval.samplers import SamplerConfig, generate_batch, head_tiles, late_head
from dllm_eval.samplers.catalogue import CATALOGUE, Preset
from dllm_eval.samplers.reader import Reader


@pytest.fixture(autouse=True)
def _always(monkeypatch: pytest.MonkeyPatch) -> None:
    """At every vocabulary, and few rows at once; what was computed has to have been asked for."""
    monkeypatch.setattr(late_head, "LARGE_VOCABULARY", 1)
    monkeypatch.setattr(late_head, "CHUNK_ELEMENTS", {"cpu": 16 * 29, "cuda": 16 * 29})
    monkeypatch.setattr(head_tiles, "TILE_COLUMNS", 12)
    monkeypatch.setattr(head_tiles, "TILE_ROWS", 7)


def slow_answer(model: ModelDenoiser, prompt: Prompt, config: SamplerConfig) -> list[int]:
    """One request, all logits, one position at a time."""
    draws = torch.Generator().manual_seed(prompt.seed)
    start, length = len(prompt.prefix), config.gen_length
    x = [*prompt.prefix, *[MASK] * length, *prompt.suffix]
    steps = config.steps // config.num_blocks
    for block in range(start, start + length, config.block):
        step = 0
        while MASK in x[block : block + config.block]:
            masked = [at for at in range(block, block + config.block) if x[at] == MASK]
            tables = distributions(model, x, prompt, config)
            token, sure, score = {}, {}, {}
            for at in masked:
                row = tables[at]
                noisy = row
                if config.temperature > 0:
                    numbers = torch.rand(len(row), generator=draws).clamp(min=1e-38)
                    kept = kept_ids(row, config)
                    noisy = [
                        value / config.temperature - math.log(-math.log(number))
                        if index in kept
                        else -math.inf
                        for index, (value, number) in enumerate(
                            zip(row, numbers.tolist(), strict=True)
                        )
                    ]
                token[at] = noisy.index(max(noisy))
                if config.eos_policy == "last":
                    row = [-math.inf if index in (EOS, EOT) else v for index, v in enumerate(row)]
                p = softmax(row)
                sure[at] = p[token[at]]
                ordered = sorted(p, reverse=True)
                score[at] = {
                    "low_confidence": sure[at],
                    "confidence": ordered[0],
                    "margin": ordered[0] - ordered[1],
                    "entropy": sum(q * math.log(q) for q in p if q > 0),
                    "left_to_right": -at,
                }[config.sampler]
                if config.eos_policy == "last" and sure[at] == 0:
                    score[at] = -1e30
            best = sorted(masked, key=lambda at: -score[at])
            if config.threshold is not None:
                chosen = {best[0], *[at for at in masked if sure[at] >= config.threshold]}
            else:
                count = config.block // steps + (step < config.block % steps)
                chosen = set(best[:count])
            for at in chosen:
                x[at] = token[at]
            step += 1
    return x[start : start + length]


def distributions(
    model: ModelDenoiser, x: list[int], prompt: Prompt, config: SamplerConfig
) -> list[list[float]]:
    told = model.logits(torch.tensor([x]))[0].clone()
    if config.cfg_scale > 0:
        start, stop = len(prompt.prefix), len(prompt.prefix) + config.gen_length
        blank = [x[at] if start <= at < stop else MASK for at in range(len(x))]
        empty = model.logits(torch.tensor([blank]))[0]
        told = empty + (config.cfg_scale + 1) * (told - empty)
    told[:, MASK] = -torch.inf
    if config.eos_policy == "forbid":
        told[:, EOS] = -torch.inf
    rows: list[list[float]] = told.tolist()
    return rows


def kept_ids(row: list[float], config: SamplerConfig) -> set[int]:
    order = sorted(range(len(row)), key=lambda index: -row[index])
    return set(order[: config.top_k])


def softmax(row: list[float]) -> list[float]:
    best = max(row)
    shares = [math.exp(value - best) for value in row]
    return [share / math.fsum(shares) for share in shares]


SETTINGS: list[dict[str, Any]] = [
    *[
        {"sampler": sampler, **steps}
        for sampler in ("low_confidence", "confidence", "margin", "entropy", "left_to_right")
        for steps in ({"steps": 16}, {"steps": 5}, {"steps": 8, "block_length": 4})
    ],
    {"steps": 8, "cfg_scale": 1.5},
    {"steps": 8, "eos_policy": "forbid"},
    {"steps": 8, "eos_policy": "last"},
    {"steps": 8, "eos_policy": "last", "sampler": "entropy"},
    {"threshold": 0.3},
    {"threshold": 0.2, "block_length": 8, "sampler": "margin"},
    {"steps": 8, "temperature": 0.8},
    {"steps": 4, "temperature": 1.2, "sampler": "entropy", "block_length": 8},
    {"steps": 8, "temperature": 0.8, "sampler": "margin", "cfg_scale": 1.0},
    {"steps": 8, "temperature": 1.5, "top_k": 4, "sampler": "confidence"},
    {"threshold": 0.3, "temperature": 0.7},
]


@pytest.mark.parametrize("settings", SETTINGS, ids=str)
def test_every_answer_is_that_of_the_slow_loop_alone_and_in_a_batch(
    settings: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    config = SamplerConfig(gen_length=16, **settings)
    for seed, shift in ((0, 0), (1, 0), (2, 1)):
        model = model_of(seed=seed, shift=shift)
        with monkeypatch.context() as patch:
            patch.setattr(ModelDenoiser, "logits", None)  # the head runs late, or not at all
            together = generate_batch(model, PROMPTS, config)
            alone = [generate_batch(model, [prompt], config)[0] for prompt in PROMPTS]
        assert [out.tokens for out in together] == [out.tokens for out in alone]
        assert [out.reveal_step for out in together] == [out.reveal_step for out in alone]
        for prompt, out in zip(PROMPTS, together, strict=True):
            assert list(out.tokens) == slow_answer(model, prompt, config)


@pytest.mark.parametrize(
    "settings",
    [
        {"sampler": "random", "steps": 4},
        {"sampler": "origin", "steps": 6},
        {"sampler": "dream_entropy", "steps": 6},
        {"sampler": "low_confidence", "steps": 8, "position_temperature": 0.5},
        {"sampler": "margin", "steps": 8, "block_length": 8, "stop": "eos"},
        {
            "threshold": 0.2,
            "block_length": 8,
            "sub_block_length": 4,
            "first_token": "autoregressive",
        },
    ],
    ids=str,
)
def test_the_rest_of_the_loop_is_the_same_as_with_all_logits(
    settings: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    config = SamplerConfig.from_mapping({"gen_length": 16, **settings})
    found = generate_batch(model_of(), PROMPTS, config)
    monkeypatch.setattr(late_head, "LARGE_VOCABULARY", 10**9)
    assert found == generate_batch(model_of(), PROMPTS, config)


@pytest.mark.parametrize(
    "name",
    [
        name
        for name, entry in CATALOGUE.items()
        if not isinstance(entry, Preset) and entry.reads is not None
    ],
)
def test_every_sampler_that_needs_no_whole_distributions_says_so_rightly(
    name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    model = model_of()
    config = SamplerConfig.from_mapping({"gen_length": 64, "block_length": 32, "sampler": name})
    assert late_head.applies(model, config)
    found = generate_batch(model, PROMPTS, config)
    monkeypatch.setattr(late_head, "LARGE_VOCABULARY", 10**9)
    assert found == generate_batch(model, PROMPTS, config)


class OtherHead(nn.Linear):
    """No plain matrix as far as anyone knows, so its columns cannot be taken apart."""


@pytest.mark.parametrize(
    "settings",
    [
        {"sampler": "entropy", "steps": 5},
        {"sampler": "margin", "steps": 8, "block_length": 4},
        {"steps": 8, "cfg_scale": 1.5, "eos_policy": "forbid"},
        {"threshold": 0.3},
    ],
    ids=str,
)
def test_rows_in_chunks_give_what_tiles_of_the_vocabulary_give(
    settings: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    config = SamplerConfig.from_mapping({"gen_length": 16, **settings})
    model = model_of()
    tiled = generate_batch(model, PROMPTS, config)
    other = OtherHead(WIDTH, 29)
    other.load_state_dict(model.head.state_dict())
    other.requires_grad_(requires_grad=False)
    monkeypatch.setattr(head_tiles.TiledHead, "reduce", None)
    in_rows = ModelDenoiser(body=model.body, head=other, family=model.family)
    assert generate_batch(in_rows, PROMPTS, config) == tiled


@pytest.mark.parametrize("size", [1, 4, 28, 29, 30])
def test_the_size_of_a_tile_changes_no_answer(size: int, monkeypatch: pytest.MonkeyPatch) -> None:
    model = model_of()
    config = SamplerConfig(gen_length=16, steps=8, sampler="entropy", eos_policy="forbid")
    found = generate_batch(model, PROMPTS, config)
    monkeypatch.setattr(head_tiles, "TILE_COLUMNS", size)
    assert generate_batch(model, PROMPTS, config) == found


@pytest.mark.parametrize("cache", ["none", "prefix", "dual", "delayed", "auto"])
def test_caches_are_the_same_underneath(cache: str, monkeypatch: pytest.MonkeyPatch) -> None:
    model = small_model("block_causal", block_length=4) if cache == "auto" else small_model("full")
    prompts = [Prompt(prefix=(0, 1, 2, 3)), Prompt(prefix=(2, 1))]
    settings = {"gen_length": 8, "block_length": 4, "steps": 8, "cache": cache}
    config = SamplerConfig.from_mapping(settings)
    found = generate_batch(model, prompts, config)
    monkeypatch.setattr(late_head, "LARGE_VOCABULARY", 10**9)
    assert found == generate_batch(model, prompts, config)


def test_a_sampler_that_may_look_at_anything_gets_all_logits(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    model = model_of()
    monkeypatch.setattr(Reader, "states", None)
    anything = [
        entry
        for entry in CATALOGUE.values()
        if not isinstance(entry, Preset) and entry.reads is None
    ]
    assert anything
    cases: list[dict[str, Any]] = [
        {"mode": "reference", "steps": 4},
        {"threshold": 0.5, "edit_threshold": 0.5},
        {"sampler": "threshold+credit"},
    ]
    for settings in cases:
        config = SamplerConfig.from_mapping({"gen_length": 4, **settings})
        assert not late_head.applies(model, config)
        generate_batch(model, PROMPTS, config)
