"""Where each bundle may run on a Ray cluster, and what it takes of the node meanwhile.

Pure data: knows nodes and cells; knows no Ray. `ray_pool.RayPool` calls it.
"""

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from dllm_eval.errors import UsageError
from dllm_eval.sweep.executors.bundles import Bundle, latency_bundles, quality_bundles
from dllm_eval.sweep.executors.ray_nodes import Need, Node
from dllm_eval.sweep.plan import Cell, Purpose


@dataclass(frozen=True, kw_only=True)
class Place:
    """Where a bundle may run."""

    need: Need
    node: Node | None = None
    """On this one alone; None is wherever there is room."""


@dataclass(frozen=True, kw_only=True)
class Demand:
    """What the user lets a quality cell take."""

    cpus: int = 1
    gpus: float | None = None
    """None is one where the cluster has any."""


def placed(
    cells: Sequence[Cell], purpose: Purpose, nodes: Sequence[Node], demand: Demand
) -> Iterator[tuple[Bundle, Place]]:
    """The bundles of some cells, each with its place.

    Args:
        cells: Of one purpose.
        purpose: It.
        nodes: Those that are alive.
        demand: Of a cell. Timings take whole devices instead.

    Raises:
        UsageError: No node has room for some cell.
    """
    for gpus, alike in _by_gpus(cells, nodes, demand).items():
        if purpose != "quality":
            places = latency_places(nodes, gpus)
            _check_room(len(places), demand, gpus)
            yield from zip(latency_bundles(alike, len(places)), places, strict=False)
            continue
        need = Need(cpus=demand.cpus, gpus=gpus)
        room = sum(node.holds(need) for node in nodes)
        _check_room(room, demand, gpus)
        for bundle in quality_bundles(alike, room):
            yield bundle, Place(need=need)


def latency_places(nodes: Sequence[Node], gpus: float) -> list[Place]:
    """Where timings run: on nodes of one kind, because seconds of several kinds do not compare.

    The kind is the one that has most room.
    """
    room = [place for node in nodes if node.gpus >= gpus for place in _alone(node, gpus)]
    kinds = Counter(_kind(place) for place in room)
    best = max(sorted(kinds), key=lambda kind: kinds[kind], default=None)
    return [place for place in room if _kind(place) == best]


def _alone(node: Node, gpus: float) -> list[Place]:
    need = node.alone(gpus)
    return [Place(need=need, node=node)] * node.holds(need)


def _kind(place: Place) -> tuple[str, str, int]:
    """What two places have in common whose seconds compare."""
    node = place.node
    accelerator = node.accelerator if node and place.need.gpus else ""
    return accelerator, node.processor if node else "", place.need.cpus


def _by_gpus(
    cells: Sequence[Cell], nodes: Sequence[Node], demand: Demand
) -> dict[float, list[Cell]]:
    """Cells by the GPUs that they take; a model told no device takes the first CUDA device."""
    usual = demand.gpus
    if usual is None:
        usual = 1.0 if any(node.gpus for node in nodes) else 0.0
    found: dict[float, list[Cell]] = {}
    for cell in cells:
        device = str(cell.arguments.get("device") or "cuda")
        found.setdefault(usual if device.startswith("cuda") else 0.0, []).append(cell)
    return found


def _check_room(room: int, demand: Demand, gpus: float) -> None:
    if not room:
        raise UsageError(
            f"no node of the Ray cluster has {demand.cpus} processors and {gpus:g} GPUs for one "
            f"cell; pass fewer with --cpus-per-cell and --gpus-per-cell"
        )
