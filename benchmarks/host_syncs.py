"""How often each sampler makes the host wait for the device, per step, counted from outside.

Beside it what the record says (`Generation.host_syncs`): the two must agree. The reading of the
finished answer, one wait per batch, is not a part of the loop and not counted.

    python benchmarks/host_syncs.py
    python benchmarks/host_syncs.py --device cuda
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
from _host_reads import host_reads
from _models import Pair, load_pair, prompt_of
from _table import options_parser, print_machine, print_table

from dllm_eval.samplers import SamplerConfig
from dllm_eval.samplers.canvas import Canvas
from dllm_eval.samplers.catalogue import CATALOGUE, compose
from dllm_eval.samplers.loop import denoise

HEADER = ("sampler", "steps", "waits counted", "waits on record", "waits per step")
NEEDED: dict[str, dict[str, Any]] = {
    "adablock": {"delimiter_ids": "20"},
    "position_calibrated": {"token_frequencies": "uniform"},
}
"""What a sampler cannot do without."""


@dataclass(frozen=True, kw_only=True)
class Waits:
    """What was counted for one sampler."""

    sampler: str
    steps: int
    counted: int
    recorded: int

    def cells(self) -> list[str]:
        """One row of the table."""
        per_step = f"{self.counted / self.steps:.2f}"
        return [self.sampler, str(self.steps), str(self.counted), str(self.recorded), per_step]


def measure(pair: Pair, sampler: str, *, canvas: int, prompt: int, steps: int) -> Waits:
    """Denoises a batch of two unequal prompts once, and once more under count."""
    model = pair.diffusion
    settings = {**settings_of(sampler, steps), "gen_length": canvas}
    config = SamplerConfig.from_mapping(settings, model.family)
    prompts = [prompt_of(prompt), prompt_of(max(prompt - 3, 1))]
    canvases = [
        Canvas.build(
            prompts,
            family=model.family,
            vocab_size=model.vocab_size,
            gen_length=canvas,
            device=pair.device,
        )
        for _ in range(2)
    ]
    recorded: list[int] = []

    def run() -> None:
        with torch.no_grad():
            recorded.append(denoise(model, canvases[len(recorded)], config))

    host_reads(run, pair.device)
    counted = host_reads(run, pair.device)
    taken = int(canvases[1].steps_done.max())
    return Waits(sampler=sampler, steps=taken, counted=counted, recorded=recorded[1])


def settings_of(sampler: str, steps: int) -> dict[str, Any]:
    """What a sampler has to be told: its name, what it needs, and steps where it reads them."""
    settings = {"sampler": sampler, **NEEDED.get(sampler, {})}
    return {**settings, "steps": steps} if _reads_steps(sampler) else settings


def _reads_steps(sampler: str) -> bool:
    composition = compose(sampler)
    by_part = all(part.reads_steps for part in composition.parts)
    return by_part and "threshold" not in composition.settings


def main(arguments: Sequence[str] | None = None) -> None:
    """Prints one table row per sampler."""
    parser = options_parser(__doc__, rounds=1)
    parser.add_argument("--prompt", type=int, default=20, help="prompt tokens")
    parser.add_argument("--canvas", type=int, default=32)
    parser.add_argument("--steps", type=int, default=16)
    parser.add_argument("--sampler", nargs="+", default=list(CATALOGUE))
    options = parser.parse_args(arguments)
    torch.set_num_threads(options.threads)
    pair = load_pair(options.shape, options.device)
    print_machine(pair, f"batch 2, prompt {options.prompt}, canvas {options.canvas}")
    shape = {"canvas": options.canvas, "prompt": options.prompt, "steps": options.steps}
    print_table(HEADER, [measure(pair, name, **shape).cells() for name in options.sampler])


if __name__ == "__main__":
    main()
