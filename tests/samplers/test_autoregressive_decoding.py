"""The autoregressive loop against transformers' own generate, and against itself one by one."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
import torch

from dllm_eval.api import Generation, Prompt
from dllm_eval.errors import UsageError
from dllm_eval.loading import load_autoregressive
from dllm_eval.samplers.autoregressive import generate_autoregressive

PROMPTS = [(5, 9, 200), (7,), (3, 3, 3, 8, 1, 250, 30), (260, 261, 4, 4)]
NEW = 24


@pytest.fixture(scope="module")
def model(tiny_llama: Path) -> Any:
    return load_autoregressive(str(tiny_llama), device="cpu")[0]


def transformers_answer(model: Any, prompt: Sequence[int], eos: int) -> list[int]:
    out = model.generate(
        torch.tensor([prompt]),
        attention_mask=torch.ones(1, len(prompt), dtype=torch.long),
        do_sample=False,
        max_new_tokens=NEW,
        eos_token_id=eos,
        pad_token_id=0,
    )
    ids: list[int] = out[0, len(prompt) :].tolist()
    return ids


def ours(model: Any, prompts: Sequence[Sequence[int]], **options: Any) -> list[Generation]:
    settings: dict[str, Any] = {"max_new_tokens": NEW, "eos_ids": [0]} | options
    wrapped = [Prompt(prefix=tuple(p), seed=sum(p)) for p in prompts]
    return generate_autoregressive(model, wrapped, **settings)


def an_end_id(model: Any) -> int:
    """An id that the longest prompt's greedy answer reaches half way, for a stop that happens."""
    return transformers_answer(model, PROMPTS[2], -1)[NEW // 2]


@pytest.mark.parametrize("cache", ["dynamic", "static"])
def test_equals_transformers_generate(model: Any, cache: str) -> None:
    eos = an_end_id(model)
    lengths = set()
    for prompt in PROMPTS:
        (found,) = ours(model, [prompt], eos_ids=[eos], cache=cache)
        assert list(found.tokens) == transformers_answer(model, prompt, eos)
        lengths.add(len(found.tokens))
    assert min(lengths) < NEW


@pytest.mark.parametrize("cache", ["dynamic", "static"])
@pytest.mark.parametrize("temperature", [0.0, 0.8])
def test_a_batch_of_unequal_prompts_equals_one_by_one(
    model: Any, cache: str, temperature: float
) -> None:
    options = {"eos_ids": [an_end_id(model)], "cache": cache, "temperature": temperature}
    together = ours(model, PROMPTS, **options)
    backwards = ours(model, PROMPTS[::-1], **options)[::-1]
    alone = [ours(model, [prompt], **options)[0] for prompt in PROMPTS]
    for one, two, three in zip(together, backwards, alone, strict=True):
        assert one.tokens == two.tokens == three.tokens
        assert (one.nfe, one.positions) == (three.nfe, three.positions)


def test_costs_are_counted_per_request(model: Any) -> None:
    eos = an_end_id(model)
    for prompt, found in zip(PROMPTS, ours(model, PROMPTS, eos_ids=[eos]), strict=True):
        ended = found.tokens[-1] == eos
        assert found.nfe == len(found.tokens) <= NEW
        assert found.positions == len(prompt) + len(found.tokens) - 1
        assert found.stop_reason == ("eos" if ended else "length")
        assert found.visible == (found.tokens[:-1] if ended else found.tokens)
        assert found.reveal_step == tuple(range(len(found.tokens)))


def test_forwards_are_one_prefill_and_one_token_each(model: Any) -> None:
    widths = []
    hook = model.register_forward_pre_hook(
        lambda _, __, kwargs: widths.append(kwargs["input_ids"].shape[1]), with_kwargs=True
    )
    try:
        (found,) = ours(model, [PROMPTS[2]], max_new_tokens=6, eos_ids=[])
    finally:
        hook.remove()
    assert widths == [7, 1, 1, 1, 1, 1]
    assert (found.nfe, found.host_syncs) == (6, 6)


def test_sampling_follows_the_models_distribution(model: Any) -> None:
    prompt, draws, temperature = PROMPTS[0], 4000, 1.3
    wrapped = [Prompt(prefix=prompt, seed=seed) for seed in range(draws)]
    found = generate_autoregressive(
        model, wrapped, max_new_tokens=1, eos_ids=[], temperature=temperature
    )
    with torch.inference_mode():
        logits = model(torch.tensor([prompt])).logits[0, -1].double()
    expected = (logits / temperature).softmax(dim=0)
    counts = torch.bincount(torch.tensor([g.tokens[0] for g in found]), minlength=len(expected))
    error = (counts / draws - expected).abs()
    assert (error <= 4.5 * (expected * (1 - expected) / draws).sqrt() + 1 / draws).all()


def test_stop_ends_a_request_at_once(model: Any) -> None:
    (found,) = ours(model, [PROMPTS[0]], eos_ids=[], stop=lambda ids: len(ids) == 3)
    assert (len(found.tokens), found.stop_reason) == (3, "stop_string")


@pytest.mark.parametrize(
    ("prompt", "options", "message"),
    [
        (Prompt(prefix=()), {}, "empty prompt"),
        (Prompt(prefix=(1,), suffix=(2,)), {}, "takes no suffix"),
        (Prompt(prefix=(1,)), {"max_new_tokens": 0}, "max_new_tokens is 0"),
        (Prompt(prefix=(1,)), {"temperature": -1.0}, "temperature is -1.0"),
        (Prompt(prefix=(1,)), {"cache": "none"}, "known: dynamic, static"),
    ],
)
def test_bad_input(model: Any, prompt: Prompt, options: dict[str, Any], message: str) -> None:
    settings: dict[str, Any] = {"max_new_tokens": NEW, "eos_ids": [0]} | options
    with pytest.raises(UsageError, match=message):
        generate_autoregressive(model, [prompt], **settings)
