"""What the machines of a Ray cluster are, and whether they can run cells of a results folder.

Knows Ray's nodes; knows no cell. `ray.RayExecutor` asks for them, `ray_places.py` fills them.
"""

import math
import socket
from collections.abc import Iterable
from dataclasses import dataclass, replace
from importlib.metadata import version
from pathlib import Path
from typing import Any

from dllm_eval.errors import UsageError

_PROBE_TIMEOUT_S = 180.0


@dataclass(frozen=True, kw_only=True)
class Need:
    """What a cell takes of a node while it runs."""

    cpus: int
    gpus: float


@dataclass(frozen=True, kw_only=True)
class Node:
    """A live machine of the cluster."""

    node_id: str
    host: str
    cpus: int
    """As declared to Ray."""
    gpus: int
    accelerator: str
    """The GPU's kind as Ray names it; empty without one."""
    processor: str = ""
    """Its name, where the node was asked."""

    def holds(self, need: Need) -> int:
        """How many such needs fit at a time."""
        by_cpu = self.cpus // need.cpus
        return min(by_cpu, int(self.gpus / need.gpus)) if need.gpus else by_cpu

    def alone(self, gpus: float) -> Need:
        """What a timing takes, so that nothing shares its device.

        On GPUs: whole ones, and their part of the node's processors. Else all processors.

        Args:
            gpus: Of a cell; no more than the node has.
        """
        if not gpus:
            return Need(cpus=self.cpus, gpus=0)
        whole = math.ceil(gpus)
        return Need(cpus=max(1, self.cpus * whole // self.gpus), gpus=whole)


def live_nodes(ray: Any) -> list[Node]:  # noqa: ANN401 - a module
    """The cluster's machines that can run anything."""
    found = []
    for row in ray.nodes():
        resources = row["Resources"]
        kinds = [key for key in resources if key.startswith("accelerator_type:")]
        if row["Alive"] and resources.get("CPU", 0) >= 1:
            node = Node(
                node_id=row["NodeID"],
                host=row["NodeManagerHostname"],
                cpus=int(resources["CPU"]),
                gpus=int(resources.get("GPU", 0)),
                accelerator=kinds[0].partition(":")[2] if kinds else "",
            )
            found.append(node)
    return sorted(found, key=lambda node: (node.host, node.node_id))


def asked_nodes(ray: Any, nodes: Iterable[Node], folder: Path, marker: str) -> list[Node]:  # noqa: ANN401
    """Asks every node whether it has this package and sees the results folder, and what it is.

    Args:
        ray: The module, connected.
        nodes: Whom to ask.
        folder: The results folder.
        marker: The name of a file in it that this process has just written.

    Raises:
        UsageError: One of them does not.
    """
    asked = {
        ray.remote(_probe)
        .options(num_cpus=0, max_retries=0, scheduling_strategy=pinned(ray, node))
        .remote(str(folder), marker): node
        for node in nodes
    }
    _, late = ray.wait(list(asked), num_returns=len(asked), timeout=_PROBE_TIMEOUT_S)
    if late:
        raise UsageError(
            f"node {asked[late[0]].host!r} of the Ray cluster does not answer within "
            f"{_PROBE_TIMEOUT_S:.0f} s; mend it or take it out of the cluster"
        )
    return [_answer(ray, node, reference, folder) for reference, node in asked.items()]


def pinned(ray: Any, node: Node) -> Any:  # noqa: ANN401 - Ray's own class
    """Runs a task on this node and on no other."""
    strategies = ray.util.scheduling_strategies
    return strategies.NodeAffinitySchedulingStrategy(node_id=node.node_id, soft=False)


def _probe(folder: str, marker: str) -> tuple[bool, str, str]:
    """Runs on a node: whether it sees the marker, this package's version, the processor's name."""
    from dllm_eval.measure.provenance import cpu_name

    return (Path(folder) / marker).exists(), version("dllm-eval"), cpu_name()


def _answer(ray: Any, node: Node, reference: Any, folder: Path) -> Node:  # noqa: ANN401
    try:
        seen, theirs, processor = ray.get(reference)
    except ray.exceptions.RayError as error:
        reason = " ".join(str(error).split())[-200:]
        raise UsageError(
            f"node {node.host!r} of the Ray cluster cannot run dllm-eval ({reason}); install "
            f"dllm-eval {version('dllm-eval')} on every node"
        ) from error
    if theirs != version("dllm-eval"):
        raise UsageError(
            f"node {node.host!r} of the Ray cluster has dllm-eval {theirs}, "
            f"{socket.gethostname()!r} has {version('dllm-eval')}; install the same on every node"
        )
    if not seen:
        raise UsageError(
            f"node {node.host!r} of the Ray cluster does not see the results folder "
            f"{str(folder)!r}; name one with --out that every node mounts at the same path"
        )
    return replace(node, processor=processor)
