"""Scoring on a device that is no CPU, on a machine that has none (`support/fake_cuda.py`).

No operation mixes devices, the values are the CPU's, and the host waits once a pass, for its
result, and nowhere else.
"""

from collections.abc import Callable
from importlib import import_module
from pathlib import Path

import pytest
import torch
from fake_cuda import CUDA, fake_cuda, unavailable, waits_of
from fake_cuda_decoding import loader

from dllm_eval.api import Likelihood
from dllm_eval.likelihood import forward
from dllm_eval.likelihood.config import LikelihoodConfig
from dllm_eval.likelihood.score import score

WHY_NOT = unavailable()
pytestmark = pytest.mark.skipif(WHY_NOT is not None, reason=WHY_NOT or "")

PAIRS = [((5, 6, 7), (10, 11, 12, 13)), ((8,), (14, 15)), ((5, 6, 7), (16,))]
MASKED = ("monte_carlo", "end_strata", "control_variate", "random_order", "enumeration", "llada_mc")
FAMILIES = ("llada", "dream", "sdar", "bd3lm", "wedlm", "mdlm", "sedd", "d3pm", "diffusion_lm")
TOKENS = 16
"""Per forward: several passes."""


@pytest.fixture(scope="module")
def written(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], Path]:
    def write(family: str) -> Path:
        module = import_module(f"checkpoints.{family}")
        folder: Path = module.write(tmp_path_factory.mktemp(family) / "tiny")
        return folder

    return write


def score_on_both(
    family: str, folder: Path, config: LikelihoodConfig
) -> tuple[list[Likelihood], list[Likelihood], list[str]]:
    load = loader(family, folder)
    on_cpu = score(load(torch.device("cpu")), PAIRS, config)
    found: list[list[Likelihood]] = []
    with fake_cuda():
        model = load(CUDA)
        waits = waits_of(lambda: found.append(score(model, PAIRS, config)))
    return found[0], on_cpu, waits


def same(found: list[Likelihood], expected: list[Likelihood]) -> None:
    for one, other in zip(found, expected, strict=True):
        assert (one.nfe, one.positions) == (other.nfe, other.positions)
        assert one.value == pytest.approx(other.value, rel=1e-5, abs=1e-5)
        assert one.stderr == pytest.approx(other.stderr, rel=1e-4, abs=1e-5)


@pytest.mark.parametrize("head", ["all logits", "late head"])
@pytest.mark.parametrize("estimator", MASKED)
def test_an_estimator_waits_for_its_results_alone(
    estimator: str, head: str, written: Callable[[str], Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    if head == "late head":
        monkeypatch.setattr(forward, "LARGE_VOCABULARY", 8)
        monkeypatch.setattr(forward, "CHUNK_ELEMENTS", {"cpu": 2**10, "cuda": 2**10})
    config = LikelihoodConfig(estimator=estimator, samples=8, tokens_per_forward=TOKENS)
    found, expected, waits = score_on_both("llada", written("llada"), config)
    same(found, expected)
    assert {wait.split(":")[0] for wait in waits} == {"a copy to the host at core.py"}
    assert len(waits) <= sum(each.nfe for each in found)


@pytest.mark.parametrize("family", FAMILIES)
def test_a_family_is_scored_as_on_a_cpu(family: str, written: Callable[[str], Path]) -> None:
    config = LikelihoodConfig(samples=4, tokens_per_forward=TOKENS)
    found, expected, waits = score_on_both(family, written(family), config)
    same(found, expected)
    results = ("a copy to the host at", "tolist at")
    assert all(wait.startswith(results) for wait in waits)
    assert len(waits) <= sum(each.nfe for each in found)
