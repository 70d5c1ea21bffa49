"""Our loop against a plain statement of LLaDA's published one, and what each optimisation is worth.

The plain loop, in our own words, does what `generate.py` of ML-GSAI/LLaDA (commit b7e6c356) does at
temperature 0: logits of the whole sequence in every step, softmax over the vocabulary at every
position, the best token's share gathered, and per request the surest positions of the block. The
rows between leave out more and more of it, each with the ones above:

    block rows      logits and softmax at the block's positions only
    masked rows     at those of them that are still masked
    chunked head    and no more than a few megabytes of logits at once
    one pass        best token and its probability from one pass over them, no softmax
    ours            dllm_eval's loop, which counts, records and checks besides

In float32 all of them have to give the same tokens, or the script fails. In bfloat16 the published
softmax rounds to 8 bits and ties decide, so the share of equal tokens is printed.

    python benchmarks/plain_loop.py                                   # the reference model, CPU
    python benchmarks/plain_loop.py --shape small-126k --canvas 256 --block 256 32 --steps 64
    python benchmarks/plain_loop.py --shape llada-8b --device cuda --canvas 256 512 1024 --block 32
"""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from _models import load_pair, prompt_of
from _table import options_parser, print_machine, print_table
from _turns import Turns, in_turns
from torch import Tensor

from dllm_eval.denoiser import ModelDenoiser
from dllm_eval.samplers import SamplerConfig, generate_batch
from dllm_eval.samplers.row_statistics import row_statistics

CHUNK_ELEMENTS = 2**24


@dataclass(frozen=True, kw_only=True)
class Saving:
    """Which work the loop leaves out."""

    block_rows: bool = False
    masked_rows: bool = False
    chunked: bool = False
    one_pass: bool = False


SAVINGS = {
    "plain": Saving(),
    "block rows": Saving(block_rows=True),
    "masked rows": Saving(block_rows=True, masked_rows=True),
    "chunked head": Saving(block_rows=True, masked_rows=True, chunked=True),
    "one pass": Saving(block_rows=True, masked_rows=True, chunked=True, one_pass=True),
}
HEADER = ("canvas", "block", "steps", "loop", "ms per step", "plain / this", "tokens equal")


@torch.inference_mode()
def denoise(
    model: ModelDenoiser, prompt: Tensor, *, length: int, block_length: int, steps: int, by: Saving
) -> Tensor:
    """The canvas after decoding, (batch, length) int64.

    Args:
        model: Full attention, no logit shift.
        prompt: (batch, prompt) int64.
        length: Of the canvas.
        block_length: Blocks are finished left to right.
        steps: Over all blocks.
        by: What is left out.
    """
    batch, start = prompt.shape
    mask_id = model.family.mask_id
    tokens = torch.cat([prompt, prompt.new_full((batch, length), mask_id)], dim=1)
    steps //= length // block_length
    for begin in range(start, start + length, block_length):
        end = begin + block_length
        for step in range(steps):
            count = block_length // steps + (step < block_length % steps)
            columns = slice(begin, end) if by.block_rows else slice(0, start + length)
            left = block_length - step * (block_length // steps) - min(step, block_length % steps)
            best, sure = _best(model, tokens, columns, left, by)
            masked = tokens[:, columns] == mask_id
            sure = torch.where(masked, sure, -torch.inf)
            sure[:, end - columns.start :] = -torch.inf
            for row in range(batch):
                chosen = sure[row].topk(count).indices
                tokens[row, columns.start + chosen] = best[row, chosen]
    return tokens[:, start:]


def _best(
    model: ModelDenoiser, tokens: Tensor, columns: slice, left: int, by: Saving
) -> tuple[Tensor, Tensor]:
    """The best token and its probability at the columns, (batch, columns) each."""
    states = model.states(tokens, rows=columns)
    batch, num, width = states.shape
    flat = states.reshape(-1, width)
    places = torch.arange(batch * num, device=tokens.device)
    if by.masked_rows:
        masked = (tokens[:, columns] == model.family.mask_id).byte()
        order = masked.argsort(dim=1, descending=True, stable=True)[:, :left]
        places = (order + num * torch.arange(batch, device=tokens.device)[:, None]).flatten()
        flat = flat[places]
    size = max(1, CHUNK_ELEMENTS // model.vocab_size) if by.chunked else len(flat)
    parts = [_best_of(model, flat[at : at + size], by) for at in range(0, len(flat), size)]
    best, sure = (torch.cat(column) for column in zip(*parts, strict=True))
    whole = torch.zeros(batch * num, dtype=torch.int64, device=tokens.device)
    shares = torch.zeros(batch * num, dtype=sure.dtype, device=tokens.device)
    return whole.index_copy(0, places, best).view(batch, num), (
        shares.index_copy(0, places, sure).view(batch, num)
    )


def _best_of(model: ModelDenoiser, states: Tensor, by: Saving) -> tuple[Tensor, Tensor]:
    logits = model.head(states)
    if by.one_pass:
        row = row_statistics(logits)
        return row.token, (row.best - row.normaliser).exp()
    best = logits.argmax(dim=-1)
    return best, logits.softmax(dim=-1).gather(-1, best[:, None])[:, 0]


def measure(
    model: ModelDenoiser,
    *,
    prompt: int,
    batch: int,
    config: SamplerConfig,
    rounds: int,
    limit_s: float,
    loops: Sequence[str] = tuple(SAVINGS),
) -> tuple[Turns, dict[str, float]]:
    """Times every loop in turns; says which share of tokens each has in common with the plain one.

    Args:
        model: Full attention, no logit shift.
        prompt: Tokens.
        batch: Requests.
        config: Of our loop; the others follow its length, block and steps.
        rounds: Of turns.
        limit_s: Begins no further round after this long, but runs at least three.
        loops: Of `SAVINGS`, which of them; "plain" is always one.

    Raises:
        SystemExit: They differ in float32.
    """
    given = [prompt_of(prompt)] * batch
    ids = torch.tensor([one.prefix for one in given], device=model.device)
    answers: dict[str, Tensor] = {}

    def ours() -> None:
        found = generate_batch(model, given, config)
        answers["ours"] = torch.tensor([one.tokens for one in found])

    def stated(name: str) -> None:
        answers[name] = denoise(
            model,
            ids,
            length=config.gen_length,
            block_length=config.block,
            steps=config.steps,
            by=SAVINGS[name],
        )

    works = {name: (lambda name=name: stated(name)) for name in loops}
    turns = in_turns(
        {**works, "ours": ours}, device=model.device, rounds=rounds, limit_s=limit_s, warm_up=1
    )
    plain = answers["plain"].cpu()
    equal = {name: float((found.cpu() == plain).double().mean()) for name, found in answers.items()}
    if model.dtype == torch.float32 and min(equal.values()) < 1:
        raise SystemExit(f"the loops give different tokens; share of equal ones: {equal}")
    return turns, equal


def main(arguments: Sequence[str] | None = None) -> None:
    """Prints one table row per canvas, block length and loop."""
    parser = options_parser(__doc__, rounds=15)
    parser.add_argument("--prompt", type=int, default=32, help="prompt tokens")
    parser.add_argument("--canvas", type=int, nargs="+", default=[32])
    parser.add_argument("--block", type=int, nargs="+", default=[32, 8], help="block lengths")
    parser.add_argument("--steps", type=int, default=32, help="steps over the whole canvas")
    parser.add_argument("--batch", type=int, default=1)
    options = parser.parse_args(arguments)
    torch.set_num_threads(options.threads)
    pair = load_pair(options.shape, options.device)
    print_machine(pair, f"batch {options.batch}, prompt {options.prompt}")
    rows = []
    for canvas in options.canvas:
        for block in (length for length in options.block if length <= canvas):
            config = SamplerConfig(gen_length=canvas, block_length=block, steps=options.steps)
            turns, equal = measure(
                pair.diffusion,
                prompt=options.prompt,
                batch=options.batch,
                config=config,
                rounds=options.rounds,
                limit_s=options.limit,
            )
            for name, share in equal.items():
                rows.append(
                    [
                        str(canvas),
                        str(block),
                        str(options.steps),
                        name,
                        f"{turns.middle(name).times(1e3 / options.steps).median:.3f}",
                        turns.ratio("plain", name).text(2),
                        f"{share:.3f}",
                    ]
                )
    print_table(HEADER, rows)


if __name__ == "__main__":
    main()
