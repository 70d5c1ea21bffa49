"""Bundles as Ray tasks: started, waited for, cancelled, and what ended each.

Knows Ray's tasks; knows no lease. `ray.RayExecutor` makes one for each stage.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from dllm_eval.sweep.executors.bundles import Bundle
from dllm_eval.sweep.executors.losses import Ended
from dllm_eval.sweep.executors.ray_nodes import Node, live_nodes, pinned
from dllm_eval.sweep.executors.ray_places import Demand, Place, placed
from dllm_eval.sweep.executors.worker_note import new_note, run_bundle
from dllm_eval.sweep.plan import Cell
from dllm_eval.sweep.stage import Stage

_CANCEL_WAIT_S = 10.0


@dataclass(frozen=True, kw_only=True)
class _Task:
    bundle: Bundle
    note: Path


class RayPool:
    """A `dispatch.Pool` of Ray tasks.

    Args:
        ray: The module, connected.
        stage: What is run.
        nodes: Gives the nodes that can run cells of the stage.
        demand: What a quality cell takes.
    """

    def __init__(
        self,
        ray: Any,  # noqa: ANN401 - a module
        stage: Stage,
        *,
        nodes: Callable[[], list[Node]],
        demand: Demand,
    ) -> None:
        self._ray = ray
        self._stage = stage
        self._nodes = nodes
        self._demand = demand
        self._places: dict[str, Place] = {}
        self._running: dict[Any, _Task] = {}

    @property
    def busy(self) -> bool:
        """Whether any task runs or waits."""
        return bool(self._running)

    def underway(self) -> set[str]:
        """Ids of the cells of all tasks that run or wait."""
        return {cell.cell_id for task in self._running.values() for cell in task.bundle.cells}

    def pack(self, cells: Sequence[Cell]) -> list[Bundle]:
        """The bundles that cells are to travel in."""
        pairs = list(placed(cells, self._stage.purpose, self._nodes(), self._demand))
        for bundle, place in pairs:
            self._places |= {cell.cell_id: place for cell in bundle.cells}
        return [bundle for bundle, _ in pairs]

    def submit(self, bundles: Sequence[Bundle]) -> None:
        """Hands bundles to Ray, which starts each as soon as there is room."""
        for bundle in bundles:
            note = new_note(self._stage)
            task = _Task(bundle=bundle, note=note)
            self._running[self._submit(bundle, note)] = task

    def ended(self, wait_s: float) -> list[Ended]:
        """Those that ended since the last call; waits so long for the first of them."""
        ready, _ = self._ray.wait(list(self._running), num_returns=1, timeout=wait_s)
        return [self._end(reference, self._error(reference)) for reference in ready]

    def cancel(self) -> list[Ended]:
        """Interrupts all tasks, and kills those that do not listen."""
        for force in (False, True):
            for reference in self._running:
                self._ray.cancel(reference, force=force)
            if self._running:
                every = list(self._running)
                self._ray.wait(every, num_returns=len(every), timeout=_CANCEL_WAIT_S)
        return [self._end(reference, None) for reference in list(self._running)]

    def _submit(self, bundle: Bundle, note: Path) -> Any:  # noqa: ANN401 - Ray's own class
        place = self._place(bundle)
        need = place.need
        threads = need.cpus
        if self._stage.purpose != "quality":
            threads = self._stage.sweep.latency.threads or need.cpus
        environment = {"OMP_NUM_THREADS": str(threads), "MKL_NUM_THREADS": str(threads)}
        if not need.gpus:
            environment["CUDA_VISIBLE_DEVICES"] = ""  # a task would see all of its node
        # One call: a process of its own, whose memory ends with it.
        task = self._ray.remote(max_calls=1)(run_bundle).options(
            num_cpus=need.cpus,
            num_gpus=need.gpus,
            max_retries=0,  # `dispatch.drive` gives leases back before it tries again
            runtime_env={"env_vars": environment},
            scheduling_strategy=pinned(self._ray, place.node) if place.node else "DEFAULT",
        )
        job = self._stage.job(bundle.cells, threads, bundle.share)
        return task.remote(job.as_dict(), str(note))

    def _place(self, bundle: Bundle) -> Place:
        """The bundle's own place, or another of its kind if that node is gone."""
        own = self._places[bundle.cells[0].cell_id]
        if own.node is None:
            return own
        alive = {node.node_id for node in live_nodes(self._ray)}
        same = [p for p in self._places.values() if p.need == own.need and p.node]
        fit = [p for p in (own, *same) if p.node and p.node.node_id in alive]
        return fit[0] if fit else own

    def _error(self, reference: Any) -> BaseException | None:  # noqa: ANN401 - Ray's own class
        exceptions = self._ray.exceptions
        try:
            self._ray.get(reference)
        except exceptions.RayTaskError as error:
            cause: BaseException = error.cause
            return cause
        except exceptions.RayError as error:
            lost: BaseException = error
            return lost
        return None

    def _end(self, reference: Any, error: BaseException | None) -> Ended:  # noqa: ANN401
        task = self._running.pop(reference)
        memory = isinstance(error, self._ray.exceptions.OutOfMemoryError)
        return Ended(
            bundle=task.bundle,
            note=task.note,
            death="" if error is None else _line(error),
            kind="memory" if memory else "crash",
        )


def _line(error: BaseException) -> str:
    text = " ".join(str(error).split())
    return f"{type(error).__name__}: {text[:200]}"
