"""What compiling the network's body is worth, and what a step costs then over a bare forward pass.

Eager and compiled, a bare forward pass over the canvas and a step of the sampler loop, all four in
turns: graph against graph and eager against eager. Only the body is compiled, in both; the output
head runs as it is. Compiling itself is done before the clock starts, and its seconds are printed.
Compiled arithmetic rounds otherwise, and random weights give near ties: "tokens equal" says how
many tokens of the two answers agree.

    python benchmarks/graphs.py                                       # the reference model, CPU
    python benchmarks/graphs.py --shape small --canvas 128 256 --steps 8
    python benchmarks/graphs.py --shape llada-8b --device cuda --mode reduce-overhead
    python benchmarks/graphs.py --backend eager                       # what padding alone costs
"""

from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import get_args

import torch
from _models import Pair, load_pair, prompt_of
from _table import options_parser, print_machine, print_table
from _turns import Middle, in_turns, middle

from dllm_eval.compiled import CompileMode
from dllm_eval.denoiser import ModelDenoiser
from dllm_eval.measure.clock import Timer
from dllm_eval.samplers import SamplerConfig, generate_batch

HEADER = (
    "canvas",
    "steps",
    "rounds",
    "bare forward ms",
    "compiled bare ms",
    "step ms",
    "compiled step ms",
    "step / bare",
    "compiled step / compiled bare",
    "step / compiled step",
    "tokens equal",
    "compiling s",
)
CACHED_HEADER = ("a block of 32 behind its cache", "rounds", "step ms")
BLOCK = 32
FEW = 2
"""Steps of a block; those of a longer run less these leave out its first pass, which reads all."""


def measure(
    pair: Pair,
    compiled: ModelDenoiser,
    *,
    canvas: int,
    prompt: int,
    steps: int,
    rounds: int,
    limit_s: float,
) -> tuple[list[str], Middle]:
    """One row of the table at batch 1, and the compiled step over the compiled bare forward."""
    steps = min(steps, canvas)
    config = SamplerConfig(gen_length=canvas, steps=steps)
    given = prompt_of(prompt)
    tokens = torch.full((1, prompt + canvas), compiled.family.mask_id, device=pair.device)
    tokens[0, :prompt] = torch.tensor(given.prefix)

    def step(model: ModelDenoiser) -> tuple[int, ...]:
        return generate_batch(model, [given], config)[0].tokens

    def bare(model: ModelDenoiser) -> None:
        for _ in range(steps):
            model.logits(tokens)

    with Timer(pair.device) as compiling:
        answer = step(compiled)
        bare(compiled)
    pairs = zip(answer, step(pair.diffusion), strict=True)
    equal = sum(one == other for one, other in pairs) / canvas
    found = in_turns(
        {
            "bare": lambda: bare(pair.diffusion),
            "compiled bare": lambda: bare(compiled),
            "step": lambda: step(pair.diffusion),
            "compiled step": lambda: step(compiled),
        },
        device=pair.device,
        rounds=rounds,
        limit_s=limit_s,
    )
    names = ("bare", "compiled bare", "step", "compiled step")
    ratio = found.ratio("compiled step", "compiled bare")
    cells = [
        str(canvas),
        str(steps),
        str(ratio.rounds),
        *[f"{found.middle(name).times(1e3 / steps).median:.3f}" for name in names],
        found.ratio("step", "bare").text(),
        ratio.text(),
        found.ratio("step", "compiled step").text(),
        f"{equal:.3f}",
        f"{compiling.seconds:.0f}",
    ]
    return cells, ratio


def cached_steps(
    pair: Pair,
    *,
    before: int,
    rounds: int,
    limit_s: float,
    graphed: bool,
    backend: str = "inductor",
) -> dict[str, Middle]:
    """Milliseconds of a step of one block behind so many finished tokens, by the way it is run.

    LLaDA's own attention sees everything, so that its cache is an approximation, whose passes are
    never compiled. The same weights under attention by blocks have an exact cache, and run both
    ways. A long run less a short one leaves out the block's first pass.

    Args:
        pair: The diffusion model of it is run.
        before: Tokens before the block.
        rounds: Of turns.
        limit_s: As in `in_turns`.
        graphed: Whether CUDA graphs are run, too.
        backend: What they go through.
    """
    own = pair.diffusion
    facts = replace(own.family, attention="block_causal", block_length=BLOCK)
    by_blocks = ModelDenoiser(body=own.body, head=own.head, family=facts)
    ways = {
        "dual cache, eager": (own, "dual"),
        "exact cache, eager": (by_blocks, "auto"),
    }
    if graphed:
        mode: CompileMode = "reduce-overhead" if pair.device.type == "cuda" else "default"
        ways["exact cache, CUDA graphs"] = (by_blocks.compiled(mode, backend=backend), "auto")
    works: dict[str, Callable[[], object]] = {}
    for name, (model, cache) in ways.items():
        for steps in (FEW, BLOCK):
            works[f"{name} {steps}"] = _block(model, before, steps, cache)
    found = in_turns(works, device=pair.device, rounds=rounds, limit_s=limit_s)
    return {
        name: middle(found.differences(f"{name} {BLOCK}", f"{name} {FEW}", per=BLOCK - FEW)).times(
            1e3
        )
        for name in ways
    }


def _block(model: ModelDenoiser, before: int, steps: int, cache: str) -> Callable[[], object]:
    config = SamplerConfig.from_mapping({"gen_length": BLOCK, "steps": steps, "cache": cache})
    given = [prompt_of(before)]
    return lambda: generate_batch(model, given, config)


def main(arguments: Sequence[str] | None = None) -> None:
    """Prints one table row per canvas length."""
    parser = options_parser(__doc__, rounds=20)
    parser.add_argument("--prompt", type=int, default=32, help="prompt tokens")
    parser.add_argument("--canvas", type=int, nargs="+", default=[32])
    parser.add_argument("--steps", type=int, default=32, help="steps of each timed generation")
    parser.add_argument("--mode", choices=get_args(CompileMode), default="default")
    parser.add_argument("--backend", default="inductor", help="what torch.compile goes through")
    options = parser.parse_args(arguments)
    torch.set_num_threads(options.threads)
    pair = load_pair(options.shape, options.device)
    print_machine(pair, f"batch 1, prompt {options.prompt}, compile={options.mode}")
    compiled = pair.diffusion.compiled(options.mode, backend=options.backend)
    rows = [
        measure(
            pair,
            compiled,
            canvas=canvas,
            prompt=options.prompt,
            steps=options.steps,
            rounds=options.rounds,
            limit_s=options.limit,
        )[0]
        for canvas in options.canvas
    ]
    print_table(HEADER, rows)


if __name__ == "__main__":
    main()
