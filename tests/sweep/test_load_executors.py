"""Load cells have a device to themselves wherever they run, as timed cells have."""

from collections.abc import Callable
from dataclasses import asdict, replace
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
from small_spec import SPEC, TAKES

from dllm_eval.files import write_json
from dllm_eval.load import Load
from dllm_eval.sweep.estimate import cell_seconds
from dllm_eval.sweep.executors import local
from dllm_eval.sweep.executors.bundles import latency_bundles
from dllm_eval.sweep.executors.ray_nodes import Need, Node
from dllm_eval.sweep.executors.ray_places import Demand, placed
from dllm_eval.sweep.executors.slurm import SlurmExecutor
from dllm_eval.sweep.folder import ResultsFolder
from dllm_eval.sweep.forecast import CellWork
from dllm_eval.sweep.pace import Pace, read_pace
from dllm_eval.sweep.plan import Cell, Purpose, plan
from dllm_eval.sweep.spec import Sweep
from dllm_eval.sweep.stage import sorted_by_weights

LOAD = {
    "in_flight": [1, 4],
    "arrivals_per_s": [2],
    "seconds": 20,
    "requests": 8,
    "rounds": 1,
    "warmup": 2,
}
NODES = [
    Node(node_id=name, host=name, cpus=8, gpus=2, accelerator="H100", processor="P")
    for name in ("a", "b")
]


@pytest.fixture
def cells() -> list[Cell]:
    takes = {name: taken | {"batch_size"} for name, taken in TAKES.items()}
    planned = plan(Sweep.model_validate({**SPEC, "load": LOAD}), takes.__getitem__)
    return [cell for cell in planned if cell.purpose == "load"]


@pytest.mark.parametrize("purpose", ["latency", "load"])
def test_on_ray_each_bundle_has_whole_devices(purpose: Purpose, cells: list[Cell]) -> None:
    pairs = list(placed(cells, purpose, NODES, Demand(cpus=1, gpus=0.5)))
    assert len(pairs) == 4  # one for each GPU
    assert {place.need for _, place in pairs} == {Need(cpus=4, gpus=1)}
    assert all(place.node is not None for _, place in pairs)
    ran = [cell.cell_id for bundle, _ in pairs for cell in bundle.cells]
    assert sorted(ran) == sorted(cell.cell_id for cell in cells)


def test_quality_cells_still_share_a_device(cells: list[Cell]) -> None:
    pairs = list(placed(cells, "quality", NODES, Demand(cpus=1, gpus=0.5)))
    assert {place.need for _, place in pairs} == {Need(cpus=1, gpus=0.5)}


@pytest.mark.parametrize(
    ("purpose", "alone"), [("quality", False), ("latency", True), ("load", True)]
)
def test_on_slurm_it_has_the_node(purpose: Purpose, alone: bool) -> None:
    asked = SlurmExecutor(cpus_per_cell=2)._parameters(purpose, 1)
    assert asked.get("slurm_exclusive", False) is alone
    assert asked["name"] == f"dllm-eval-{purpose}"


@pytest.mark.parametrize(("purpose", "limit"), [("quality", 3), ("latency", 1), ("load", 1)])
def test_here_one_process_runs_them(
    purpose: Purpose, limit: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    limits: list[int] = []

    class Idle:
        busy = False

        def __init__(self, stage: Any, *, limit: int, start: Any) -> None:
            del stage, start
            limits.append(limit)

        def stop(self) -> None:
            pass

    class Done:
        def __init__(self, purpose: Purpose) -> None:
            self.purpose = purpose

        def pending(self) -> list[Cell]:
            return []

        def report(self) -> None:
            pass

    monkeypatch.setattr(local, "Crew", Idle)
    stage: Any = Done(purpose)
    local.LocalExecutor(workers=3).run(stage)
    assert limits == [limit]


def test_a_models_load_cells_follow_each_other(cells: list[Cell]) -> None:
    names = [cell.name for cell in sorted_by_weights(cells)]
    assert len(names) == 15
    assert sum(before != after for before, after in pairwise(names)) == 1


def test_rounds_stay_apart_wherever_they_run(cells: list[Cell]) -> None:
    again = [Cell.from_dict(cell.as_dict()) for cell in cells]
    second = [replace(c, load=replace(c.load, round=1)) for c in again if c.load]
    turns = [cell.round for cell in sorted_by_weights([*second, *cells])]
    assert turns == [0] * 15 + [1] * 15
    for bundle in latency_bundles([*cells, *second], 2):
        turns = [cell.round for cell in bundle.cells]
        assert turns == sorted(turns)
        assert set(turns) == {0, 1}


@pytest.fixture
def estimated(cells: list[Cell], monkeypatch: pytest.MonkeyPatch) -> Callable[..., float]:
    """`estimated(load, batch_size, once_s)`: seconds of a cell of eight requests.

    They take `once_s` back to back in batches of that size.
    """

    def estimate(load: Load, batch_size: int, once_s: float) -> float:
        changes = {"load": asdict(load), "batch_size": batch_size}
        cell = Cell.from_dict({**cells[0].as_dict(), **changes})
        work = CellWork(documents=8, requests=8, forwards=80, positions=800)
        each = once_s / (80 / batch_size)
        monkeypatch.setattr("dllm_eval.sweep.estimate.forward_seconds", lambda *_: each)
        anything: Any = None
        found = cell_seconds(cell, work, anything, anything)
        assert found is not None
        return found

    return estimate


@pytest.mark.parametrize(
    ("load", "batch_size", "once_s", "seconds"),
    [
        # Two batches of a second each, and two warm-ups of one.
        ({"in_flight": 4}, 4, 2.0, 2 + 2 * 1),
        # Of eighty seconds each: nothing is offered after 20, so that one batch more runs at most.
        ({"in_flight": 4}, 4, 160.0, 20 + 80 + 2 * 80),
        # Eight arrive in sixteen seconds, and the last is answered in one more.
        ({"arrivals_per_s": 0.5}, 8, 1.0, 16 + 1 + 2 * 2 * 1),
        # Faster than the model: all are answered.
        ({"arrivals_per_s": 1000}, 8, 50.0, 0.008 + 50 + 2 * 2 * 50),
    ],
)
def test_a_load_takes_no_longer_than_its_bounds(
    load: dict[str, Any],
    batch_size: int,
    once_s: float,
    seconds: float,
    estimated: Callable[..., float],
) -> None:
    whole = Load(**load, seconds=20.0, requests=8, warmup=2)
    assert estimated(whole, batch_size, once_s) == pytest.approx(seconds)


def test_a_round_takes_as_long_as_the_finished_ones(cells: list[Cell], tmp_path: Path) -> None:
    first = next(cell for cell in cells if cell.arrivals_per_s)
    assert first.load is not None
    later = replace(first, cell_id="later", load=replace(first.load, round=1))
    folder, work = ResultsFolder(tmp_path), CellWork(documents=5)
    write_json(folder.cell(first.cell_id).done, {"seconds": 7.0})
    pace = read_pace(folder, [first, later], [work, work])
    assert pace.seconds(later, work) == pytest.approx(7.0)


def test_a_load_that_was_never_run_takes_what_it_offers(cells: list[Cell]) -> None:
    told = {
        cell.load.words: Pace().seconds(cell, CellWork(documents=5)) for cell in cells if cell.load
    }
    assert told == {"1 in flight": 20.0, "4 in flight": 20.0, "2 arrivals/s": 4.0}
