"""Logits that are no numbers are an error and never an answer; -inf alone is a number here."""

import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

from dllm_eval.api import Prompt
from dllm_eval.errors import UsageError
from dllm_eval.loading import load_autoregressive
from dllm_eval.samplers import SamplerConfig, generate, generate_batch
from dllm_eval.samplers.autoregressive import generate_autoregressive

EOS, EOT, MASK = 1, 2, 3
PROMPTS = [Prompt(prefix=(5, 6, 7), seed=1), Prompt(prefix=(9,), seed=2)]
SETTINGS: list[dict[str, Any]] = [
    {"steps": 8},
    {"steps": 8, "temperature": 1.0, "sampler": "random"},
    {"steps": 8, "eos_policy": "last"},
    {"steps": 8, "cfg_scale": 1.0},
    {"threshold": 0.5},
    {"steps": 8, "block_length": 2, "stop": "eos"},
    {"steps": 8, "mode": "reference"},
    {"steps": 8, "mode": "reference", "temperature": 0.7},
    {"steps": 8, "mode": "reference", "eos_policy": "last"},
]


class Edited:
    """Another denoiser with its logits changed, (batch, rows, vocab), from a given pass on."""

    def __init__(self, inner: Any, edit: Callable[[Tensor], object], first: int = 0) -> None:
        self.inner, self.edit, self.first = inner, edit, first
        self.family, self.device, self.vocab_size = inner.family, inner.device, inner.vocab_size
        self.passes = 0

    def logits(
        self,
        token_ids: Tensor,
        *,
        valid: Tensor | None = None,
        rows: slice | None = None,
        **_: object,
    ) -> Tensor:
        logits: Tensor = self.inner.logits(token_ids, valid=valid, rows=rows)
        if self.passes >= self.first:
            self.edit(logits)
        self.passes += 1
        return logits


def last_row_nan(logits: Tensor) -> None:
    logits[-1] = math.nan


def one_nan(logits: Tensor) -> None:
    logits[..., 6] = math.nan


def infinite(logits: Tensor) -> None:
    logits[..., 6] = math.inf


def only_end_of_text(logits: Tensor) -> None:
    logits[..., :EOS] = -math.inf
    logits[..., EOS + 1 :] = -math.inf


@pytest.mark.parametrize("edit", [last_row_nan, one_nan, infinite])
@pytest.mark.parametrize("settings", SETTINGS, ids=str)
def test_logits_that_are_no_numbers_are_refused(
    settings: dict[str, Any],
    edit: Callable[[Tensor], object],
    random_denoiser: Callable[..., Any],
) -> None:
    config = SamplerConfig(gen_length=8, **settings)
    sound = random_denoiser(17, 1)
    generate_batch(sound, PROMPTS, config)
    with pytest.raises(UsageError, match="logits are NaN or infinite") as caught:
        generate_batch(Edited(sound, edit), PROMPTS, config)
    assert "\n" not in str(caught.value)


def test_a_fault_in_the_last_step_alone_is_seen(random_denoiser: Callable[..., Any]) -> None:
    model = Edited(random_denoiser(17, 1), last_row_nan, first=7)
    with pytest.raises(UsageError, match="logits are NaN"):
        generate(model, [5], gen_length=8, steps=8)


@pytest.mark.parametrize("rule", ["low_confidence", "random", "margin", "entropy", "left_to_right"])
@pytest.mark.parametrize("temperature", [0.0, 1.0])
def test_nothing_but_end_of_text_under_last_is_an_empty_answer(
    rule: Any, temperature: float, random_denoiser: Callable[..., Any]
) -> None:
    model = Edited(random_denoiser(17, 1), only_end_of_text)
    out = generate(
        model, [5], gen_length=8, steps=4, eos_policy="last", sampler=rule, temperature=temperature
    )
    assert out.tokens == (EOS,) * 8
    assert (out.visible, out.stop_reason) == ((), "eos")


@pytest.mark.parametrize("rule", ["low_confidence", "random", "margin", "entropy", "left_to_right"])
def test_a_position_that_can_only_end_the_text_comes_last(
    rule: Any, random_denoiser: Callable[..., Any]
) -> None:
    model = Edited(
        random_denoiser(17, 1, forbid_mask=True), lambda logits: only_end_of_text(logits[:, :1])
    )
    out = generate(model, [5], gen_length=4, steps=4, eos_policy="last", sampler=rule)
    others = [step for t, step in zip(out.tokens, out.reveal_step, strict=True) if t != EOS]
    assert others
    assert out.reveal_step[0] > max(others)


def test_forbidding_the_only_token_is_refused(random_denoiser: Callable[..., Any]) -> None:
    model = Edited(random_denoiser(17, 1), only_end_of_text)
    with pytest.raises(UsageError, match="NaN or infinite"):
        generate(model, [5], gen_length=4, steps=4, eos_policy="forbid")


@pytest.mark.parametrize("temperature", [0.0, 0.8])
def test_an_autoregressive_model_is_refused_too(tiny_llama: Path, temperature: float) -> None:
    model, _ = load_autoregressive(str(tiny_llama), device="cpu")

    def spoil(module: Any, args: Any, kwargs: Any, out: Any) -> None:
        del module, args
        if kwargs["input_ids"].shape[1] == 1:  # not the prompt
            out.logits[:] = torch.nan

    hook = model.register_forward_hook(spoil, with_kwargs=True)
    prompts = [Prompt(prefix=(5, 9)), Prompt(prefix=(7,))]
    try:
        generate_autoregressive(
            model, prompts, max_new_tokens=1, eos_ids=[], temperature=temperature
        )
        with pytest.raises(UsageError, match="logits are NaN"):
            generate_autoregressive(
                model, prompts, max_new_tokens=2, eos_ids=[], temperature=temperature
            )
    finally:
        hook.remove()
