"""The one clock. It waits for the device right before start and stop, and never in between."""

from time import perf_counter_ns, process_time_ns
from types import TracebackType
from typing import Self

import torch


def synchronize(device: torch.device) -> None:
    """Waits until the device has finished what was asked of it; nothing to do on a CPU."""
    if device.type == "cuda":
        torch.cuda.synchronize(device)


class Timer:
    """`with Timer(device) as timer: ...` and then `timer.seconds` and `timer.cpu_seconds`.

    `cpu_seconds` adds up what this process's threads computed. On a CPU that is idle otherwise it
    is the wall time, times the threads; where it is less, something else held the cores. It is
    None where another device does the work.
    """

    def __init__(self, device: torch.device) -> None:
        self.device = device
        self.seconds = 0.0
        self.cpu_seconds: float | None = None

    def __enter__(self) -> Self:
        synchronize(self.device)
        self._cpu_start = process_time_ns()
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
        if self.device.type == "cpu":
            self.cpu_seconds = (process_time_ns() - self._cpu_start) / 1e9
