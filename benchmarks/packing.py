"""What a batch of unequal lengths costs without its padding, against the same batch padded.

Both decode the same prompts with the same sampler; one has its batches packed, each request's
positions in one row where attention stays within each, as soon as anything is padded, the other
never. "padding" is the share of the padded batch that is none of anybody's, "ours" what dllm_eval
does with such a batch: packed from `packed.LEAST_PADDING` on. Prompts are as long as `--prompts`
says, drawn evenly; "near" ones are at most that share of the longest shorter. Under random weights
some tokens differ: masked positions look much alike there, and rounding decides.

    python benchmarks/packing.py                                          # the reference model, CPU
    python benchmarks/packing.py --shape small --prompts 50 600 --canvas 64 --batch 4 16 --steps 2
    python benchmarks/packing.py --shape medium --prompts 50 600 --canvas 128 --batch 4 --steps 2
    python benchmarks/packing.py --shape llada-8b --device cuda --prompts 50 600 --canvas 256
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from _models import Pair, load_pair, prompt_of
from _table import options_parser, print_machine, print_table
from _turns import Middle, in_turns

from dllm_eval.api import Generation, Prompt
from dllm_eval.denoiser import ModelDenoiser
from dllm_eval.samplers import SamplerConfig, generate_batch, packed

HEADER = (
    "batch",
    "prompts",
    "lengths",
    "padding",
    "rounds",
    "padded step ms",
    "packed step ms",
    "packed / padded",
    "ours",
    "tokens equal",
)


class Padded(ModelDenoiser):
    """The same model, whose batches keep their padding."""

    packs = False


@dataclass(frozen=True, kw_only=True)
class PackingCost:
    """What was measured of one batch."""

    batch: int
    shortest: int
    longest: int
    lengths: int
    """How many different ones."""
    padding: float
    padded_ms: Middle
    packed_ms: Middle
    ratio: Middle
    equal: float
    """Share of tokens that are the same both ways."""

    def cells(self) -> list[str]:
        """One row of the table."""
        return [
            str(self.batch),
            f"{self.shortest} of {self.longest}",
            str(self.lengths),
            f"{self.padding:.3f}",
            str(self.ratio.rounds),
            f"{self.padded_ms.median:.2f}",
            f"{self.packed_ms.median:.2f}",
            self.ratio.text(),
            "packed" if self.padding >= packed.LEAST_PADDING else "padded",
            f"{self.equal:.3f}",
        ]


def measure(
    pair: Pair, *, lengths: Sequence[int], canvas: int, steps: int, rounds: int, limit_s: float
) -> PackingCost:
    """Times one batch both ways, in turns."""
    model, config = pair.diffusion, SamplerConfig(gen_length=canvas, steps=steps)
    twin = Padded(body=model.body, head=model.head, family=model.family)
    prompts = [prompt_of(length) for length in lengths]
    spans = [(max(lengths) - length, max(lengths) + canvas) for length in lengths]

    def padded() -> list[Generation]:
        return generate_batch(twin, prompts, config)

    def without() -> list[Generation]:
        return _always(model, prompts, config)

    works = {"padded": padded, "packed": without}
    found = in_turns(works, device=pair.device, rounds=rounds, limit_s=limit_s, warm_up=1)
    return PackingCost(
        batch=len(lengths),
        shortest=min(lengths),
        longest=max(lengths),
        lengths=len(set(lengths)),
        padding=packed.padding_of(spans, max(lengths) + canvas),
        padded_ms=found.middle("padded").times(1e3 / steps),
        packed_ms=found.middle("packed").times(1e3 / steps),
        ratio=found.ratio("packed", "padded"),
        equal=_equal(padded(), without()),
    )


def _always(
    model: ModelDenoiser, prompts: Sequence[Prompt], config: SamplerConfig
) -> list[Generation]:
    """Packed as soon as one position is padding."""
    least, packed.LEAST_PADDING = packed.LEAST_PADDING, 1e-9
    try:
        return generate_batch(model, prompts, config)
    finally:
        packed.LEAST_PADDING = least


def _equal(some: Sequence[Generation], others: Sequence[Generation]) -> float:
    pairs = [
        one == other
        for left, right in zip(some, others, strict=True)
        for one, other in zip(left.tokens, right.tokens, strict=True)
    ]
    return sum(pairs) / len(pairs)


def drawn(batch: int, shortest: int, longest: int) -> list[int]:
    """As many lengths of that range, the longest among them; the same ones each time."""
    generator = np.random.default_rng(batch)
    return [longest, *generator.integers(shortest, longest, batch - 1, endpoint=True).tolist()]


def main(arguments: Sequence[str] | None = None) -> None:
    """Prints one table row per batch size and range of lengths."""
    parser = options_parser(__doc__, rounds=10)
    parser.add_argument(
        "--prompts", type=int, nargs=2, default=[5, 100], help="tokens, from and to"
    )
    parser.add_argument("--near", type=float, nargs="*", default=[0.0, 0.03, 0.1, 0.3])
    parser.add_argument("--canvas", type=int, default=32)
    parser.add_argument("--steps", type=int, default=4)
    parser.add_argument("--batch", type=int, nargs="+", default=[4, 16, 64])
    options = parser.parse_args(arguments)
    torch.set_num_threads(options.threads)
    pair = load_pair(options.shape, options.device)
    print_machine(pair, f"canvas {options.canvas}, {options.steps} steps")
    shortest, longest = options.prompts
    froms = [*(longest - int(share * longest) for share in options.near), shortest]
    costs = [
        measure(
            pair,
            lengths=drawn(batch, start, longest),
            canvas=options.canvas,
            steps=options.steps,
            rounds=options.rounds,
            limit_s=options.limit,
        )
        for batch in options.batch
        for start in froms
    ]
    print_table(HEADER, [cost.cells() for cost in costs])


if __name__ == "__main__":
    main()
