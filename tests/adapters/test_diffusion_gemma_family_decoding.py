"""DiffusionGemma's decoding against transformers' own `generate`, given the same random numbers."""

from importlib.util import find_spec
from pathlib import Path
from typing import Any

import pytest
import torch
from checkpoints import diffusion_gemma
from torch import Tensor

from dllm_eval.api import Prompt
from dllm_eval.loading import load_model
from dllm_eval.samplers import SamplerConfig, generate_batch

pytestmark = pytest.mark.skipif(
    find_spec("transformers.models.diffusion_gemma") is None, reason="needs transformers >= 5.11"
)


@pytest.fixture(scope="module")
def talkative(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Random text seldom ends where three ids of 310 end it; here thirteen do."""
    made = tmp_path_factory.mktemp("diffusion_gemma") / "talkative"
    return diffusion_gemma.write(made, eos_token_id=[1, *range(100, 112)])


def transformers_model(folder: Path) -> Any:
    from transformers import DiffusionGemmaForBlockDiffusion

    return DiffusionGemmaForBlockDiffusion.from_pretrained(folder)


def prompt_of(length: int) -> list[int]:
    return [(7 + 31 * i * i) % 310 for i in range(length)]


class Draws:
    """Feeds transformers' `generate` the random numbers of one of our requests."""

    def __init__(self, seed: int) -> None:
        self.generator = torch.Generator().manual_seed(seed)

    def multinomial(self, chances: Tensor, num_samples: int) -> Tensor:
        assert num_samples == 1
        uniform = torch.empty_like(chances).uniform_(generator=self.generator)
        uniform = uniform.clamp_(min=torch.finfo(torch.float32).tiny)
        return (chances.log() - (-uniform.log()).log()).argmax(dim=-1, keepdim=True)

    def randint(self, *, low: int, high: int, size: tuple[int, ...], device: Any) -> Tensor:
        assert (low, str(device)) == (0, "cpu")
        uniform = torch.empty(size, dtype=torch.float64).uniform_(generator=self.generator)
        return (uniform * high).long()


def transformers_answer(
    theirs: Any, prompt: list[int], seed: int, monkeypatch: pytest.MonkeyPatch, **settings: Any
) -> tuple[list[int], float]:
    """Generated ids, padded to 24, and the number of decoder passes."""
    draws = Draws(seed)
    with monkeypatch.context() as patch:
        patch.setattr(torch, "multinomial", draws.multinomial)
        patch.setattr(torch, "randint", draws.randint)
        out = theirs.generate(torch.tensor([prompt]), max_new_tokens=24, **settings)
    ids = out.sequences[0, len(prompt) :].tolist()
    passes = sum(token != 0 for token in ids) / out.tokens_per_forward.item()
    return ids + [0] * (24 - len(ids)), passes


# (published, ours): as published; and nearly without chance, where canvases settle early.
CHANCES: list[tuple[dict[str, Any], dict[str, Any]]] = [
    ({}, {}),
    (
        {"sampler_config": 60.0, "t_max": 0.02, "t_min": 0.01, "confidence_threshold": 1.5},
        {
            "entropy_bound": 60.0,
            "temperature": 0.02,
            "final_temperature": 0.01,
            "stop_entropy": 1.5,
        },
    ),
]


@pytest.mark.filterwarnings("ignore:`torch.jit.script_method` is deprecated:DeprecationWarning")
@pytest.mark.parametrize(("published", "ours"), CHANCES, ids=["as published", "settling"])
def test_decoding_is_transformers_generate(
    published: dict[str, Any],
    ours: dict[str, Any],
    talkative: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    from transformers.models.diffusion_gemma import EntropyBoundSamplerConfig

    if published:
        bound = EntropyBoundSamplerConfig(entropy_bound=published["sampler_config"])
        published = published | {"sampler_config": bound}
    model, theirs = load_model(str(talkative)), transformers_model(talkative)
    ended, early = 0, 0
    for seed in range(8):
        prompt = prompt_of(1 + 3 * seed)
        expected, passes = transformers_answer(
            theirs, prompt, seed, monkeypatch, max_denoising_steps=10, **published
        )
        config = SamplerConfig.from_mapping({"gen_length": 24, "steps": 30} | ours, model.family)
        [out] = generate_batch(model, [Prompt(prefix=tuple(prompt), seed=seed)], config)
        found = list(out.tokens)
        ends = [i for i, token in enumerate(found) if token in model.family.end_ids]
        if ends:  # transformers pads behind the first end, we keep the canvas as it was decoded
            ended += 1
            found[ends[0] + 1 :] = [0] * (len(found) - ends[0] - 1)
        assert found == expected
        assert out.nfe == round(passes)
        early += out.nfe not in (10, 20, 30)
    assert ended > 0
    assert (early > 0) == bool(ours)


def test_answers_do_not_depend_on_the_batch_or_the_cache(talkative: Path) -> None:
    model = load_model(str(talkative))
    config = SamplerConfig.from_mapping({"gen_length": 16, "steps": 12}, model.family)
    plain = SamplerConfig.from_mapping(
        {"gen_length": 16, "steps": 12, "cache": "none"}, model.family
    )
    prompts = [Prompt(prefix=tuple(prompt_of(n)), seed=n) for n in (3, 14, 1)]
    together = generate_batch(model, prompts, config)
    for prompt, out in zip(prompts, together, strict=True):
        [alone] = generate_batch(model, [prompt], config)
        [slow] = generate_batch(model, [prompt], plain)
        assert out.tokens == alone.tokens == slow.tokens
        assert out.nfe == alone.nfe == slow.nfe
        assert alone.positions < slow.positions
