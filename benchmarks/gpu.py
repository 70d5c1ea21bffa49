"""Everything that is worth measuring on a GPU, in one command, against the aims.

An 8B LLaDA-shaped model in random bf16 weights, and the autoregressive model around the very same
weights; the aims are stated for an NVIDIA H200. Both sides of every ratio run eagerly, but for one
table, where both are CUDA graphs. Prints Markdown, writes `figures/length_llada-8b_cuda`, and ends
with each aim, met or not.

    python benchmarks/gpu.py | tee gpu.md
    python benchmarks/gpu.py --shape tiny --device cpu --quick     # the same path in seconds
"""

import argparse
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import _models
import _table
import batch
import break_even
import graphs
import host_syncs
import length
import plain_loop
import step_time
import torch

from dllm_eval.measure.wall import now_s
from dllm_eval.samplers import SamplerConfig

STEP_AIM = 0.98
PLAIN_AIM = 2.0
CACHED_AIM_MS = 4.8
MEMORY_AIM_MIB = 1.5e9 / 2**20
TIME_AIM_S = 600.0
SAMPLERS = ("low_confidence", "entropy", "threshold", "factor", "klass", "remdm_conf")
PLAIN_BLOCK = 32
PLAIN_HEADER = ("canvas", "steps", "plain step ms", "our step ms", "plain / ours", "tokens equal")
AIMS_HEADER = ("aim", "measured", "")


@dataclass(frozen=True, kw_only=True)
class Plan:
    """Lengths and repetitions."""

    prompt: int = 32
    steps: int = 8
    rounds: int = 20
    limit_s: float = 10.0
    """Of a row of a table, warm-up apart."""
    canvases: tuple[int, ...] = (128, 256, 512, 1024, 2048, 4096)
    step_canvases: tuple[int, ...] = (512, 1024)
    plain_canvases: tuple[int, ...] = (256, 512, 1024)
    """The first is the one with an aim of its own; at the others ours may not be slower."""
    cached_canvas: int = 1024
    memory_canvas: int = 1024
    break_even_canvases: tuple[int, ...] = (256, 512, 1024, 2048)
    batches: tuple[int, ...] = (1, 4, 16, 64)
    batch_canvas: int = 128
    lengths: tuple[int, ...] = (32, 64, 128, 256, 512, 1024)
    length_steps: tuple[int, ...] = (16, 64)
    length_rounds: int = 3
    waits_canvas: int = 16


FULL = Plan()
QUICK = Plan(
    steps=2,
    rounds=2,
    canvases=(16, 32),
    step_canvases=(16, 32),
    plain_canvases=(16, 32),
    cached_canvas=32,
    memory_canvas=32,
    break_even_canvases=(32,),
    batches=(1, 2),
    batch_canvas=8,
    lengths=(8, 16),
    length_steps=(4, 8),
)


@dataclass(frozen=True, kw_only=True)
class Aim:
    """One line of the last table."""

    says: str
    measured: str
    met: bool

    def cells(self) -> list[str]:
        """One row of the table."""
        return [self.says, self.measured, "met" if self.met else "**not met**"]


class Run:
    """The benchmarks one after the other, on one pair of models; collects the aims."""

    def __init__(self, pair: _models.Pair, plan: Plan, figures: Path) -> None:
        self.pair = pair
        self.plan = plan
        self.figures = figures
        self.aims: list[Aim] = []

    def step(self) -> None:
        """A step over a bare forward, and memory."""
        plan = self.plan
        _heading("A denoising step over a bare forward pass")
        costs = {
            canvas: step_time.measure(
                self.pair,
                canvas=canvas,
                prompt=plan.prompt,
                steps=plan.steps,
                rounds=plan.rounds,
                limit_s=plan.limit_s,
            )
            for canvas in plan.canvases
        }
        _table.print_table(step_time.HEADER, [cost.cells() for cost in costs.values()])
        for canvas in plan.step_canvases:
            ratio = costs[canvas].ratio
            says = f"a step at most {STEP_AIM} x bare forward, canvas {canvas}"
            self._aim(says, ratio.text(), ratio.median <= STEP_AIM)
        most = costs[plan.memory_canvas].step_mib
        says = f"peak memory at most weights + 1.5 GB, canvas {plan.memory_canvas}"
        self._aim(says, f"+ {most * 2**20 / 1e9:.2f} GB", most <= MEMORY_AIM_MIB)

    def graphs(self) -> None:
        """The same with both sides as CUDA graphs."""
        plan = self.plan
        _heading("As CUDA graphs (compile=reduce-overhead)")
        if self.pair.device.type != "cuda":
            print("Not run: CUDA graphs need a CUDA device.\n")
            return
        compiled = self.pair.diffusion.compiled("reduce-overhead")
        rows = []
        for canvas in plan.step_canvases:
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

    def plain(self) -> None:
        """The published loop, plainly stated, over ours; two steps a block."""
        plan = self.plan
        _heading(f"The plain loop over ours, blocks of {PLAIN_BLOCK}")
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
        _heading("Host synchronisations")
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
        """Steps over AR tokens, and the cached step."""
        plan = self.plan
        _heading("Break-even tokens per forward pass")
        found = {
            canvas: break_even.measure(
                self.pair,
                canvas=canvas,
                prompt=plan.prompt,
                steps=plan.steps,
                rounds=plan.rounds,
                limit_s=plan.limit_s,
            )
            for canvas in plan.break_even_canvases
        }
        _table.print_table(break_even.HEADER, [each.cells() for each in found.values()])
        cached = found[plan.cached_canvas].cached_step_ms
        says = f"block-cached 32-token step at most {CACHED_AIM_MS} ms, canvas {plan.cached_canvas}"
        self._aim(says, f"{cached.text(2)} ms", cached.median <= CACHED_AIM_MS)

    def batches(self) -> None:
        """Tokens per second by batch size."""
        plan = self.plan
        _heading(f"Batches, canvas {plan.batch_canvas}, {plan.steps} diffusion steps")
        costs = batch.measure(
            self.pair,
            batches=plan.batches,
            canvas=plan.batch_canvas,
            prompt=plan.prompt,
            steps=plan.steps,
            rounds=plan.rounds,
            limit_s=plan.limit_s * len(plan.batches),
        )
        _table.print_table(batch.HEADER, [cost.cells() for cost in costs])

    def lengths(self) -> None:
        """Latency against the length of the answer."""
        plan = self.plan
        _heading("Latency against the length of the answer")
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
    """Prints every table, then the aims."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--shape", choices=_models.NAMES, default="llada-8b")
    parser.add_argument("--device", default="cuda")
    parser.add_argument("--quick", action="store_true", help="short canvases, to see that it runs")
    parser.add_argument("--figures", type=Path, default=length.FIGURES, help="folder of the figure")
    options = parser.parse_args(arguments)
    began = now_s()
    pair = _models.load_pair(options.shape, options.device)
    run = Run(pair, QUICK if options.quick else FULL, options.figures)
    _table.print_machine(pair, f"batch 1, prompt {run.plan.prompt}, eager")
    parts = (run.step, run.graphs, run.plain, run.waits, run.break_even, run.batches, run.lengths)
    for part in parts:
        part()
    spent = now_s() - began
    run.aims.append(
        Aim(says="all of it in ten minutes", measured=f"{spent:.0f} s", met=spent <= TIME_AIM_S)
    )
    _heading(f"Aims, stated for an H200; measured on {_device_name(pair.device)}")
    _table.print_table(AIMS_HEADER, [aim.cells() for aim in run.aims])


def _device_name(device: torch.device) -> str:
    return torch.cuda.get_device_name(device) if device.type == "cuda" else "a CPU"


if __name__ == "__main__":
    main()
