"""BD3-LM's first-hitting sampler, against its published update said slowly.

`diffusion.py` of kuleshov-group/bd3lms, commit 1c3e8f43: `_semi_ar_sampler`,
`_ddpm_caching_update` with `first_hitting`, `_nucleus_sample`.
"""

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import replace
from itertools import product

import numpy as np
import pytest
import torch
from checkpoints import bd3lm
from enumerated import p_value, sampled
from numpy.typing import NDArray
from safetensors.torch import load_file, save_file

from dllm_eval.api import Prompt
from dllm_eval.denoiser import ModelDenoiser
from dllm_eval.loading import load_model
from dllm_eval.samplers.config import SamplerConfig
from dllm_eval.samplers.loop import generate_batch

TOKENS, MASK, BEGIN, BLOCK = 5, 300, 0, 2
"""The model below gives only the first few tokens any probability."""


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> ModelDenoiser:
    folder = bd3lm.write(tmp_path_factory.mktemp("bd3lm") / "few", block_size=BLOCK)
    tensors = load_file(folder / "model.safetensors")
    tensors["backbone.output_layer.linear.bias"][TOKENS:] = -1e4
    save_file(tensors, folder / "model.safetensors")
    loaded = load_model(str(folder), dtype="float32")
    assert isinstance(loaded, ModelDenoiser)
    return loaded


def config(model: ModelDenoiser, gen_length: int, **settings: object) -> SamplerConfig:
    return SamplerConfig.from_mapping({"gen_length": gen_length, **settings}, model.family)


def nucleus(logits: NDArray[np.float64]) -> NDArray[np.float64]:
    """`_nucleus_sample` at .9 after SUBS: tokens stay while they are within .9 together."""
    weights = np.exp(logits - logits.max())
    weights[MASK] = 0
    weights /= weights.sum()
    kept, reached = np.zeros_like(weights), 0.0
    for rank, token in enumerate(np.argsort(-weights)):
        reached += weights[token]
        if rank == 0 or reached <= 0.9:
            kept[token] = weights[token]
    shares: NDArray[np.float64] = kept / kept.sum()
    return shares


def one_block(
    model: ModelDenoiser, before: Sequence[int], masks: int
) -> dict[tuple[int, ...], float]:
    """Rows that end with so many masks of one block -> the share of each way to fill them."""
    states: dict[tuple[int, ...], float] = {(*before, *[MASK] * masks): 1.0}
    for _ in range(masks):
        after: defaultdict[tuple[int, ...], float] = defaultdict(float)
        for row, share in states.items():
            logits = model.logits(torch.tensor([list(row)]))[0].double().numpy()
            masked = [place for place, token in enumerate(row) if token == MASK]
            for place in masked:  # one of them, each as likely
                for token, chance in enumerate(nucleus(logits[place])):
                    if chance > 0:
                        filled = (*row[:place], token, *row[place + 1 :])
                        after[filled] += share * chance / len(masked)
        states = dict(after)
    return states


def answers(
    model: ModelDenoiser, prefix: tuple[int, ...], gen_length: int
) -> dict[tuple[int, ...], float]:
    """Canvas -> probability; blocks count from the first token of the row."""
    states: dict[tuple[int, ...], float] = {prefix: 1.0}
    stop = -(-(len(prefix) + gen_length) // BLOCK) * BLOCK
    while any(len(row) < stop for row in states):
        after: defaultdict[tuple[int, ...], float] = defaultdict(float)
        for row, share in states.items():
            masks = BLOCK - len(row) % BLOCK
            for longer, chance in one_block(model, row, masks).items():
                after[longer] += share * chance
        states = dict(after)
    out: defaultdict[tuple[int, ...], float] = defaultdict(float)
    for row, share in states.items():
        out[row[len(prefix) : len(prefix) + gen_length]] += share
    return dict(out)


@pytest.mark.parametrize("cache", ["auto", "none"])
@pytest.mark.parametrize(
    ("prefix", "gen_length"),
    [((BEGIN,), 2), ((BEGIN, 3), 2), ((BEGIN, 3, 1), 2), ((BEGIN, 4, 2, 2), 2)],
)
def test_answers_have_the_published_distribution(
    prefix: tuple[int, ...], gen_length: int, cache: str, model: ModelDenoiser
) -> None:
    found = sampled(model, config(model, gen_length, cache=cache), 2000, prefix=prefix)
    assert p_value(found, answers(model, prefix, gen_length)) > 1e-3


def test_each_step_reveals_exactly_one_position(model: ModelDenoiser) -> None:
    prompts = [Prompt(prefix=(BEGIN, 3), seed=seed) for seed in range(20)]
    for out in generate_batch(model, prompts, config(model, 6)):
        assert sorted(out.reveal_step) == list(range(6))
        assert out.nfe == 6
        assert out.host_syncs == 0


def test_both_orders_within_a_block_occur(model: ModelDenoiser) -> None:
    prompts = [Prompt(prefix=(BEGIN, 2), seed=seed) for seed in range(200)]
    first = sum(
        out.reveal_step == (0, 1) for out in generate_batch(model, prompts, config(model, 2))
    )
    assert 70 < first < 130


def test_a_batch_of_unequal_prompts_gives_each_its_own_answer(model: ModelDenoiser) -> None:
    prompts = [
        Prompt(prefix=(BEGIN, 1, 2), seed=1),
        Prompt(prefix=(BEGIN,), seed=2),
        Prompt(prefix=(BEGIN, 4, 3, 2, 1, 1), seed=3),
    ]
    together = generate_batch(model, prompts, config(model, 4))
    for prompt, out in zip(prompts, together, strict=True):
        (alone,) = generate_batch(model, [prompt], config(model, 4))
        assert (out.tokens, out.reveal_step, out.nfe) == (
            alone.tokens,
            alone.reveal_step,
            alone.nfe,
        )


def test_the_published_nucleus_is_stricter_than_the_usual_one(model: ModelDenoiser) -> None:
    strict = sampled(model, config(model, 2), 2000, prefix=(BEGIN, 3))
    usual = sampled(model, replace(config(model, 2), top_p_cut="reach"), 2000, prefix=(BEGIN, 3))
    assert set(strict) < set(usual)
    assert set(strict) <= set(product(range(TOKENS), repeat=2))
