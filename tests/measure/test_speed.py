"""How fast this machine is: figures of the right kind, and arithmetic that can be checked."""

from collections.abc import Callable

import pytest
import torch

from dllm_eval.measure import speed


def test_operations_and_bytes_are_counted_over_the_median_trial(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    seconds = iter([0.5, 0.25])

    def told(run: Callable[[], object], device: torch.device) -> float:
        del device
        run()
        return next(seconds)

    monkeypatch.setattr(speed, "_seconds", told)
    monkeypatch.setattr(speed, "_WIDTH", {"cpu": 64})
    monkeypatch.setattr(speed, "_MEMORY_BYTES", {"cpu": 4096})
    found = speed.measure_speed(torch.device("cpu"), torch.float32)
    assert found.flops_per_s == 2 * 64**3 / 0.5
    assert found.bytes_per_s == 4096 / 0.25
    assert found.machine


def test_this_machine_is_measured_in_a_moment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(speed, "_WIDTH", {"cpu": 256})
    monkeypatch.setattr(speed, "_MEMORY_BYTES", {"cpu": 2**22})
    for dtype in (torch.float32, torch.bfloat16):
        found = speed.measure_speed(torch.device("cpu"), dtype)
        assert 1e6 < found.flops_per_s < 1e15
        assert 1e6 < found.bytes_per_s < 1e14
