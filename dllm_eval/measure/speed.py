"""How fast this machine multiplies matrices and reads memory: a second's measurement.

Knows no model. The estimate of a sweep's hours asks for it; no record does.
"""

from collections.abc import Callable
from dataclasses import dataclass
from statistics import median

import torch

from dllm_eval.measure.clock import Timer
from dllm_eval.measure.provenance import machine_name

_WIDTH = {"cpu": 1024, "cuda": 8192}
_MEMORY_BYTES = {"cpu": 256 * 2**20, "cuda": 4 * 2**30}
"""Larger than the caches, so that it is memory that is read."""
_TRIALS = 5


@dataclass(frozen=True, kw_only=True)
class Speed:
    """What a machine does in a second."""

    machine: str
    flops_per_s: float
    """Of a dense product of two large matrices; a multiplication and an addition count two."""
    bytes_per_s: float
    """Memory read by a sum over an array."""


def measure_speed(device: torch.device, dtype: torch.dtype) -> Speed:
    """The median of a few trials of a matrix product and of a sum.

    Args:
        device: A CPU or a CUDA device, otherwise idle.
        dtype: Of the matrices.
    """
    kind = "cuda" if device.type == "cuda" else "cpu"
    width = _WIDTH[kind]
    left = torch.ones(width, width, dtype=dtype, device=device)
    out = torch.empty_like(left)
    array = torch.ones(_MEMORY_BYTES[kind] // 4, dtype=torch.float32, device=device)
    with torch.inference_mode():
        product_s = _seconds(lambda: torch.mm(left, left, out=out), device)
        sum_s = _seconds(array.sum, device)
    return Speed(
        machine=machine_name(device),
        flops_per_s=2 * width**3 / product_s,
        bytes_per_s=array.numel() * array.element_size() / sum_s,
    )


def _seconds(run: Callable[[], object], device: torch.device) -> float:
    run()  # the first one also loads kernels
    timers = [Timer(device) for _ in range(_TRIALS)]
    for timer in timers:
        with timer:
            run()
    return median(timer.seconds for timer in timers)
