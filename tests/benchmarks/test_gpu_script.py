"""The GPU benchmark's own path on a device that is no CPU, and what it leaves out for want of time.

On the fake device (`support/fake_cuda.py`) every table is printed, those of CUDA graphs included,
whose compiler is stood in for.
"""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from fake_cuda import fake_cuda, unavailable, waits_of

Script = Callable[[str], Any]
WHY_NOT = unavailable()
QUICK = ["--shape", "tiny", "--quick"]


@pytest.mark.skipif(WHY_NOT is not None, reason=WHY_NOT or "")
@pytest.mark.filterwarnings("default::DeprecationWarning")  # torch on itself
def test_every_table_is_printed_on_a_device(
    script: Script,
    capsys: pytest.CaptureFixture[str],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    gpu, reads = script("gpu"), script("_host_reads")
    small = replace(
        gpu.QUICK,
        prompt=8,
        rounds=1,
        step_canvases=(8, 16),
        plain_canvases=(8,),
        cached_canvas=32,
        graph_canvases=(8,),
        break_even_canvases=(8,),
        lengths=(4, 8),
        length_steps=(2,),
        length_rounds=2,
        waits_canvas=8,
    )
    monkeypatch.setattr(gpu, "QUICK", small)
    monkeypatch.setattr(gpu, "SAMPLERS", ("low_confidence", "threshold"))
    for name in ("graphs", "break_even"):
        monkeypatch.setattr(script(name), "BLOCK", 4)
    monkeypatch.setattr(script("break_even"), "TOKENS", 2)
    monkeypatch.setitem(script("_turns").in_turns.__kwdefaults__, "warm_up", 0)
    monkeypatch.setattr(reads, "_cuda_waits", lambda work: len(waits_of(work)))
    monkeypatch.setattr(torch, "compile", lambda module, **_: module)
    for name in ("reset_peak_memory_stats", "memory_allocated", "max_memory_allocated"):
        monkeypatch.setattr(torch.cuda, name, lambda *_: 0)
    row_statistics = script("dllm_eval.samplers.row_statistics")
    monkeypatch.setattr(row_statistics, "_has_triton", lambda: False)
    with fake_cuda():
        gpu.main([*QUICK, "--device", "cuda", "--budget", "1e9", "--figures", str(tmp_path)])
    printed = capsys.readouterr().out
    assert "on a fake CUDA device" in printed
    assert "exact cache, CUDA graphs" in printed
    assert "both as graphs" in printed
    assert (
        "| no host synchronisation in the loop beyond counted stop checks | 0 uncounted | met |"
        in (printed)
    )
    assert "Left out" not in printed
    assert (tmp_path / "length_tiny_cuda.svg").is_file()


def test_what_there_is_no_time_for_is_named(
    script: Script, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    script("gpu").main([*QUICK, "--device", "cpu", "--budget", "0", "--figures", str(tmp_path)])
    printed = capsys.readouterr().out
    *_, last = printed.strip().splitlines()
    assert last.startswith("Left out for want of time (--budget 0): A denoising step over a bare")
    assert last.endswith("Latency against the length of the answer.")
    assert "canvas" not in printed


def test_a_budget_learns_how_slow_the_machine_is(
    script: Script, monkeypatch: pytest.MonkeyPatch
) -> None:
    module = script("_budget")
    clock = [0.0]
    monkeypatch.setattr(module, "now_s", lambda: clock[0])
    budget = module.Budget(seconds=100.0, began=0.0)
    assert budget.has_room_for("first", 100.0)
    clock[0] = 20.0
    budget.took(10.0, 20.0)
    assert budget.has_room_for("second", 40.0)  # twice as long as predicted
    assert not budget.has_room_for("third", 41.0)
    assert budget.left_out == ["third"]
    budget.took(30.0, 0.0)
    assert budget.has_room_for("fourth", 80.0)  # never taken to be faster than predicted


def test_predictions_follow_from_the_shape(
    script: Script, capsys: pytest.CaptureFixture[str]
) -> None:
    shape, budget = script("_models").SHAPES["llada-8b"], script("_budget")
    costs = budget.Costs(shape=shape)
    # arXiv 2502.09992, Table 5: 8.02 billion parameters, embeddings and norms included.
    assert costs.body + 2 * costs.head == pytest.approx(8.02e9, rel=0.002)
    # Few positions are bound by memory: two bytes a weight; many by arithmetic: two operations.
    weights = costs.body + costs.head
    assert costs.device_s(1, 1) == pytest.approx(2 * weights / 4.8e12, rel=1e-3)
    attention = 4 * 32 * 1056**2 * 4096
    assert costs.device_s(1056, 1056) == pytest.approx(
        (2 * weights * 1056 + attention) / 6e14, rel=1e-3
    )
    script("gpu").main(["--predict"])
    printed = capsys.readouterr().out
    ends = [line.split(" | ") for line in printed.splitlines() if line.count(" | ") == 2]
    assert float(ends[-1][2].strip(" |")) < 480
