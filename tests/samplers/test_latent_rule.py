"""The latent sampler against the two released samplers written out, one request at a time."""

from itertools import pairwise
from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from torch import Tensor

from dllm_eval.api import Generation, Prompt
from dllm_eval.errors import UsageError
from dllm_eval.families import NO_MASK, Family
from dllm_eval.processes.latent_chain import LatentChain, LearnedChain, SteppedChain
from dllm_eval.samplers.config import SamplerConfig
from dllm_eval.samplers.latent import LatentPrediction
from dllm_eval.samplers.loop import generate_batch

VOCAB, WIDTH = 7, 3
Array = NDArray[np.float64]


class FakeModel:
    """Belief and pull depend on all latents, on their places and the time; padding is unseen."""

    def __init__(self, chain: LatentChain, *, self_conditioned: bool, holds_prompts: bool) -> None:
        generator = torch.Generator().manual_seed(4)

        def weights(*shape: int) -> Tensor:
            return torch.randn(*shape, generator=generator, dtype=torch.float64)

        self.table, self.place = weights(VOCAB, WIDTH), weights(64, WIDTH)
        self.mix, self.out, self.tug = weights(3 * WIDTH, 8), weights(8, VOCAB), weights(8, WIDTH)
        self.chain, self.holds_prompts, self.latent_width = chain, holds_prompts, WIDTH
        self.device, self.vocab_size = torch.device("cpu"), VOCAB
        self.family = Family(
            name="fake",
            noise="continuous",
            mask_id=NO_MASK,
            eos_id=0,
            pad_id=0,
            context_length=64,
            time_conditioned=True,
            self_conditioned=self_conditioned,
            likelihood="latent",
        )
        self.passes: list[int] = []

    def embed(self, token_ids: Tensor) -> Tensor:
        return self.table[token_ids]

    def predict(
        self,
        token_ids: Tensor,
        *,
        latents: Tensor,
        valid: Tensor | None = None,
        time: Tensor | None = None,
    ) -> Tensor:
        assert time is not None
        self.passes.append(len(latents))
        seen = torch.ones_like(token_ids).bool() if valid is None else valid
        place = self.place[(seen.cumsum(1) - 1).clamp(min=0)]
        told = torch.where((token_ids != NO_MASK) & seen, token_ids.double() + 1, 0.0)[..., None]
        known = latents if self.family.self_conditioned else torch.cat([latents] * 2, dim=-1)
        rows = torch.cat([known, place + 0.1 * told + time[:, None, None]], dim=-1)
        rows = torch.where(seen[..., None], rows, 0.0)
        hidden = torch.tanh((rows + 0.2 * rows.sum(dim=1, keepdim=True)) @ self.mix)
        logits = 2 * hidden @ self.out
        pull = torch.zeros(*token_ids.shape, WIDTH, dtype=torch.float64)
        if not self.holds_prompts:
            pull = 0.3 * hidden @ self.tug * (told.sum(dim=1, keepdim=True) > 0)
        return LatentPrediction(
            clean=logits.softmax(dim=-1) @ self.table, pull=pull, logits=logits
        ).packed()

    def alone(self, tokens: list[int], latents: Array, time: float) -> tuple[Array, Array, Array]:
        """Clean latents, pull and logits of one unpadded request."""
        said = LatentPrediction.unpacked(
            self.predict(
                torch.tensor([tokens]),
                latents=torch.from_numpy(latents)[None],
                time=torch.tensor([time], dtype=torch.float64),
            ),
            WIDTH,
        )
        return said.clean[0].numpy(), said.pull[0].numpy(), said.logits[0].numpy()


TOTAL = 12
STEPPED = SteppedChain.build(schedule="sqrt", num_steps=TOTAL, device=torch.device("cpu"))
GENERATOR = torch.Generator().manual_seed(8)
LEARNED = LearnedChain(
    slopes=torch.randn(5, generator=GENERATOR),
    offsets=torch.randn(5, generator=GENERATOR),
    heights=torch.randn(5, generator=GENERATOR),
    gamma_0=torch.tensor(-3.0),
    gamma_1=torch.tensor(6.0),
)


def diffusion_lm() -> FakeModel:
    return FakeModel(STEPPED, self_conditioned=False, holds_prompts=True)


def plaid() -> FakeModel:
    return FakeModel(LEARNED, self_conditioned=True, holds_prompts=False)


def settings(**changes: Any) -> SamplerConfig:
    given = {"transition": "ancestral", "gen_length": 5, "steps": 6, "temperature": 1.0}
    return SamplerConfig(**{**given, **changes})


def run(model: FakeModel, prompts: list[Prompt], config: SamplerConfig) -> list[Generation]:
    untyped: Any = model  # the loop's Protocol is that of discrete models
    return generate_batch(untyped, prompts, config)


def draws(seed: int, length: int) -> Any:
    generator = torch.Generator().manual_seed(seed)
    while True:
        numbers = torch.empty(length, WIDTH, dtype=torch.float64).normal_(generator=generator)
        yield numbers.numpy()


def slow_diffusion_lm(model: FakeModel, prompt: Prompt, config: SamplerConfig) -> list[int]:
    """p_sample under respaced betas, the known part replaced as in the infilling loop."""
    left = [1 - np.sqrt(step / TOTAL + 1e-4) for step in range(TOTAL + 1)]
    alphas = np.cumprod([1 - min(1 - b / a, 0.999) for a, b in pairwise(left)])
    place, stride, taken = 0.0, (TOTAL - 1) / max(config.steps - 1, 1), []
    for _ in range(config.steps):
        taken.append(round(place))
        place += stride
    tokens = [*prompt.prefix, *[NO_MASK] * config.gen_length, *prompt.suffix]
    known = np.array([token != NO_MASK for token in tokens])[:, None]
    clean_prompt = model.table[torch.tensor(tokens).clamp(min=0)].numpy()
    noise = draws(prompt.seed, len(tokens))
    last = alphas[taken[-1]]
    latents = next(noise)
    noised = np.sqrt(alphas[-1]) * clean_prompt + np.sqrt(1 - alphas[-1]) * latents
    latents, logits = np.where(known, noised, latents), np.zeros(0)
    for index in range(config.steps - 1, -1, -1):
        here = alphas[taken[index]]
        before = alphas[taken[index - 1]] if index else 1.0
        beta = 1 - here / before
        clean, _, logits = model.alone(tokens, latents, (taken[index] + 1) / TOTAL)
        if config.temperature != 1:
            error = (latents - np.sqrt(here) * clean) / np.sqrt(1 - here) / config.temperature
            clean = (latents - np.sqrt(1 - here) * error) / np.sqrt(here)
        mean = beta * np.sqrt(before) / (1 - here) * clean
        mean = mean + (1 - before) * np.sqrt(here / before) / (1 - here) * latents
        latents = mean + np.sqrt(beta * (1 - before) / (1 - here)) * next(noise)
        latents = np.where(known, clean_prompt, latents)
    assert last <= 1
    start = len(prompt.prefix)
    best: list[int] = logits[start : start + config.gen_length].argmax(axis=1).tolist()
    return best


def gamma(time: float) -> float:
    """The monotone network, straight from its formula."""

    def raw(at: float) -> float:
        slopes = np.log1p(np.exp(LEARNED.slopes.double().numpy()))
        heights = 0.01 * np.log1p(np.exp(LEARNED.heights.double().numpy()))
        return float(heights @ np.tanh(slopes * (at - 0.5) + LEARNED.offsets.double().numpy()))

    return -3.0 + 9.0 * (raw(time) - raw(0.0)) / (raw(1.0) - raw(0.0))


def slow_plaid(model: FakeModel, prompt: Prompt, config: SamplerConfig) -> list[int]:
    """sample.py's loop: score temperature, self-conditioning, guidance, two passes at time 0."""
    tokens = [*prompt.prefix, *[NO_MASK] * config.gen_length, *prompt.suffix]
    noise = draws(prompt.seed, len(tokens))
    latents = next(noise)
    before = np.zeros_like(latents)
    for time in np.linspace(1.0, 0.0, config.steps):
        clean, pull, _ = model.alone(tokens, np.concatenate([latents, before], axis=1), time)
        before = clean
        if time > 0:
            here, there = gamma(time), gamma(time - 1 / config.steps)
            kept, kept_next = 1 / (1 + np.exp(here)), 1 / (1 + np.exp(there))
            error = (latents - np.sqrt(kept) * clean) / np.sqrt(1 - kept) / config.temperature
            clean = (latents - np.sqrt(1 - kept) * error) / np.sqrt(kept) + pull
            share = -np.expm1(there - here)
            latents = latents * (1 - share) * np.sqrt(kept_next / kept)
            latents = latents + share * np.sqrt(kept_next) * clean
            latents = latents + np.sqrt(share * (1 - kept_next)) * next(noise)
    _, _, logits = model.alone(tokens, np.concatenate([latents, before], axis=1), 0.0)
    start = len(prompt.prefix)
    best: list[int] = logits[start : start + config.gen_length].argmax(axis=1).tolist()
    return best


PROMPTS = [
    Prompt(prefix=(), seed=0),
    Prompt(prefix=(1, 2, 3), seed=1),
    Prompt(prefix=(4,), suffix=(5, 6), seed=2),
    Prompt(prefix=(1, 2, 3), seed=3),
]


@pytest.mark.parametrize("temperature", [1.0, 0.9])
@pytest.mark.parametrize("steps", [12, 6, 5, 2, 1])
def test_diffusion_lm_is_its_released_sampler(steps: int, temperature: float) -> None:
    model, config = diffusion_lm(), settings(steps=steps, temperature=temperature)
    found = [run(model, [prompt], config)[0] for prompt in PROMPTS]
    for prompt, one in zip(PROMPTS, found, strict=True):
        assert list(one.tokens) == slow_diffusion_lm(model, prompt, config)
        assert one.nfe == steps
        assert one.positions == steps * (5 + len(prompt.prefix) + len(prompt.suffix))
    assert len({one.tokens for one in found}) > 1


@pytest.mark.parametrize("temperature", [1.0, 0.9])
@pytest.mark.parametrize("steps", [16, 5, 2])
def test_plaid_is_its_released_sampler(steps: int, temperature: float) -> None:
    model, config = plaid(), settings(steps=steps, temperature=temperature)
    found = [run(model, [prompt], config)[0] for prompt in PROMPTS]
    for prompt, one in zip(PROMPTS, found, strict=True):
        assert list(one.tokens) == slow_plaid(model, prompt, config)
        assert one.nfe == steps + 1
    assert len({one.tokens for one in found}) > 1


@pytest.mark.parametrize("build", [diffusion_lm, plaid])
def test_a_batch_answers_as_its_requests_do(build: Any) -> None:
    model, config = build(), settings(steps=6)
    alone = [run(model, [prompt], config)[0].tokens for prompt in PROMPTS]
    model.passes.clear()
    assert [one.tokens for one in run(model, PROMPTS, config)] == alone
    assert model.passes == [4] * (6 if model.holds_prompts else 7)


def test_gamma_grows_and_its_slope_is_its_derivative() -> None:
    times = torch.linspace(0, 1, 11, dtype=torch.float64, requires_grad=True)
    found = LEARNED.gamma(times)
    assert torch.equal(found.sort().values, found)
    assert found.tolist() == pytest.approx([gamma(time) for time in times.tolist()])
    (slope,) = torch.autograd.grad(found.sum(), times)
    assert torch.allclose(slope, LEARNED.slope(times), rtol=1e-9)


@pytest.mark.parametrize(
    ("changes", "line"),
    [
        ({"steps": 13}, "steps 13 is more than the 12 of the model's noise schedule"),
        ({"temperature": 0.0}, "divides the predicted noise by temperature, which is 0"),
        ({"gen_length": 6, "block_length": 3}, "denoises the whole canvas at once"),
        ({"top_p": 0.9}, "top_p is 0.9, which means nothing to family 'fake'"),
    ],
)
def test_settings_without_meaning_are_refused(changes: dict[str, Any], line: str) -> None:
    with pytest.raises(UsageError, match=line):
        run(diffusion_lm(), PROMPTS[:1], settings(**changes))


def test_plaid_needs_two_steps() -> None:
    with pytest.raises(UsageError, match="steps is 1; a grid from noise to text has at least 2"):
        run(plaid(), PROMPTS[:1], settings(steps=1))


@pytest.mark.parametrize("build", [diffusion_lm, plaid])
def test_predictions_that_are_no_numbers_are_an_error(build: Any) -> None:
    model = build()
    model.out[:] = torch.nan
    with pytest.raises(UsageError, match="logits are NaN or infinite"):
        run(model, PROMPTS[:1], settings())
