"""Every sampler on a device that is no CPU, on a machine that has none.

Real numbers on tensors that say they are CUDA's (`support/fake_cuda.py`): no operation mixes
devices, the host waits exactly as often as the record says, and the answers are the CPU's.
"""

from pathlib import Path
from typing import Any

import pytest
import torch
from fake_cuda import DevicesMixedError, unavailable
from fake_cuda_decoding import check, decode_on_both, loader
from torch import Tensor

from dllm_eval.api import Prompt
from dllm_eval.families import Family
from dllm_eval.samplers import SamplerConfig, late_head, reveal, row_statistics
from dllm_eval.samplers.catalogue import CATALOGUE, compose
from dllm_eval.samplers.eligible import eligible_positions

WHY_NOT = unavailable()
pytestmark = pytest.mark.skipif(WHY_NOT is not None, reason=WHY_NOT or "")

PROMPTS = [
    Prompt(prefix=(25, 26, 27, 28, 29), seed=1),
    Prompt(prefix=(30,), suffix=(31, 32), seed=2),
]
NEEDED: dict[str, dict[str, Any]] = {
    "position_calibrated": {"token_frequencies": "uniform"},
    "adablock": {"delimiter_ids": "20"},
}
FIXED: list[dict[str, Any]] = [
    {"steps": 4, "block_length": 4, "cfg_scale": 1.0},
    {"steps": 8, "temperature": 0.8, "top_k": 20},
    {"steps": 8, "temperature": 0.8, "top_p": 0.9, "confidence": "filtered"},
    {"steps": 8, "eos_policy": "last"},
    {"steps": 8, "eos_policy": "forbid", "position_temperature": 0.5},
    {"steps": 8, "mode": "reference", "temperature": 0.7},
    {"steps": 8, "block_length": 4, "cache": "prefix"},
    {"steps": 8, "block_length": 4, "cache": "dual", "cache_refresh": 2},
    {"steps": 8, "block_length": 4, "cache": "delayed"},
]
WAITING: list[dict[str, Any]] = [
    {"threshold": 0.3, "block_length": 4},
    {"threshold": 0.3, "at_least": "quota", "steps": 4},
    {"entropy_threshold": 1.0, "position_penalty": 0.1},
    {"steps": 8, "block_length": 4, "stop": "eos"},
    {"steps": 8, "sub_block_length": 4},
    {"threshold": 0.5, "first_token": "autoregressive", "block_length": 4},
]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    from checkpoints import llada

    written: Path = llada.write(tmp_path_factory.mktemp("llada") / "tiny")
    return written


@pytest.fixture(params=["all logits", "late head"])
def head(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> str:
    """Both ways from states to tokens, the late one in several chunks."""
    way: str = request.param
    monkeypatch.setattr(row_statistics, "_has_triton", lambda: False)
    if way == "late head":
        monkeypatch.setattr(late_head, "LARGE_VOCABULARY", 8)
        monkeypatch.setattr(late_head, "CHUNK_ELEMENTS", {"cpu": 2**10, "cuda": 2**10})
    return way


def configured(sampler: str, family: Family, **settings: Any) -> SamplerConfig:
    given = {"sampler": sampler, "gen_length": 8, **NEEDED.get(sampler, {}), **settings}
    composition = compose(sampler)
    if all(part.reads_steps for part in composition.parts) and (
        "threshold" not in composition.settings
    ):
        given.setdefault("steps", 4)
    return SamplerConfig.from_mapping(given, family)


@pytest.mark.parametrize("name", CATALOGUE)
def test_every_sampler_decodes_as_on_a_cpu(name: str, head: str, folder: Path) -> None:
    load = loader("llada", folder)
    temperature = 0.8 if head == "all logits" else 0.0
    config = configured(name, load(torch.device("cpu")).family, temperature=temperature)
    prompts = [Prompt(prefix=(25, 26)), Prompt(prefix=(27,))] if name == "daedal" else PROMPTS
    both = decode_on_both(load, prompts, config)
    check(both)
    assert (both.recorded > 0) == config.adaptive


@pytest.mark.parametrize("settings", [*FIXED, *WAITING], ids=str)
@pytest.mark.usefixtures("head")
def test_every_setting_decodes_as_on_a_cpu(settings: dict[str, Any], folder: Path) -> None:
    both = decode_on_both(loader("llada", folder), PROMPTS, SamplerConfig(gen_length=8, **settings))
    check(both)
    assert (both.recorded > 0) == (settings in WAITING)


@pytest.mark.parametrize("settings", [{"steps": 8}, {"threshold": 0.3}], ids=str)
@pytest.mark.usefixtures("head")
def test_given_and_allowed_tokens(settings: dict[str, Any], folder: Path) -> None:
    prompts = [
        Prompt(prefix=(25, 26), given=((2, 30), (5, 31)), seed=1),
        Prompt(prefix=(27,), allowed=((0, (40, 41, 42)), (6, (43,))), seed=2),
    ]
    for block in (None, 4):
        config = SamplerConfig(
            gen_length=8, block_length=block, **{"steps": 8, "stop": "eos", **settings}
        )
        both = decode_on_both(loader("llada", folder), prompts, config)
        check(both)
        assert both.on_device[1].tokens[0] in (40, 41, 42)
        assert both.on_device[1].tokens[6] == 43


@pytest.mark.usefixtures("head")
def test_half_precision(folder: Path) -> None:
    for settings in (*FIXED[:3], FIXED[-1], WAITING[0]):
        both = decode_on_both(
            loader("llada", folder, torch.bfloat16),
            PROMPTS,
            SamplerConfig(gen_length=8, **settings),
        )
        check(both, same_tokens=False)  # the device's attention rounds otherwise


@pytest.mark.parametrize("fault", ["an index of the host", "a number read", "a copy that blocks"])
def test_a_fault_in_the_loop_is_found(
    fault: str, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    plain = eligible_positions

    def faulty(canvas: Any, *rest: Any) -> Tensor:
        eligible = plain(canvas, *rest)
        if fault == "an index of the host":
            return eligible & (torch.arange(eligible.shape[1]) >= 0)
        if fault == "a number read":
            return eligible & (eligible.sum().item() >= 0)
        return eligible & torch.tensor([[True]], device=canvas.tokens.device)

    monkeypatch.setattr(reveal, "eligible_positions", faulty)
    found = DevicesMixedError if fault == "an index of the host" else AssertionError
    with pytest.raises(found):
        check(
            decode_on_both(loader("llada", folder), PROMPTS, SamplerConfig(gen_length=8, steps=4))
        )
