"""Peak memory of this process, on the device or in main memory, and how running out of it looks.

Knows nothing of models and cells; the sweep asks before and after a cell.
"""

import resource
import sys
from pathlib import Path

import torch

_OUT_OF_MEMORY = (
    "out of memory",
    "can't allocate memory",
    "not enough memory",
    "CUBLAS_STATUS_ALLOC_FAILED",
    "does not fit into memory",
)
"""What allocators say that have no error class of their own, and what `likelihood/budget.py` says
when not even one canvas has room."""
_CLEAR_REFERENCES = Path("/proc/self/clear_refs")
_RESET_HIGH_WATER = "5"
"""Linux, proc(5): sets VmHWM, the peak resident set, back to what is resident now."""
_SINCE_START = "process, resident set since it started"
_SINCE_RESET = "process, resident set during this cell"


def reset_peak(device: torch.device) -> None:
    """Starts a new peak: on a CUDA device, and in main memory where the system lets a process."""
    if device.type == "cuda":
        torch.cuda.reset_peak_memory_stats(device)
    else:
        _reset_resident()


def peak_memory_bytes(device: torch.device) -> int:
    """The most memory in use at once.

    On CUDA: what torch allocated on the device since `reset_peak`, weights included. Elsewhere: the
    resident set of the whole process, interpreter and libraries included, and with them whatever an
    earlier model left behind in the allocator; since `reset_peak`, or since the process started
    where a peak cannot be reset (`peak_memory_scope` says which).
    """
    if device.type == "cuda":
        return int(torch.cuda.max_memory_allocated(device))
    found = _high_water_bytes()
    if found is not None:
        return found
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak if sys.platform == "darwin" else peak * 1024


def peak_memory_scope(device: torch.device) -> str:
    """What `peak_memory_bytes` counts on this device."""
    if device.type == "cuda":
        return "device, this cell"
    resettable = _high_water_bytes() is not None and _reset_allowed()
    return _SINCE_RESET if resettable else _SINCE_START


def is_out_of_memory(error: BaseException) -> bool:
    """Whether a device or the host had no room."""
    if isinstance(error, MemoryError | torch.OutOfMemoryError):
        return True
    raised = isinstance(error, RuntimeError | ValueError)
    return raised and any(text in str(error) for text in _OUT_OF_MEMORY)


def _reset_resident() -> bool:
    try:
        _CLEAR_REFERENCES.write_text(_RESET_HIGH_WATER, encoding="ascii")
    except OSError:
        return False
    return True


def _reset_allowed() -> bool:
    """Whether `_reset_resident` works here; opening the file resets nothing."""
    try:
        with _CLEAR_REFERENCES.open("w", encoding="ascii"):
            return True
    except OSError:
        return False


def _high_water_bytes() -> int | None:
    """The peak resident set as Linux tells it; None on other systems."""
    try:
        text = Path("/proc/self/status").read_text(encoding="ascii", errors="replace")
    except OSError:
        return None
    for line in text.splitlines():
        if line.startswith("VmHWM:"):
            return int(line.split()[1]) * 1024
    return None
