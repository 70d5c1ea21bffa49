"""Energy meters against made-up counters: a folder like powercap's, a module like NVML's."""

import re
import sys
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch

from dllm_eval.measure import energy
from dllm_eval.measure.energy import EnergyMeter, NoCounterError, NvmlCounter, RaplCounter

CPU = torch.device("cpu")


class Clock:
    """A clock that only `sleep` and `pass_` move, and a counter that runs at `watts`."""

    def __init__(self) -> None:
        self.seconds = 0.0
        self.watts = 0.0
        self.joules = 0.0

    def pass_(self, seconds: float) -> None:
        self.seconds += seconds
        self.joules += seconds * self.watts

    def perf_counter_ns(self) -> int:
        return int(self.seconds * 1e9)

    sleep = pass_


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    made = Clock()
    monkeypatch.setattr(energy, "time", made)
    return made


class Fake:
    """A counter of the clock's joules."""

    source: energy.Source = "rapl"
    longest_s = 100.0

    def __init__(self, clock: Clock) -> None:
        self.clock = clock

    def now(self) -> tuple[float, ...]:
        return (self.clock.joules,)

    def between(self, start: tuple[float, ...], end: tuple[float, ...]) -> float:
        return end[0] - start[0]


def zone(root: Path, folder: str, name: str, used_uj: int, range_uj: int = 262_143_328_850) -> Path:
    made = root / folder
    made.mkdir(parents=True)
    (made / "name").write_text(name + "\n")
    (made / "energy_uj").write_text(f"{used_uj}\n")
    (made / "max_energy_range_uj").write_text(f"{range_uj}\n")
    return made


def test_a_window_has_its_joules_and_the_idle_power_before_it(clock: Clock) -> None:
    clock.watts = 10.0
    with EnergyMeter(CPU, idle_s=3.0, find=lambda _: Fake(clock)) as meter:
        clock.watts = 50.0
        clock.pass_(4.0)
    assert meter.reading() == {
        "joules": pytest.approx(200.0),
        "idle_watts": pytest.approx(10.0),
        "source": "rapl",
        "seconds": pytest.approx(4.0),
    }
    assert meter.reason == ""


def test_without_idling_the_idle_power_is_not_known(clock: Clock) -> None:
    with EnergyMeter(CPU, find=lambda _: Fake(clock)) as meter:
        clock.pass_(2.5)
    found = meter.reading()
    assert found is not None
    assert found["idle_watts"] is None


def test_asked_for_idling_lasts_long_enough_to_be_read(clock: Clock) -> None:
    with EnergyMeter(CPU, idle_s=0.1, find=lambda _: Fake(clock)) as meter:
        clock.pass_(3.0)
    assert clock.seconds == pytest.approx(5.0)
    assert meter.reading() is not None


@pytest.mark.parametrize(
    ("seconds", "reason"), [(1.99, r"was 1\.99 s; .* less than 2 s"), (101.0, "more than once")]
)
def test_windows_that_cannot_be_trusted_are_refused(
    clock: Clock, seconds: float, reason: str
) -> None:
    with EnergyMeter(CPU, find=lambda _: Fake(clock)) as meter:
        clock.pass_(seconds)
    assert meter.reading() is None
    assert re.search(reason, meter.reason)


def test_no_reading_before_the_window_ends(clock: Clock) -> None:
    with EnergyMeter(CPU, find=lambda _: Fake(clock)) as meter:
        assert meter.reading() is None
        assert "has not ended" in meter.reason


def test_packages_are_added_once_and_their_parts_left_out(tmp_path: Path) -> None:
    first = zone(tmp_path, "intel-rapl:0", "package-0", 1_000_000)
    second = zone(tmp_path, "intel-rapl:1", "package-1", 5_000_000)
    others = [
        zone(tmp_path, "intel-rapl:0:0", "core", 7),
        zone(tmp_path, "intel-rapl:2", "psys", 7),
        zone(tmp_path, "intel-rapl-mmio:0", "package-0", 7),
    ]
    counter = RaplCounter(tmp_path)
    start = counter.now()
    (first / "energy_uj").write_text("3000000\n")
    (second / "energy_uj").write_text("5500000\n")
    for other in others:
        (other / "energy_uj").write_text("9999999999\n")
    assert counter.between(start, counter.now()) == pytest.approx(2.5)


def test_a_counter_that_wrapped_round_goes_on(tmp_path: Path) -> None:
    package = zone(tmp_path, "intel-rapl:0", "package-0", 262_143_000_000)
    counter = RaplCounter(tmp_path)
    start = counter.now()
    (package / "energy_uj").write_text("1671150\n")
    assert counter.between(start, counter.now()) == pytest.approx(2.0)
    assert counter.longest_s == pytest.approx(262.14, abs=0.01)


def test_a_machine_without_packages_says_so(tmp_path: Path) -> None:
    with pytest.raises(NoCounterError, match="no processor package under"):
        RaplCounter(tmp_path)


def test_a_counter_for_root_alone_says_so(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    zone(tmp_path, "intel-rapl:0", "package-0", 1)
    read = Path.read_text

    def refused(path: Path, encoding: str | None = None) -> str:
        if path.name == "energy_uj":
            raise PermissionError(13, "Permission denied", str(path))
        return read(path, encoding)

    monkeypatch.setattr(Path, "read_text", refused)
    with pytest.raises(NoCounterError, match="energy_uj: Permission denied"):
        RaplCounter(tmp_path)


def test_without_a_counter_there_is_no_reading_but_a_reason(clock: Clock) -> None:
    def none(device: torch.device) -> energy.Counter:
        raise NoCounterError(f"nothing for {device}")

    with EnergyMeter(CPU, idle_s=5.0, find=none) as meter:
        clock.pass_(10.0)
    assert meter.reading() is None
    assert meter.reason == "nothing for cpu"
    assert clock.seconds == 10.0


def test_an_unknown_kind_of_device_has_no_counter() -> None:
    with pytest.raises(NoCounterError, match="known for meta"):
        energy.find_counter(torch.device("meta"))


class FakeNvmlError(Exception):
    """NVML's."""


def nvml(monkeypatch: pytest.MonkeyPatch, *, supported: bool) -> dict[str, int]:
    state = {"millijoules": 5_000}

    def total(handle: str) -> int:
        assert handle == "handle of GPU-abc"
        if not supported:
            raise FakeNvmlError("Not Supported")
        return state["millijoules"]

    fake = SimpleNamespace(
        NVMLError=FakeNvmlError,
        nvmlInit=lambda: None,
        nvmlDeviceGetHandleByUUID=lambda uuid: f"handle of {uuid}",
        nvmlDeviceGetTotalEnergyConsumption=total,
    )
    monkeypatch.setitem(sys.modules, "pynvml", fake)
    uuids = {torch.device("cuda:0"): SimpleNamespace(uuid="abc")}
    monkeypatch.setattr(torch.cuda, "get_device_properties", uuids.__getitem__)
    return state


def test_nvml_counts_millijoules_of_the_gpu_that_torch_means(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    state = nvml(monkeypatch, supported=True)
    counter = NvmlCounter(torch.device("cuda:0"))
    start = counter.now()
    state["millijoules"] += 1_500
    assert counter.between(start, counter.now()) == pytest.approx(1.5)


def test_a_gpu_without_the_counter_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    nvml(monkeypatch, supported=False)
    with pytest.raises(NoCounterError, match="NVML has no energy counter for cuda:0: Not Supp"):
        NvmlCounter(torch.device("cuda:0"))


def test_without_the_package_nvml_is_not_asked(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "pynvml", None)
    with pytest.raises(NoCounterError, match="nvidia-ml-py"):
        NvmlCounter(torch.device("cuda:0"))
