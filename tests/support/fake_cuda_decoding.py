"""Decoding on the CPU and on a fake CUDA device, side by side."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import torch
from fake_cuda import CUDA, fake_cuda, waits_of

from dllm_eval.api import Generation, Prompt
from dllm_eval.registry import family_loader
from dllm_eval.samplers import SamplerConfig, generate_batch
from dllm_eval.samplers.canvas import Canvas
from dllm_eval.samplers.loop import denoise

Load = Callable[[torch.device], Any]
"""Loads a model to a device."""


@dataclass(frozen=True, kw_only=True)
class Both:
    """The same requests on both devices."""

    on_cpu: list[Generation]
    on_device: list[Generation]
    waits: list[str]
    """What made the host wait inside the loop."""
    recorded: int
    """How often it did by the record."""


def loader(family: str, folder: Path, dtype: torch.dtype = torch.float32) -> Load:
    """A family's own loader of a checkpoint."""
    return lambda device: family_loader(family)(folder, dtype=dtype, device=device)


def decode_on_both(load: Load, prompts: Sequence[Prompt], config: SamplerConfig) -> Both:
    """Decodes twice; raises where devices are mixed."""
    # One way of choosing among the logits, as the CPU's own takes the vocabulary in tiles.
    on_cpu = generate_batch(load(torch.device("cpu")), prompts, config)
    with fake_cuda():
        model = load(CUDA)
        canvas = Canvas.build(
            prompts,
            family=model.family,
            vocab_size=model.vocab_size,
            gen_length=config.gen_length,
            device=model.device,
            overhang=config.window or 0,
        )
        recorded: list[int] = []
        waits = waits_of(lambda: recorded.append(denoise(model, canvas, config)))
        on_device = canvas.finish(host_syncs=recorded[0])
    return Both(on_cpu=on_cpu, on_device=on_device, waits=waits, recorded=recorded[0])


def check(both: Both, *, same_tokens: bool = True) -> None:
    """Every wait is on record, and the answers are the CPU's."""
    assert len(both.waits) == both.recorded, both.waits
    for found, expected in zip(both.on_device, both.on_cpu, strict=True):
        if same_tokens:
            assert found == replace(expected, host_syncs=found.host_syncs)
        assert len(found.tokens) == len(expected.tokens)
