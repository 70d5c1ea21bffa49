"""What `gpu.py` should show on an H200, and how long each of its tables should take.

Arithmetic alone, from `_budget.py`'s figures: nothing here was measured. Knows costs and the plan;
nothing of models and clocks. `gpu.py` calls it.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import accumulate
from statistics import fmean

from _budget import BYTES_PER_S, Costs, Plan
from _models import Shape
from _table import print_table

BLOCK = 32
GRAPH_S = 45.0
"""To compile 32 layers and record them: an assumption."""
OPERATIONS_A_TOKEN = 1306
"""Launches of transformers' eager causal model of 32 layers, counted as in `_budget.py`."""
CAUSAL_LAUNCH_S = 9e-6
"""transformers' own Python lies between them: an assumption."""
LOAD_S = 40.0
"""Importing torch, and drawing the weights: an assumption."""
HEADER = ("what", "predicted on an H200", "arithmetic")
TIMES_HEADER = ("table", "predicted s", "ends at s")


@dataclass(frozen=True, kw_only=True)
class Seconds:
    """Of each table of a plan."""

    plan: Plan
    costs: Costs

    def step(self, canvases: Sequence[int]) -> float:
        """Bare forwards and steps, in turns."""
        return sum(
            self._turns(self.plan.steps * (self._bare(each) + self.step_s(each))) * 1.1
            for each in canvases
        )

    def step_s(self, canvas: int) -> float:
        """One step, the mean over a generation: the masked rows shrink."""
        steps = self.plan.steps
        left = [canvas - done * canvas // steps for done in range(steps)]
        return fmean(self.costs.step_s(self.plan.prompt + canvas, rows) for rows in left)

    def plain_s(self, canvas: int) -> float:
        """A step of the plain loop: a bare forward, and softmax and argmax of its logits."""
        positions, costs = self.plan.prompt + canvas, self.costs
        return costs.bare_s(positions) + 4 * 2 * positions * costs.shape.vocab_size / BYTES_PER_S

    def our_s(self, canvas: int) -> float:
        """Of ours in blocks, two steps a block."""
        return self.costs.step_s(self.plan.prompt + canvas, BLOCK)

    def plain(self) -> float:
        """The plain loop and ours."""
        return sum(
            self._turns(2 * each / BLOCK * (self.plain_s(each) + self.our_s(each)), warm=1)
            for each in self.plan.plain_canvases
        )

    def waits(self) -> float:
        """Two generations a sampler, of at most as many steps as tokens."""
        return 12 * self.plan.waits_canvas * self._bare(self.plan.waits_canvas)

    def cached_s(self, *, graph: bool) -> float:
        """One step of a block."""
        return self.costs.cached_step_s(BLOCK, self.plan.cached_canvas, graph=graph)

    def cached(self) -> float:
        """Two ways, a long and a short run each."""
        return self._turns(2 * self._runs(graph=False))

    def cached_graphs(self) -> float:
        """A third way, of two graphs."""
        return 2 * GRAPH_S + self._turns(2 * self._runs(graph=False) + self._runs(graph=True))

    def _runs(self, *, graph: bool) -> float:
        return (BLOCK + 2) * self.cached_s(graph=graph) + 2 * self._bare(self.plan.cached_canvas)

    def graphs(self) -> float:
        """Four ways, two of them graphs."""
        compiling = 2 * GRAPH_S * len(self.plan.graph_canvases)
        return compiling + 2 * self.step(self.plan.graph_canvases)

    def token_s(self) -> float:
        """Of the eager autoregressive model."""
        shape = self.costs.shape
        launches = OPERATIONS_A_TOKEN * shape.num_layers / 32
        return max(self.costs.device_s(1, 1), launches * CAUSAL_LAUNCH_S)

    def break_even(self) -> float:
        """Steps, cached steps and AR tokens at each length."""
        others = 34 * self.cached_s(graph=False) + 34 * self.token_s()
        plan = self.plan
        each = [plan.steps * self.step_s(canvas) + others for canvas in plan.break_even_canvases]
        return sum(map(self._turns, each))

    def batches(self) -> float:
        """All sizes of both models take their turns together."""
        plan, costs = self.plan, self.costs
        positions = plan.prompt + plan.batch_canvas
        steps = sum(costs.step_s(size * positions, size * positions) for size in plan.batches)
        tokens = len(plan.batches) * plan.batch_canvas * self.token_s()
        return self._turns(plan.steps * steps + tokens, warm=1)

    def lengths(self) -> float:
        """All lengths take their turns together."""
        plan = self.plan
        ours = sum(
            steps * self.step_s(each)
            for each in plan.lengths
            for steps in plan.length_steps
            if steps <= each
        )
        return (ours + sum(plan.lengths) * self.token_s()) * (1 + plan.length_rounds)

    def _bare(self, canvas: int) -> float:
        return self.costs.bare_s(self.plan.prompt + canvas)

    def _turns(self, round_s: float, warm: int = 3) -> float:
        plan = self.plan
        return round_s * (warm + max(3.0, min(plan.rounds, plan.limit_s / round_s + 1)))


def report(plan: Plan, shape: Shape) -> None:
    """Prints what to expect of the aims and of each table's time."""
    costs = Costs(shape=shape)
    seconds = Seconds(plan=plan, costs=costs)
    rows = []
    for canvas in plan.step_canvases:
        bare, step = costs.bare_s(plan.prompt + canvas), seconds.step_s(canvas)
        says = f"{1e3 * step:.1f} ms / {1e3 * bare:.1f} ms"
        rows.append([f"step / bare forward, eager, canvas {canvas}", f"{step / bare:.2f}", says])
    for canvas in plan.plain_canvases:
        plain, ours = seconds.plain_s(canvas), seconds.our_s(canvas)
        says = f"{1e3 * plain:.1f} ms / {1e3 * ours:.1f} ms"
        rows.append([f"plain loop / ours, eager, canvas {canvas}", f"{plain / ours:.2f}", says])
    for graph in (False, True):
        name = f"32-token step behind a cache, {'CUDA graphs' if graph else 'eager'}"
        device = 1e3 * costs.device_s(BLOCK, BLOCK, held=plan.cached_canvas)
        says = f"weights and keys alone {device:.1f} ms"
        rows.append([name, f"{1e3 * seconds.cached_s(graph=graph):.1f} ms", says])
    rows.append(["eager AR token", f"{1e3 * seconds.token_s():.1f} ms", "launches"])
    print_table(HEADER, rows)
    times = [
        ("loading", LOAD_S),
        ("step", seconds.step(plan.step_canvases)),
        ("plain loop", seconds.plain()),
        ("waits", seconds.waits()),
        ("cached, eager", seconds.cached()),
        ("cached, graphs", seconds.cached_graphs()),
        ("step, graphs", seconds.graphs()),
        ("break-even", seconds.break_even()),
        ("batches", seconds.batches()),
        ("other lengths", seconds.step(plan.more_canvases)),
        ("latency by length", seconds.lengths()),
    ]
    ends = accumulate(each for _, each in times)
    table = [
        [name, f"{each:.0f}", f"{end:.0f}"] for (name, each), end in zip(times, ends, strict=True)
    ]
    print_table(TIMES_HEADER, table)
