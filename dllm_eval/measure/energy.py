"""Joules used between two moments: NVML's counter on an NVIDIA GPU, RAPL's on a processor.

`with EnergyMeter(device) as meter: ...` and then `meter.reading()`; None, with `meter.reason`,
where there is no counter, it may not be read, or the window is too short to trust. Knows nothing of
models and cells; the sweep wraps a timed evaluation in it.
"""

import math
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass
from importlib import import_module
from pathlib import Path
from types import TracebackType
from typing import Any, Literal, Protocol, Self

import torch

from dllm_eval.measure.clock import synchronize

LEAST_SECONDS = 2.0
"""NVML's counter is renewed every 20 to 100 ms: a shorter window would be mostly that rounding."""
POWERCAP = Path("/sys/class/powercap")
MOST_WATTS = 1000.0
"""Of one processor package; at this power a RAPL counter must not wrap round twice."""

Source = Literal["nvml", "rapl"]


class NoCounterError(Exception):
    """There is no energy counter to read; its text is one line saying why."""


class Counter(Protocol):
    """Something that adds up energy."""

    source: Source

    def now(self) -> tuple[float, ...]:
        """Joules so far, since some fixed moment, one number per part of the device."""
        ...

    @property
    def longest_s(self) -> float:
        """Seconds beyond which a difference is ambiguous."""
        ...

    def between(self, start: tuple[float, ...], end: tuple[float, ...]) -> float:
        """Joules from one moment to a later one, within `longest_s`."""
        ...


@dataclass(frozen=True, kw_only=True)
class Energy:
    """What one window used."""

    joules: float
    """Of the whole device or package, idle power and other programs included."""
    idle_watts: float | None
    """Measured right before, where it was asked for."""
    source: Source
    seconds: float


class NvmlCounter:
    """The total energy counter of one NVIDIA GPU (Volta and later)."""

    source: Source = "nvml"
    longest_s = math.inf
    """64 bits of millijoules do not wrap round."""

    def __init__(self, device: torch.device) -> None:
        """Raises NoCounterError without the package `nvidia-ml-py`, or if NVML refuses."""
        try:
            self._nvml: Any = import_module("pynvml")
        except ImportError:
            raise NoCounterError(
                "the package nvidia-ml-py (module pynvml) is not installed"
            ) from None
        try:
            self._nvml.nvmlInit()
            # NVML numbers the machine's GPUs, torch those that it may see; the uuid is the same.
            uuid = torch.cuda.get_device_properties(device).uuid
            self._handle = self._nvml.nvmlDeviceGetHandleByUUID(f"GPU-{uuid}")
            self.now()
        except self._nvml.NVMLError as error:
            raise NoCounterError(f"NVML has no energy counter for {device}: {error}") from None

    def now(self) -> tuple[float, ...]:
        """Joules since the driver was loaded."""
        return (self._nvml.nvmlDeviceGetTotalEnergyConsumption(self._handle) / 1e3,)

    def between(self, start: tuple[float, ...], end: tuple[float, ...]) -> float:
        """The difference."""
        return end[0] - start[0]


class RaplCounter:
    """The packages of this machine's processors, as Linux's powercap shows them.

    Parts of a package (cores, memory) are in its own number or beside it; `psys` and the second
    interface (`intel-rapl-mmio`) count the same energy again, and are left out.
    """

    source: Source = "rapl"

    def __init__(self, root: Path = POWERCAP) -> None:
        """Raises NoCounterError without a package, or if its counter is not for this user."""
        zones = sorted(root.glob("intel-rapl:*"))
        packages = [z for z in zones if z.name.count(":") == 1 and _named_package(z)]
        if not packages:
            raise NoCounterError(f"no processor package under {root}")
        try:
            self._ranges = [_number(z / "max_energy_range_uj") / 1e6 for z in packages]
            self._packages = packages
            self.now()
        except (OSError, ValueError) as error:
            why = getattr(error, "strerror", None) or error
            raise NoCounterError(f"cannot read {packages[0] / 'energy_uj'}: {why}") from None

    def now(self) -> tuple[float, ...]:
        """Joules of each package since its counter last wrapped round."""
        return tuple(_number(package / "energy_uj") / 1e6 for package in self._packages)

    @property
    def longest_s(self) -> float:
        """How long a counter takes at least to wrap round."""
        return min(self._ranges) / MOST_WATTS

    def between(self, start: tuple[float, ...], end: tuple[float, ...]) -> float:
        """The difference, one wrap-round of each package undone."""
        used = zip(start, end, self._ranges, strict=True)
        return sum(b - a if b >= a else b - a + whole for a, b, whole in used)


def _named_package(zone: Path) -> bool:
    name = zone / "name"
    return name.exists() and name.read_text(encoding="utf-8").startswith("package")


def _number(path: Path) -> int:
    return int(path.read_text(encoding="utf-8"))


def find_counter(device: torch.device) -> Counter:
    """The counter of a device; raises NoCounterError with the reason where there is none."""
    if device.type == "cuda":
        return NvmlCounter(device)
    if device.type == "cpu":
        return RaplCounter()
    raise NoCounterError(f"no energy counter is known for {device.type}")


class EnergyMeter:
    """Measures one window; `reading()` after it.

    Args:
        device: Where the work is done.
        idle_s: Seconds of idling before the window, at least two, to measure idle power; 0 for
            none. Nothing else may run on the device meanwhile.
        find: Where counters come from.
    """

    def __init__(
        self,
        device: torch.device,
        *,
        idle_s: float = 0.0,
        find: Callable[[torch.device], Counter] = find_counter,
    ) -> None:
        self.device = device
        self.reason = "the window has not ended"
        self._idle_s = max(idle_s, LEAST_SECONDS) if idle_s > 0 else 0.0
        self._energy: Energy | None = None
        self._counter: Counter | None = None
        self._idle_watts: float | None = None
        try:
            self._counter = find(device)
        except NoCounterError as error:
            self.reason = str(error)

    def __enter__(self) -> Self:
        if self._counter is not None:
            synchronize(self.device)
            if self._idle_s:
                self._begin(self._counter)
                time.sleep(self._idle_s)
                idle = self._end(self._counter)
                self._idle_watts = None if idle is None else idle.joules / idle.seconds
            self._begin(self._counter)
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if self._counter is not None:
            synchronize(self.device)
            self._energy = self._end(self._counter)

    def reading(self) -> dict[str, Any] | None:
        """Keys joules, idle_watts, source and seconds; None for the reason in `reason`."""
        return None if self._energy is None else asdict(self._energy)

    def _begin(self, counter: Counter) -> None:
        self._start = counter.now()
        self._start_ns = time.perf_counter_ns()

    def _end(self, counter: Counter) -> Energy | None:
        end = counter.now()
        seconds = (time.perf_counter_ns() - self._start_ns) / 1e9
        if seconds < LEAST_SECONDS:
            self.reason = (
                f"the window was {seconds:.2f} s; counters are renewed too slowly for less than "
                f"{LEAST_SECONDS:g} s"
            )
            return None
        if seconds > counter.longest_s:
            self.reason = (
                f"the window was {seconds:.0f} s; the counter may have wrapped round more than "
                f"once after {counter.longest_s:.0f} s"
            )
            return None
        joules = counter.between(self._start, end)
        self.reason = ""
        return Energy(
            joules=joules, idle_watts=self._idle_watts, source=counter.source, seconds=seconds
        )
