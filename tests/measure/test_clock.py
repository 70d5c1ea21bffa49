"""The clock: wall seconds, and the processor's share that tells a busy machine from a slow one."""

import time

import torch

from dllm_eval.measure.clock import Timer

CPU = torch.device("cpu")


def test_waiting_costs_wall_seconds_and_no_processor() -> None:
    with Timer(CPU) as timer:
        time.sleep(0.2)
    assert timer.seconds >= 0.2
    assert timer.cpu_seconds is not None
    assert timer.cpu_seconds < 0.1


def test_computing_costs_both() -> None:
    with Timer(CPU) as timer:
        until = time.process_time() + 0.2
        while time.process_time() < until:
            sum(range(1000))
    assert timer.cpu_seconds is not None
    assert timer.cpu_seconds >= 0.2
    assert timer.seconds >= 0.19


def test_no_processor_share_where_another_device_works() -> None:
    assert Timer(torch.device("meta")).cpu_seconds is None
    with Timer(torch.device("meta")) as timer:
        pass
    assert timer.cpu_seconds is None
