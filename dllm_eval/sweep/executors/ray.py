"""A Ray cluster: bundles of cells as tasks, with processors and GPUs by Ray's own bookkeeping.

Knows Ray and bundles; loads no model itself, and nothing comes back but what workers write into
the results folder, which every node sees. The command line makes the executor.
"""

import os
import secrets
import socket
import sys
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from dllm_eval.errors import UsageError
from dllm_eval.files import write_text
from dllm_eval.sweep.executors import ray_nodes
from dllm_eval.sweep.executors.dispatch import drive, extra
from dllm_eval.sweep.executors.ray_nodes import Node
from dllm_eval.sweep.executors.ray_places import Demand
from dllm_eval.sweep.executors.ray_pool import RayPool
from dllm_eval.sweep.stage import Stage

_KNOCK_S = 5.0
_OBJECT_STORE_BYTES = 256 * 2**20
"""Of an instance started here: nothing travels through it."""


class RayExecutor:
    """An `executor.Executor` over a Ray cluster; leave it by `close` or as a context.

    A connection that is open in this process already is used, and left open.

    Args:
        address: "HOST:PORT" of a cluster; "auto" finds the one that this machine is part of;
            "local" starts one on this machine, which ends with this process.
        cpus_per_cell: Processors, and CPU threads, of a quality cell.
        gpus_per_cell: GPUs of a quality cell, for example 0.5; None means one where the cluster has
            GPUs. A cell whose device is the CPU takes none.
    """

    def __init__(
        self,
        address: str = "auto",
        *,
        cpus_per_cell: int = 1,
        gpus_per_cell: float | None = None,
    ) -> None:
        self.address = address
        self.demand = Demand(cpus=cpus_per_cell, gpus=gpus_per_cell)
        self._ours = False

    def __enter__(self) -> Self:
        """Joins the cluster.

        Raises:
            UsageError: Ray is not installed, or there is no such cluster.
        """
        self._connected()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    def close(self) -> None:
        """Leaves the cluster, or ends the one that was started here."""
        if self._ours:
            extra("ray", "ray").shutdown()
            self._ours = False

    def run(self, stage: Stage) -> None:
        """Runs the stage's pending cells; see `executor.Executor`."""
        if not stage.pending():
            stage.report()
            return
        ray = self._connected()
        pool = RayPool(ray, stage, nodes=lambda: self._nodes(ray, stage), demand=self.demand)
        drive(stage, pool)

    def _connected(self) -> Any:  # noqa: ANN401 - a module
        if self.address == "local":
            _prepare()
        ray = extra("ray", "ray")
        if ray.is_initialized():
            return ray
        knock(self.address)
        try:
            if self.address == "local":
                _start(ray)
            else:
                ray.init(address=self.address, log_to_driver=False, logging_level="ERROR")
        except (ConnectionError, RuntimeError, ValueError) as error:
            reason = " ".join(str(error).split())[:200]
            raise UsageError(
                f"no Ray cluster at --ray-address {self.address} ({reason}); start one with `ray "
                f"start --head`, name one as HOST:PORT, or pass --ray-address local"
            ) from error
        self._ours = True
        return ray

    def _nodes(self, ray: Any, stage: Stage) -> list[Node]:  # noqa: ANN401 - a module
        nodes = ray_nodes.live_nodes(ray)
        if self._ours and self.address == "local":
            return nodes
        folder = stage.folder.path.resolve()
        marker = Path("workers") / f"seen-{socket.gethostname()}-{os.getpid()}"
        write_text(folder / marker, "")
        try:
            return ray_nodes.asked_nodes(ray, nodes, folder, str(marker))
        finally:
            (folder / marker).unlink()


def knock(address: str) -> None:
    """Looks whether anybody listens at HOST:PORT; Ray itself would try for minutes.

    Raises:
        UsageError: Nobody does.
    """
    host, _, port = address.rpartition(":")
    if not host or "/" in address or not port.isdigit():
        return
    try:
        socket.create_connection((host, int(port)), timeout=_KNOCK_S).close()
    except (OSError, OverflowError) as error:
        raise UsageError(
            f"nobody answers at --ray-address {address} ({error}); start a cluster with `ray start "
            f"--head`, or pass --ray-address local"
        ) from error


def _prepare() -> None:
    """What Ray must find in the environment when it is imported to start an instance of its own.

    A secret that only this process and its children know: Ray listens on the network, and a token
    that it made itself would be left in the home folder.
    """
    if "ray" in sys.modules:
        return
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
    if "RAY_AUTH_MODE" not in os.environ:
        os.environ["RAY_AUTH_MODE"] = "token"
        os.environ["RAY_AUTH_TOKEN"] = secrets.token_hex(32)


def _start(ray: Any) -> None:  # noqa: ANN401 - a module
    """Starts Ray on this machine alone, without its dashboard."""
    from dllm_eval.measure.provenance import usable_cores

    ray.init(
        address="local",
        num_cpus=usable_cores(),
        include_dashboard=False,
        log_to_driver=False,
        logging_level="ERROR",
        object_store_memory=_OBJECT_STORE_BYTES,
        _node_ip_address="127.0.0.1",
    )
