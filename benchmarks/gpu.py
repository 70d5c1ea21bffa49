"""Everything that is worth measuring on a GPU, in one command, against the aims.

An 8B LLaDA-shaped model in random bf16 weights, and the autoregressive model around the very same
weights; the aims are stated for an NVIDIA H200. Both sides of every ratio run eagerly, but for the
tables that say CUDA graphs, where both sides are. The parts with an aim come first; what the time
budget has no room for is left out, and named at the end. Prints Markdown, writes
`figures/length_llada-8b_cuda`, and ends with each aim, met or not. Needs no network and no lm-eval.

    python benchmarks/gpu.py | tee gpu.md
    python benchmarks/gpu.py --predict                             # what an H200 should show
    python benchmarks/gpu.py --shape tiny --device cpu --quick     # the same path in seconds
"""

import argparse
from collections.abc import Sequence
from pathlib import Path

import _models
import _predicted
import _table
import batch
import break_even
import graphs
import host_syncs
import length
import plain_loop
import step_time
import torch
from _aims import (
    AIMS_HEADER,
    CACHED_AIM_MS,
    MEMORY_AIM_MIB,
    PLAIN_AIM,
    STEP_AIM,
    TIME_AIM_S,
    Aim,
)
from _budget import FULL, QUICK, Budget, Costs, Part, Plan

from dllm_eval.measure.wall import now_s
from dllm_eval.samplers import SamplerConfig

BUDGET_S = 540.0
SAMPLERS = ("low_confidence", "entropy", "threshold", "factor", "klass", "remdm_conf")
PLAIN_BLOCK = 32
PLAIN_HEADER = ("canvas", "steps", "plain step ms", "our step ms", "plain / ours", "tokens equal")


class Run:
    """The tables one after the other, on one pair of models; collects the aims."""

    def __init__(self, pair: _models.Pair, plan: Plan, figures: Path, budget: Budget) -> None:
        self.pair = pair
        self.plan = plan
        self.figures = figures
        self.budget = budget
        self.aims: list[Aim] = []

    def parts(self, shape: _models.Shape) -> list[Part]:
        """The most important first."""
        plan = self.plan
        costs = _predicted.Seconds(plan=plan, costs=Costs(shape=shape))
        parts = [
            (
                "A denoising step over a bare forward pass",
                costs.step(plan.step_canvases),
                self.step,
            ),
            (f"The plain loop over ours, blocks of {PLAIN_BLOCK}", costs.plain(), self.plain),
            ("Host synchronisations", costs.waits(), self.waits),
            ("A step of 32 tokens behind a cache, eager", costs.cached(), self.cached),
        ]
        if self.pair.device.type == "cuda":
            parts += [
                ("The same, and as CUDA graphs", costs.cached_graphs(), self.cached_graphs),
                ("A step over a bare forward pass, as CUDA graphs", costs.graphs(), self.graphs),
            ]
        parts += [
            ("Break-even tokens per forward pass", costs.break_even(), self.break_even),
            ("Batches", costs.batches(), self.batches),
            ("A step at other lengths", costs.step(plan.more_canvases), self.more_steps),
            ("Latency against the length of the answer", costs.lengths(), self.lengths),
        ]
        return [Part(heading=name, predicted_s=each, run=run) for name, each, run in parts]

    def all(self, shape: _models.Shape) -> None:
        """What there is time for."""
        for part in self.parts(shape):
            if not self.budget.has_room_for(part.heading, part.predicted_s):
                continue
            began = now_s()
            _heading(part.heading)
            part.run()
            self.budget.took(part.predicted_s, now_s() - began)

    def step(self) -> None:
        """A step over a bare forward, and memory."""
        costs = self._steps(self.plan.step_canvases)
        for cost in costs:
            says = f"a step at most {STEP_AIM} x bare forward, canvas {cost.canvas}"
            self._aim(says, cost.ratio.text(), cost.ratio.median <= STEP_AIM)
        most, canvas = costs[-1].step_mib, costs[-1].canvas
        says = f"peak memory at most weights + 1.5 GB, canvas {canvas}"
        self._aim(says, f"+ {most * 2**20 / 1e9:.2f} GB", most <= MEMORY_AIM_MIB)

    def more_steps(self) -> None:
        """The same where no aim is."""
        self._steps(self.plan.more_canvases)

    def _steps(self, canvases: Sequence[int]) -> list[step_time.StepCost]:
        plan = self.plan
        found = [
            step_time.measure(
                self.pair,
                canvas=canvas,
                prompt=plan.prompt,
                steps=plan.steps,
                rounds=plan.rounds,
                limit_s=plan.limit_s,
            )
            for canvas in canvases
        ]
        _table.print_table(step_time.HEADER, [cost.cells() for cost in found])
        return found

    def graphs(self) -> None:
        """A step and a bare forward, both as CUDA graphs."""
        plan = self.plan
        compiled = self.pair.diffusion.compiled("reduce-overhead")
        rows = []
        for canvas in plan.graph_canvases:
            cells, ratio = graphs.measure(
                self.pair,
                compiled,
                canvas=canvas,
                prompt=plan.prompt,
                steps=plan.steps,
                rounds=plan.rounds,
                limit_s=plan.limit_s,
            )
            rows.append(cells)
            says = f"a step at most {STEP_AIM} x bare forward, both as graphs, canvas {canvas}"
            self._aim(says, ratio.text(), ratio.median <= STEP_AIM)
        _table.print_table(graphs.HEADER, rows)

    def cached(self) -> None:
        """A step of the last block of a canvas, launched operation by operation."""
        self._cached(graphed=False)

    def cached_graphs(self) -> None:
        """Beside it as graphs, where the cache is exact."""
        self._cached(graphed=True)

    def _cached(self, *, graphed: bool) -> None:
        plan = self.plan
        found = graphs.cached_steps(
            self.pair,
            before=plan.prompt + plan.cached_canvas - graphs.BLOCK,
            rounds=plan.rounds,
            limit_s=plan.limit_s,
            graphed=graphed,
        )
        rows = [[name, str(each.rounds), each.text(2)] for name, each in found.items()]
        _table.print_table(graphs.CACHED_HEADER, rows)
        for name, each in found.items():
            if ("graphs" in name) == graphed:
                says = f"block-cached 32-token step at most {CACHED_AIM_MS} ms, {name}"
                self._aim(says, f"{each.text(2)} ms", each.median <= CACHED_AIM_MS)

    def plain(self) -> None:
        """The published loop, plainly stated, over ours; two steps a block."""
        plan = self.plan
        rows = []
        for canvas in plan.plain_canvases:
            block = min(PLAIN_BLOCK, canvas)
            steps = 2 * (canvas // block)
            turns, equal = plain_loop.measure(
                self.pair.diffusion,
                prompt=plan.prompt,
                batch=1,
                config=SamplerConfig(gen_length=canvas, block_length=block, steps=steps),
                rounds=plan.rounds,
                limit_s=plan.limit_s,
                loops=("plain",),
            )
            ratio, per_step = turns.ratio("plain", "ours"), 1e3 / steps
            plain_ms, our_ms = (turns.middle(name).median * per_step for name in ("plain", "ours"))
            times = [f"{plain_ms:.3f}", f"{our_ms:.3f}", ratio.text(2)]
            rows.append([str(canvas), str(steps), *times, f"{equal['ours']:.3f}"])
            aim = PLAIN_AIM if canvas == plan.plain_canvases[0] else 1.0
            says = f"at least {aim:.0f} x as fast as the plain loop, canvas {canvas}"
            self._aim(says, ratio.text(2), ratio.median >= aim)
        _table.print_table(PLAIN_HEADER, rows)

    def waits(self) -> None:
        """Host synchronisations by sampler."""
        plan = self.plan
        found = [
            host_syncs.measure(
                self.pair, name, canvas=plan.waits_canvas, prompt=plan.prompt, steps=plan.steps
            )
            for name in SAMPLERS
        ]
        _table.print_table(host_syncs.HEADER, [each.cells() for each in found])
        unknown = sum(each.counted - each.recorded for each in found)
        says = "no host synchronisation in the loop beyond counted stop checks"
        self._aim(says, f"{unknown} uncounted", unknown == 0)

    def break_even(self) -> None:
        """Steps over AR tokens."""
        plan = self.plan
        found = [
            break_even.measure(
                self.pair,
                canvas=canvas,
                prompt=plan.prompt,
                steps=plan.steps,
                rounds=plan.rounds,
                limit_s=plan.limit_s,
            )
            for canvas in plan.break_even_canvases
        ]
        _table.print_table(break_even.HEADER, [each.cells() for each in found])

    def batches(self) -> None:
        """Tokens per second by batch size."""
        plan = self.plan
        print(f"Canvas {plan.batch_canvas}, {plan.steps} diffusion steps.\n")
        costs = batch.measure(
            self.pair,
            batches=plan.batches,
            canvas=plan.batch_canvas,
            prompt=plan.prompt,
            steps=plan.steps,
            rounds=plan.rounds,
            limit_s=plan.limit_s,
        )
        _table.print_table(batch.HEADER, [cost.cells() for cost in costs])

    def lengths(self) -> None:
        """Latency against the length of the answer."""
        plan = self.plan
        found = length.measure(
            self.pair,
            lengths=plan.lengths,
            steps=plan.length_steps,
            prompt=plan.prompt,
            rounds=plan.length_rounds,
            limit_s=plan.limit_s,
        )
        length.report(self.pair, found, prompt=plan.prompt, figures=self.figures)

    def _aim(self, says: str, measured: str, met: bool) -> None:
        self.aims.append(Aim(says=says, measured=measured, met=met))


def _heading(text: str) -> None:
    print(f"## {text}\n")


def main(arguments: Sequence[str] | None = None) -> None:
    """Prints every table there is time for, then the aims."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--shape", choices=tuple(_models.SHAPES), default="llada-8b")
    parser.add_argument("--device", default="cuda")
    parser.add_argument("--quick", action="store_true", help="short canvases, to see that it runs")
    parser.add_argument("--budget", type=float, default=BUDGET_S, help="seconds, about")
    parser.add_argument("--predict", action="store_true", help="run nothing; say what to expect")
    parser.add_argument("--figures", type=Path, default=length.FIGURES, help="folder of the figure")
    options = parser.parse_args(arguments)
    plan, shape = QUICK if options.quick else FULL, _models.SHAPES[options.shape]
    if options.predict:
        _predicted.report(plan, shape)
        return
    budget = Budget(seconds=options.budget)
    pair = _models.load_pair(options.shape, options.device)
    run = Run(pair, plan, options.figures, budget)
    _table.print_machine(pair, f"batch 1, prompt {plan.prompt}, eager where nothing else is said")
    run.all(shape)
    spent = budget.spent_s
    run.aims.append(
        Aim(says="all of it in ten minutes", measured=f"{spent:.0f} s", met=spent <= TIME_AIM_S)
    )
    _heading(f"Aims, stated for an H200; measured on {_device_name(pair.device)}")
    _table.print_table(AIMS_HEADER, [aim.cells() for aim in run.aims])
    if budget.left_out:
        print(f"Left out for want of time (--budget {options.budget:.0f}): ", end="")
        print("; ".join(budget.left_out) + ".")


def _device_name(device: torch.device) -> str:
    return torch.cuda.get_device_name(device) if device.type == "cuda" else "a CPU"


if __name__ == "__main__":
    main()
