"""Decoding batches of unequal lengths without padding: each answer is the request's alone."""

import math
from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import cache
from typing import Any

import pytest
from tiny_float64 import tiny_float64
from torch import Tensor

from dllm_eval.api import Generation, Prompt
from dllm_eval.denoiser import ModelDenoiser
from dllm_eval.packing import Packing
from dllm_eval.samplers import SamplerConfig, generate_batch, late_head, packed
from dllm_eval.samplers.catalogue import CATALOGUE
from dllm_eval.samplers.packed import packing_of, padding_of

FAMILIES = ("llada", "dream", "mdlm")
PROMPTS = [
    Prompt(prefix=(5, 6, 7, 9, 4), seed=1),
    Prompt(prefix=(8,), seed=2),
    Prompt(prefix=(), suffix=(10, 12), seed=3),
    Prompt(prefix=(9, 11, 30, 31, 5, 6, 7), seed=4, given=((2, 40), (7, 41))),
]
NEEDED: dict[str, dict[str, Any]] = {
    "position_calibrated": {"token_frequencies": "uniform"},
    "adablock": {"delimiter_ids": 5},
    "guided": {"cfg_scale": 1.5},
}


@pytest.fixture(scope="module")
def tiny(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], ModelDenoiser]:
    """`tiny("dream")`: that family's tiny random checkpoint, in float64."""
    return cache(lambda writer: tiny_float64(writer, tmp_path_factory.mktemp(writer) / "tiny"))


@pytest.fixture
def passes(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """Every batch is packed that can be; how many positions each of their passes took."""
    monkeypatch.setattr(packed, "LEAST_PADDING", 1e-9)
    return counted(monkeypatch)


def counted(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """How many positions each packed pass took, from now on."""
    taken: list[int] = []
    plain = Packing.packed

    def note(self: Packing, table: Tensor) -> Tensor:
        taken.append(self.num_positions)
        return plain(self, table)

    monkeypatch.setattr(Packing, "packed", note)
    return taken


def same(batch: Sequence[Generation], alone: Sequence[Generation]) -> bool:
    """Whether answers, their order and their costs agree; waits are the whole batch's."""
    return [replace(out, host_syncs=0) for out in batch] == [
        replace(out, host_syncs=0) for out in alone
    ]


def alone(model: ModelDenoiser, prompts: Sequence[Prompt], config: SamplerConfig) -> Any:
    return [generate_batch(model, [prompt], config)[0] for prompt in prompts]


@pytest.mark.parametrize("late", [False, True], ids=["all logits", "late head"])
@pytest.mark.parametrize("name", [name for name in CATALOGUE if name not in ("wino", "daedal")])
def test_every_sampler_decodes_a_packed_batch_as_each_request_alone(
    name: str,
    late: bool,
    tiny: Callable[[str], ModelDenoiser],
    passes: list[int],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    if late:
        monkeypatch.setattr(late_head, "LARGE_VOCABULARY", 1)
    model = tiny("llada")
    settings = {"sampler": name, "gen_length": 12, "block_length": 6, **NEEDED.get(name, {})}
    config = SamplerConfig.from_mapping(settings, model.family)
    found = generate_batch(model, PROMPTS, config)
    copies = 2 if config.cfg_scale else 1
    assert set(passes) == {copies * sum(12 + len(p.prefix) + len(p.suffix) for p in PROMPTS)}
    assert same(found, alone(model, PROMPTS, config))


@pytest.mark.parametrize("writer", FAMILIES)
@pytest.mark.parametrize(
    "settings",
    [
        {"steps": 4},
        {"steps": 6, "block_length": 5, "gen_length": 15},
        {"steps": 6, "temperature": 0.8},
        {"threshold": 0.1, "block_length": 4},
        {"steps": 4, "cfg_scale": 1.5},
        {"steps": 6, "stop": "eos", "block_length": 4},
    ],
    ids=str,
)
def test_every_family_decodes_a_packed_batch_as_each_request_alone(
    writer: str,
    settings: dict[str, Any],
    tiny: Callable[[str], ModelDenoiser],
    passes: list[int],
) -> None:
    model = tiny(writer)
    config = SamplerConfig.from_mapping({"gen_length": 12, **settings}, model.family)
    prompts = [replace(prompt, given=()) for prompt in PROMPTS]
    found = generate_batch(model, prompts, config)
    assert passes
    assert same(found, alone(model, prompts, config))


@pytest.mark.parametrize(
    ("writer", "settings"),
    [
        ("llada", {"sampler": "wino"}),  # a shadow block behind the canvas
        ("llada", {"sampler": "daedal"}),  # a canvas that grows
        ("llada", {"steps": 6, "cache": "prefix"}),
        ("dreamon", {"steps": 6}),
        ("sdar", {"steps": 3, "block_length": 4}),  # attention by blocks
        ("sedd", {"transition": "analytic", "steps": 4}),  # told the time
    ],
    ids=str,
)
def test_what_cannot_be_packed_is_padded(
    writer: str,
    settings: dict[str, Any],
    tiny: Callable[[str], ModelDenoiser],
    passes: list[int],
) -> None:
    model = tiny(writer)
    config = SamplerConfig.from_mapping({"gen_length": 12, **settings}, model.family)
    prompts = [Prompt(prefix=prompt.prefix or (7, 8), seed=prompt.seed) for prompt in PROMPTS]
    found = generate_batch(model, prompts, config)
    assert not passes
    assert [out.tokens for out in found] == [out.tokens for out in alone(model, prompts, config)]


def test_a_batch_is_packed_where_enough_of_it_is_padding(
    tiny: Callable[[str], ModelDenoiser],
) -> None:
    model = tiny("llada")
    least = math.ceil(64 * packed.LEAST_PADDING)
    assert packing_of(model, [(0, 64)] * 4, 64) is None
    assert packing_of(model, [(least - 1, 64)] * 4, 64) is None
    assert packing_of(model, [(least, 64)] * 4, 64) is not None
    assert padding_of([(0, 3), (1, 2)], 4) == 0.5
    compiled = model.compiled("default", backend="eager")
    assert not compiled.packs
    assert packing_of(compiled, [(0, 64), (60, 64)], 64) is None


def test_equal_lengths_cost_nothing(
    tiny: Callable[[str], ModelDenoiser], passes: list[int]
) -> None:
    model = tiny("llada")
    config = SamplerConfig(gen_length=8, steps=2)
    generate_batch(model, [Prompt(prefix=(5, 6), seed=seed) for seed in range(3)], config)
    assert not passes
