"""The hours of a sweep: the roofline and the sums against numbers worked out by hand."""

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from small_spec import SPEC, TAKES

from dllm_eval.sweep.devices import DEVICES, UTILISATION, Device
from dllm_eval.sweep.estimate import (
    MEASURED,
    CellEstimate,
    assumptions,
    cell_seconds,
    estimates,
    forward_seconds,
    totals,
)
from dllm_eval.sweep.folder import ResultsFolder
from dllm_eval.sweep.forecast import CellWork
from dllm_eval.sweep.plan import Cell, plan
from dllm_eval.sweep.sizes import Sizes, local_folder, sizes_of
from dllm_eval.sweep.spec import Sweep

EIGHT_BILLION = Sizes(
    parameters=8_000_000_000, expert_parameters=0, experts_used=1.0, parameter_bytes=2.0
)
ROUND = Device(name="round", flops_per_s=1e14, bytes_per_s=1e12)
"""At 40 % of its peak, 4e13 operations a second."""


def cells_of(**changes: Any) -> list[Cell]:
    return plan(Sweep.model_validate({**SPEC, **changes}), TAKES.__getitem__)


def work(**changes: Any) -> CellWork:
    base = CellWork(documents=100, requests=100, forwards=3200, positions=3200 * 500)
    return replace(base, **changes)


def test_the_devices_figures_are_the_data_sheets() -> None:
    told = {device.name: (device.flops_per_s, device.bytes_per_s) for device in DEVICES}
    assert told == {
        "A100 80GB": (312e12, 2.039e12),
        "H100 SXM": (989.4e12, 3.35e12),
        "H200": (989.4e12, 4.8e12),
        "RTX 4090": (165.2e12, 1.008e12),
    }
    assert UTILISATION == 0.4


def test_a_forward_is_bound_by_arithmetic_or_by_memory() -> None:
    # 16e9 bytes at 1e12 a second: 16 ms, as much as 40 positions take: 40 * 16e9 / 4e13.
    assert forward_seconds(1, EIGHT_BILLION, ROUND) == pytest.approx(0.016)
    assert forward_seconds(40, EIGHT_BILLION, ROUND) == pytest.approx(0.016)
    assert forward_seconds(500, EIGHT_BILLION, ROUND) == pytest.approx(0.2)


def test_experts_are_computed_as_used_and_read_at_most_once() -> None:
    sizes = Sizes(parameters=1000, expert_parameters=800, experts_used=0.25, parameter_bytes=2.0)
    assert sizes.active == 400
    assert sizes.bytes_read(1) == 2 * (200 + 200)
    assert sizes.bytes_read(2) == 2 * (200 + 400)
    assert sizes.bytes_read(100) == 2 * 1000


def test_a_quality_cell_goes_through_its_documents_once_in_batches() -> None:
    cell = next(c for c in cells_of() if c.purpose == "quality")
    # 3200 forwards in batches of 16: 200 passes over 16 * 500 positions, 3.2 s each.
    assert cell_seconds(cell, work(), EIGHT_BILLION, ROUND) == pytest.approx(640)
    one = replace(cell, batch_size=1)
    assert cell_seconds(one, work(), EIGHT_BILLION, ROUND) == pytest.approx(640)
    # One position each: bound by memory, so that batches pay.
    short = work(positions=3200)
    assert cell_seconds(one, short, EIGHT_BILLION, ROUND) == pytest.approx(3200 * 0.016)
    assert cell_seconds(cell, short, EIGHT_BILLION, ROUND) == pytest.approx(200 * 0.016)


def test_scoring_packs_canvases_by_their_length() -> None:
    cell = replace(next(c for c in cells_of() if c.purpose == "quality"), batch_size=16)
    # 20 positions each: 8192 // 20 would fit, 16 questions have 16 * 32 canvases: 409.6 a pass.
    scored = work(positions=3200 * 20, scored=True)
    passes = 3200 / 409.6
    seconds = max(2 * 8e9 * 8192 / 4e13, 0.016)
    assert cell_seconds(cell, scored, EIGHT_BILLION, ROUND) == pytest.approx(passes * seconds)
    alone = replace(cell, batch_size=1)
    seconds = max(2 * 8e9 * 32 * 20 / 4e13, 0.016)
    assert cell_seconds(alone, scored, EIGHT_BILLION, ROUND) == pytest.approx(100 * seconds)


def test_a_latency_cell_repeats_and_warms_up() -> None:
    latency = {"requests": 5, "repeats": 2, "rounds": 1, "warmup": 3, "min_seconds": 0}
    cell = next(c for c in cells_of(latency=latency) if c.timing is not None)
    timed = CellWork(documents=5, requests=5, forwards=40, positions=40 * 50)
    once = 40 * 0.02  # 50 positions: 20 ms
    expected = once * 2 + once / 5 * 3
    assert cell_seconds(cell, timed, EIGHT_BILLION, ROUND) == pytest.approx(expected)
    longer = {**latency, "min_seconds": 8}
    cell = next(c for c in cells_of(latency=longer) if c.timing is not None)
    assert cell_seconds(cell, timed, EIGHT_BILLION, ROUND) == pytest.approx(
        once * 10 + once / 5 * 3
    )


def test_what_is_not_known_is_in_no_sum() -> None:
    cells = cells_of(latency={"enabled": False})
    sized = {"round": 3600.0}
    found = [
        CellEstimate(cell=c, work=work(), finished=False, seconds=dict(sized), why="")
        for c in cells[:-1]
    ]
    blank = CellWork(why="no local weights")
    found.append(
        CellEstimate(
            cell=cells[-1], work=blank, finished=False, seconds={"round": None}, why=blank.why
        )
    )
    assert cell_seconds(cells[-1], blank, EIGHT_BILLION, ROUND) is None
    diffusion, autoregressive, every = totals(found)
    assert (diffusion.model, diffusion.purpose, diffusion.cells) == ("D", "quality", 4)
    assert (diffusion.hours, diffusion.unknown_hours) == ({"round": 4.0}, {"round": 0})
    assert (autoregressive.forwards, autoregressive.unknown_forwards) == (0, 1)
    assert (every.hours, every.unknown_hours) == ({"round": 4.0}, {"round": 1})
    assert every.forwards == 4 * 3200
    lines = assumptions(found, ResultsFolder(Path("nowhere")))
    assert "not known for 1 cells: no local weights" in lines
    assert any("40% of the dense bfloat16 peak" in line for line in lines)
    assert not any("finished" in line for line in lines)


def test_sizes_come_from_the_headers_alone(tmp_path: Path) -> None:
    tensors = {
        "__metadata__": {"format": "pt"},
        "embed": {"dtype": "BF16", "shape": [10, 4], "data_offsets": [0, 80]},
        "layers.0.experts.0.up": {"dtype": "BF16", "shape": [4, 30], "data_offsets": [80, 320]},
        "norm": {"dtype": "F32", "shape": [], "data_offsets": [320, 324]},
    }
    header = json.dumps(tensors).encode()
    file = tmp_path / "model.safetensors"
    file.write_bytes(len(header).to_bytes(8, "little") + header)  # and not a byte of weights
    (tmp_path / "config.json").write_text('{"num_experts": 8, "num_experts_per_tok": 2}')
    found = sizes_of(tmp_path)
    assert found is not None
    assert (found.parameters, found.expert_parameters, found.experts_used) == (161, 120, 0.25)
    assert found.parameter_bytes == pytest.approx((80 + 240 + 4) / 161)
    assert found.active == 161 - 90
    loaded = sizes_of(tmp_path, "float32")
    assert loaded is not None
    assert loaded.parameter_bytes == 4
    file.write_bytes(b"\xff" * 20)
    assert sizes_of(tmp_path) is None
    file.unlink()
    assert sizes_of(tmp_path) is None


def test_the_shipped_pair_is_as_large_as_its_tensors() -> None:
    from safetensors.torch import load_file

    cell = next(c for c in cells_of() if c.name == "D")
    for name in ("reference-diffusion", "reference-ar"):
        folder = local_folder(replace(cell, arguments={"pretrained": name}, model="dllm"))
        assert folder is not None
        found = sizes_of(folder)
        weights = load_file(folder / "model.safetensors")
        assert found is not None
        assert found.parameters == sum(tensor.numel() for tensor in weights.values())
        assert found.parameter_bytes == 4


def test_a_hub_id_that_is_not_here_has_no_folder_and_stock_models_have_none() -> None:
    cell = cells_of()[0]
    hub = replace(cell, arguments={"pretrained": "nobody/nothing-at-all"})
    assert local_folder(hub) is None
    assert local_folder(replace(cell, arguments={})) is None
    assert local_folder(replace(cell, model="hf", arguments={"pretrained": "gpt2"})) is None


def test_every_device_is_told_and_this_machine_first() -> None:
    cells = [c for c in cells_of(latency={"enabled": False}) if c.name == "D"]
    shipped = [replace(c, arguments={"pretrained": "reference-diffusion"}) for c in cells]
    absent = [replace(c, arguments={"pretrained": "nobody/nothing-at-all"}) for c in cells]
    works = [work()] * 4
    nowhere = ResultsFolder(Path("nowhere"))
    found = estimates(
        nowhere, shipped, works, lambda sizes: replace(ROUND, name=f"{sizes.active:g}")
    )
    names = list(found[0].seconds)
    assert names[1:] == [device.name for device in DEVICES]
    assert float(names[0]) > 1e5
    assert all(seconds and seconds > 0 for seconds in found[0].seconds.values())
    assert MEASURED not in names
    for each in estimates(nowhere, absent, works, lambda _: ROUND):
        assert set(each.seconds.values()) == {None}
        assert each.why == "no local weights"
