"""How much a denoising step costs over a bare forward pass of the same model, side by side.

A bare forward computes logits at every position of the same canvas; a step is one turn of the
sampler loop (logits at the block's rows, proposal, selection, reveal), its share of building and
reading the canvas included. Both run eagerly. Memory is the most that either holds beyond weights.

    python benchmarks/step_time.py                                    # the reference model, CPU
    python benchmarks/step_time.py --shape small --steps 4 --canvas 128 256 512 1024 2048 4096
    python benchmarks/step_time.py --shape llada-8b --device cuda     # random 8B weights, bf16
    python benchmarks/step_time.py --sampler margin klass prophet     # a table by sampler
    python benchmarks/step_time.py --sampler all

By sampler a step is one forward pass's share of a generation; a sampler whose steps the tokens
decide takes as many as it takes, and the bare forwards beside it are as many.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from _memory import peak_mib
from _models import Pair, load_pair, prompt_of
from _table import options_parser, print_machine, print_table
from _turns import Middle, in_turns
from host_syncs import settings_of

from dllm_eval.samplers import SamplerConfig, generate_batch
from dllm_eval.samplers.catalogue import CATALOGUE

HEADER = (
    "canvas",
    "steps",
    "rounds",
    "bare forward ms",
    "step ms",
    "step / bare forward",
    "bare forward MiB",
    "step MiB",
)
BY_SAMPLER = ("sampler", *HEADER[:-2])
ALL = "all"


@dataclass(frozen=True, kw_only=True)
class StepCost:
    """What was measured at one canvas length, with one sampler."""

    canvas: int
    steps: int
    bare_ms: Middle
    step_ms: Middle
    ratio: Middle
    bare_mib: float
    step_mib: float

    def cells(self) -> list[str]:
        """One row of the table."""
        return [*self.times(), f"{self.bare_mib:.1f}", f"{self.step_mib:.1f}"]

    def times(self) -> list[str]:
        """The same without the memory."""
        return [
            str(self.canvas),
            str(self.steps),
            str(self.ratio.rounds),
            f"{self.bare_ms.median:.3f}",
            f"{self.step_ms.median:.3f}",
            self.ratio.text(),
        ]


def measure(
    pair: Pair,
    *,
    canvas: int,
    prompt: int,
    steps: int,
    rounds: int,
    limit_s: float,
    sampler: str = "low_confidence",
) -> StepCost:
    """Times a generation and as many bare forwards as it takes in turns, at batch 1."""
    model, device = pair.diffusion, pair.device
    config = config_of(pair, sampler, canvas, steps)
    given = prompt_of(prompt)
    steps = generate_batch(model, [given], config)[0].nfe
    tokens = torch.full((1, prompt + canvas), model.family.mask_id, device=device)
    tokens[0, :prompt] = torch.tensor(given.prefix)

    def step() -> None:
        generate_batch(model, [given], config)

    def bare() -> None:
        for _ in range(steps):
            model.logits(tokens)

    found = in_turns({"bare": bare, "step": step}, device=device, rounds=rounds, limit_s=limit_s)
    return StepCost(
        canvas=canvas,
        steps=steps,
        bare_ms=found.middle("bare").times(1e3 / steps),
        step_ms=found.middle("step").times(1e3 / steps),
        ratio=found.ratio("step", "bare"),
        bare_mib=peak_mib(bare, device),
        step_mib=peak_mib(step, device),
    )


def config_of(pair: Pair, sampler: str, canvas: int, steps: int) -> SamplerConfig:
    """The sampler with its default settings, in `steps` steps where it reads their number."""
    settings = {**settings_of(sampler, min(steps, canvas)), "gen_length": canvas}
    return SamplerConfig.from_mapping(settings, pair.diffusion.family)


def main(arguments: Sequence[str] | None = None) -> None:
    """Prints one table row per canvas length, or per sampler and canvas length.

    Raises:
        UsageError: A sampler is not known.
    """
    parser = options_parser(__doc__, rounds=30)
    parser.add_argument("--prompt", type=int, default=32, help="prompt tokens")
    parser.add_argument("--canvas", type=int, nargs="+", default=[8, 32])
    parser.add_argument("--steps", type=int, default=32, help="steps of each timed generation")
    parser.add_argument("--sampler", nargs="+", metavar="NAME", help=f"names, or {ALL}")
    options = parser.parse_args(arguments)
    torch.set_num_threads(options.threads)
    pair = load_pair(options.shape, options.device)
    print_machine(pair, f"batch 1, prompt {options.prompt}")
    names = list(CATALOGUE) if options.sampler == [ALL] else options.sampler
    costs = {
        (name, canvas): measure(
            pair,
            canvas=canvas,
            prompt=options.prompt,
            steps=options.steps,
            rounds=options.rounds,
            limit_s=options.limit,
            sampler=name,
        )
        for name in names or ["low_confidence"]
        for canvas in options.canvas
    }
    if names is None:
        print_table(HEADER, [cost.cells() for cost in costs.values()])
    else:
        print_table(BY_SAMPLER, [[name, *cost.times()] for (name, _), cost in costs.items()])


if __name__ == "__main__":
    main()
