"""How cells are packed into bundles, and where on a Ray cluster each may run."""

from typing import Any

import pytest

from dllm_eval.errors import UsageError
from dllm_eval.sweep.executors.bundles import Bundle, latency_bundles, quality_bundles
from dllm_eval.sweep.executors.ray_nodes import Need, Node
from dllm_eval.sweep.executors.ray_places import Demand, latency_places, placed
from dllm_eval.sweep.models import accepted_arguments
from dllm_eval.sweep.plan import Cell, Purpose, plan
from dllm_eval.sweep.spec import Sweep
from dllm_eval.sweep.stage import sorted_by_weights, work

STEPS = [1, 2, 4, 8, 16, 32, 64]


def cells_of(purpose: Purpose, limit: int = 10, **arguments: Any) -> list[Cell]:
    models = [
        {"name": name, "model": "dllm", "kind": "diffusion", "args": {**arguments, **own}}
        for name, own in (("A", {"pretrained": "a"}), ("B", {"pretrained": "b"}))
    ]
    suite = {"task": "t", "metric": "m", "limit": limit, "sweep": {"steps": STEPS}}
    latency = {"rounds": 3, "requests": 10, "min_seconds": 0}
    spec = {"name": "n", "models": models, "suites": [suite], "latency": latency}
    cells = plan(Sweep.model_validate(spec), accepted_arguments)
    return sorted_by_weights([cell for cell in cells if cell.purpose == purpose])


def ids(bundles: list[Bundle]) -> list[str]:
    return [cell.cell_id for bundle in bundles for cell in bundle.cells]


def node(number: int, *, cpus: int = 8, gpus: int = 0, kind: str = "") -> Node:
    return Node(node_id=f"id{number}", host=f"h{number}", cpus=cpus, gpus=gpus, accelerator=kind)


@pytest.mark.parametrize("slots", [1, 2, 3, 5, 7])
@pytest.mark.parametrize("limit", [10, 10000])
def test_every_quality_cell_travels_once_with_its_model_in_bundles_of_bounded_cost(
    slots: int, limit: int
) -> None:
    cells = cells_of("quality", limit=limit)
    bundles = quality_bundles(cells, slots)
    assert sorted(ids(bundles)) == sorted(cell.cell_id for cell in cells)
    # 635 units are done sooner than a worker starts, 635 000 are not.
    most = sum(map(work, cells)) / slots / (3 if limit == 10000 else 1)
    for bundle in bundles:
        assert len({cell.name for cell in bundle.cells}) == 1
        assert bundle.cost <= most or len(bundle.cells) == 1
        steps = [int(str(cell.arguments["steps"])) for cell in bundle.cells]
        assert steps == sorted(steps)
    costs = [bundle.cost for bundle in bundles]
    assert costs == sorted(costs, reverse=True)


def test_started_as_slots_fall_free_no_slot_waits_for_more_than_one_bundle() -> None:
    bundles = quality_bundles(cells_of("quality", limit=10000), 3)
    ends = [0.0] * 3
    for bundle in bundles:
        ends[ends.index(min(ends))] += bundle.cost
    assert max(ends) - min(ends) <= max(bundle.cost for bundle in bundles)


def test_more_slots_than_cells_share_the_batches_of_each() -> None:
    cells = cells_of("quality")[:2]
    bundles = quality_bundles(cells, 7)
    assert [(b.cells, b.share) for b in bundles] == [
        ((cell,), (index, 3)) for cell in cells for index in range(3)
    ]
    assert sum(bundle.cost for bundle in bundles) == pytest.approx(sum(map(work, cells)))


def test_every_slot_goes_through_the_rounds_in_order_and_devices_take_turns() -> None:
    cells = cells_of("latency")
    bundles = latency_bundles(cells, 2)
    assert len(bundles) == 2
    assert sorted(ids(bundles)) == sorted(cell.cell_id for cell in cells)
    order = {cell.cell_id: number for number, cell in enumerate(cells)}
    for bundle in bundles:
        numbers = [order[cell.cell_id] for cell in bundle.cells]
        assert numbers == sorted(numbers)
        assert {cell.timing.round for cell in bundle.cells if cell.timing} == {0, 1, 2}
    # Each slot has about half of the work of each round.
    for turn in range(3):
        shares = [
            sum(work(cell) for cell in b.cells if cell.timing and cell.timing.round == turn)
            for b in bundles
        ]
        longest = max(work(cell) for cell in cells)
        assert abs(shares[0] - shares[1]) <= longest
    assert latency_bundles(cells, 1) == [Bundle(cells=tuple(cells))]


def test_timings_take_a_whole_gpu_with_its_processors_or_all_processors() -> None:
    gpus = node(0, cpus=16, gpus=4, kind="H100")
    assert gpus.alone(1) == gpus.alone(0.5) == Need(cpus=4, gpus=1)
    assert gpus.alone(2) == Need(cpus=8, gpus=2)
    assert gpus.alone(0) == Need(cpus=16, gpus=0)
    assert len(latency_places([gpus], 1)) == 4
    assert len(latency_places([gpus], 0)) == 1
    # What is left of the node beside a timing on processors is nothing that a cell could take.
    assert gpus.holds(Need(cpus=1, gpus=0)) == gpus.alone(0).cpus


def test_timings_keep_to_nodes_of_one_kind() -> None:
    nodes = [
        node(0, gpus=1, kind="A100"),
        node(1, gpus=2, kind="H100"),
        node(2, gpus=2, kind="H100"),
        node(3, cpus=64),
    ]
    found = [place.node.node_id for place in latency_places(nodes, 1) if place.node]
    assert found == ["id1", "id1", "id2", "id2"]
    on_cpu = [place.node.node_id for place in latency_places(nodes, 0) if place.node]
    assert on_cpu == ["id0", "id1", "id2"]


def test_a_cell_takes_a_gpu_where_there_are_any_unless_its_device_is_the_cpu() -> None:
    fake = cells_of("quality")
    nodes = [node(0, cpus=2, gpus=2)]
    taken = [place.need.gpus for _, place in placed(fake, "quality", nodes, Demand())]
    assert set(taken) == {1.0}
    parts = [place.need for _, place in placed(fake, "quality", nodes, Demand(gpus=0.5))]
    assert set(parts) == {Need(cpus=1, gpus=0.5)}
    on_cpu = cells_of("quality", device="cpu")
    assert {p.need.gpus for _, p in placed(on_cpu, "quality", nodes, Demand())} == {0.0}
    plain = [node(0, cpus=2)]
    assert {p.need.gpus for _, p in placed(fake, "quality", plain, Demand())} == {0.0}


@pytest.mark.parametrize(("purpose", "gpus"), [("quality", 3.0), ("latency", 3.0)])
def test_a_cell_without_room_anywhere_is_one_line(purpose: Purpose, gpus: float) -> None:
    cells = cells_of(purpose)
    with pytest.raises(UsageError, match="no node of the Ray cluster has 1 processors and 3 GPUs"):
        list(placed(cells, purpose, [node(0, gpus=2)], Demand(gpus=gpus)))
