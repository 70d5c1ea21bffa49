"""Every family's loader, network and rule on a device that is no CPU; see `test_fake_cuda.py`.

Each family decodes by its own published settings, in several blocks. Plaid decodes without a prompt
here, as its guidance takes a gradient, which wants a real device. Mixtures of experts are left to
half precision: on a GPU their host reads the experts' sizes in any other.
"""

from collections.abc import Callable
from functools import cache
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import pytest
import torch
from fake_cuda import unavailable
from fake_cuda_decoding import check, decode_on_both, loader

from dllm_eval.api import Prompt
from dllm_eval.registry import FAMILIES
from dllm_eval.samplers import SamplerConfig

WHY_NOT = unavailable()
pytestmark = pytest.mark.skipif(WHY_NOT is not None, reason=WHY_NOT or "")

WRITERS = {**{family: family for family in FAMILIES}, "sdar moe": "sdar_moe"}
WRITERS["d3pm uniform"] = "d3pm_uniform"
"""Name here, which begins with the family's -> the writer of its checkpoint."""
READS_EXPERTS = ("llada2", "llada21")
MOVES_TOO_MUCH = ("diffusion_lm", "plaid", "d3pm")
"""Loaded in float32 only."""
PROMPTS = [Prompt(prefix=(5, 6, 7, 8), seed=1), Prompt(prefix=(9,), seed=2)]


@pytest.fixture(scope="module")
def written(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], Path]:
    @cache
    def write(writer: str) -> Path:
        module = import_module(f"checkpoints.{writer}")
        folder: Path = module.write(tmp_path_factory.mktemp(writer) / "tiny")
        return folder

    return write


def configured(family: Any, **settings: Any) -> SamplerConfig:
    return SamplerConfig.from_mapping({"gen_length": 16, **settings}, family)


def prompts_for(name: str) -> list[Prompt]:
    return [Prompt(prefix=(), seed=1)] * 2 if name == "plaid" else PROMPTS


def skip_unless_there(name: str) -> None:
    if name == "diffusion_gemma" and find_spec("transformers.models.diffusion_gemma") is None:
        pytest.skip("needs transformers >= 5.11")


@pytest.mark.parametrize("name", WRITERS)
def test_every_family_decodes_as_on_a_cpu(name: str, written: Callable[[str], Path]) -> None:
    skip_unless_there(name)
    load = loader(name.split()[0], written(WRITERS[name]))
    both = decode_on_both(load, prompts_for(name), configured(load(torch.device("cpu")).family))
    if name in READS_EXPERTS:
        both.waits[:] = [wait for wait in both.waits if "moe.py" not in wait]
    check(both)


@pytest.mark.parametrize("name", [name for name in WRITERS if name not in MOVES_TOO_MUCH])
def test_half_precision(name: str, written: Callable[[str], Path]) -> None:
    """Nothing but the loop makes the host wait, the experts' sizes included."""
    skip_unless_there(name)
    load = loader(name.split()[0], written(WRITERS[name]), torch.bfloat16)
    both = decode_on_both(load, PROMPTS, configured(load(torch.device("cpu")).family))
    check(both, same_tokens=False)
