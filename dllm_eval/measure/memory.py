"""Peak memory of this process, on the device or in main memory.

Knows nothing of models and cells; the sweep asks before and after a cell.
"""

import resource
import sys

import torch


def reset_peak(device: torch.device) -> None:
    """Starts a new peak on a CUDA device; the peak of main memory cannot be reset."""
    if device.type == "cuda":
        torch.cuda.reset_peak_memory_stats(device)


def peak_memory_bytes(device: torch.device) -> int:
    """The most memory in use at once.

    On CUDA: what torch allocated on the device since `reset_peak`. Elsewhere: the resident set of
    the whole process since it started, weights of earlier models included.
    """
    if device.type == "cuda":
        return int(torch.cuda.max_memory_allocated(device))
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak if sys.platform == "darwin" else peak * 1024


def peak_memory_scope(device: torch.device) -> str:
    """What `peak_memory_bytes` counts on this device."""
    return "device, this cell" if device.type == "cuda" else "process, resident set"
