"""On a CUDA device: the fixed schedule never makes the host wait, and the answers are the CPU's."""

import warnings
from typing import Any

import pytest
import torch

from dllm_eval.api import Prompt
from dllm_eval.loading import load_model
from dllm_eval.samplers import SamplerConfig, generate_batch
from dllm_eval.samplers.canvas import Canvas
from dllm_eval.samplers.loop import denoise

pytestmark = pytest.mark.gpu


@pytest.mark.parametrize(
    "settings",
    [
        {"steps": 8},
        {"steps": 4, "block_length": 8},
        {"steps": 8, "cfg_scale": 1.0},
        {"steps": 8, "temperature": 0.8, "top_k": 20},
        {"steps": 8, "sampler": "entropy"},
        {"steps": 8, "sampler": "margin", "eos_policy": "last"},
        {"steps": 8, "block_length": 8, "cache": "prefix"},
        {"steps": 8, "block_length": 8, "cache": "dual"},
        {"steps": 8, "block_length": 8, "cache": "delayed"},
    ],
    ids=str,
)
def test_fixed_steps_make_no_host_synchronisation(settings: dict[str, Any]) -> None:
    model = load_model("reference-diffusion", device="cuda")
    config = SamplerConfig(gen_length=16, **settings)
    prompts = [Prompt(prefix=(20, 21, 22)), Prompt(prefix=(20, 21, 22, 23), seed=1)]
    expected = generate_batch(model, prompts, config)  # warm-up, too
    canvas = Canvas.build(
        prompts,
        family=model.family,
        vocab_size=model.vocab_size,
        gen_length=16,
        device=model.device,
    )
    torch.cuda.set_sync_debug_mode("error")
    try:
        with torch.inference_mode(), warnings.catch_warnings():
            host_syncs = denoise(model, canvas, config)
    finally:
        torch.cuda.set_sync_debug_mode("default")
    assert host_syncs == 0
    assert canvas.finish(host_syncs=0) == expected


def test_answers_do_not_depend_on_the_device() -> None:
    prompts = [Prompt(prefix=(20, 21, 22)), Prompt(prefix=(24,), suffix=(25, 26))]
    config = SamplerConfig(gen_length=16, steps=8)
    on_cpu, on_gpu = (
        generate_batch(load_model("reference-diffusion", device=device), prompts, config)
        for device in ("cpu", "cuda")
    )
    assert [out.tokens for out in on_cpu] == [out.tokens for out in on_gpu]
