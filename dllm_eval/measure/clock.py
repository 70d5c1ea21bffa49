"""The one clock. It waits for the device right before start and stop, and never in between."""

from time import perf_counter_ns
from types import TracebackType
from typing import Self

import torch


def synchronize(device: torch.device) -> None:
    """Waits until the device has finished what was asked of it; nothing to do on a CPU."""
    if device.type == "cuda":
        torch.cuda.synchronize(device)


class Timer:
    """`with Timer(device) as timer: ...` and then `timer.seconds`."""

    def __init__(self, device: torch.device) -> None:
        self.device = device
        self.seconds = 0.0

    def __enter__(self) -> Self:
        synchronize(self.device)
        self._start = perf_counter_ns()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        synchronize(self.device)
        self.seconds = (perf_counter_ns() - self._start) / 1e9
