"""Peak memory of a process on the CPU."""

import torch

from dllm_eval.measure.memory import peak_memory_bytes, peak_memory_scope, reset_peak

CPU = torch.device("cpu")


def test_a_large_block_shows_in_the_peak() -> None:
    reset_peak(CPU)
    before = peak_memory_bytes(CPU)
    size = before + 200_000_000
    block = torch.ones(size, dtype=torch.uint8)
    assert int(block[-1]) == 1
    assert peak_memory_bytes(CPU) >= size
    assert "process" in peak_memory_scope(CPU)
