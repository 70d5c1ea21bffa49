"""What a large vocabulary costs: one pass over logits, and the head at masked rows alone.

First table: argmax, its probability and the entropy of rows of logits, by plain torch (argmax,
logsumexp, the sum of p log p) and by `row_statistics`. Second table: a step of the same decoding
with logits at all of the block's rows, and with the head run late, at masked rows (on a CPU in
tiles of the vocabulary, else in chunks of rows); the most memory that either holds beyond the
weights; `late_head.LARGE_VOCABULARY` is read off from it.

    python benchmarks/vocabulary.py
    python benchmarks/vocabulary.py --device cuda --rows 32 256 1024
"""

from collections.abc import Sequence
from dataclasses import replace
from functools import partial
from unittest.mock import patch

import torch
from _memory import peak_mib
from _models import SHAPES, prompt_of, random_diffusion
from _table import options_parser, print_table
from _turns import in_turns
from torch import Tensor

from dllm_eval.samplers import SamplerConfig, generate_batch, late_head
from dllm_eval.samplers.row_statistics import row_statistics

PASS_HEADER = ("vocabulary", "rows", "asked", "plain ms", "one pass ms", "plain / one pass")
STEP_HEADER = (
    "vocabulary",
    "canvas",
    "all rows ms",
    "late head ms",
    "all rows / late head",
    "all rows MiB",
    "late head MiB",
)
NEVER = 10**9


def plain(logits: Tensor, *, entropy: bool) -> tuple[Tensor, ...]:
    """Best token, its probability, and the entropy where asked for, from whole tensors."""
    token = logits.argmax(dim=-1)
    normaliser = logits.logsumexp(dim=-1)
    sure = (logits.gather(-1, token[:, None])[:, 0] - normaliser).exp()
    if not entropy:
        return token, sure
    log_p = logits - normaliser[:, None]
    return token, sure, -(log_p.exp() * log_p).sum(dim=-1)


def _plain_as_float(logits: Tensor, entropy: bool) -> tuple[Tensor, ...]:
    return plain(logits.float(), entropy=entropy)


def passes(
    vocab: int, rows: int, device: torch.device, rounds: int, limit_s: float
) -> list[list[str]]:
    """Two rows of the first table: without and with the entropy."""
    generator = torch.Generator(device).manual_seed(0)
    dtype = torch.bfloat16 if device.type == "cuda" else torch.float32
    logits = torch.randn(rows, vocab, device=device, generator=generator).mul_(3).to(dtype)
    cells = []
    for entropy in (False, True):
        with torch.inference_mode():
            turns = in_turns(
                {
                    "plain": partial(_plain_as_float, logits, entropy),
                    "one pass": partial(row_statistics, logits, entropy=entropy),
                },
                device=device,
                rounds=rounds,
                limit_s=limit_s,
            )
        cells.append(
            [
                str(vocab),
                str(rows),
                "best, entropy" if entropy else "best",
                f"{turns.middle('plain').times(1e3).median:.3f}",
                f"{turns.middle('one pass').times(1e3).median:.3f}",
                turns.ratio("plain", "one pass").text(2),
            ]
        )
    return cells


def steps(vocab: int, canvas: int, device: torch.device, rounds: int, limit_s: float) -> list[str]:
    """One row of the second table."""
    dtype = torch.bfloat16 if device.type == "cuda" else torch.float32
    shape = replace(SHAPES["small"], vocab_size=vocab, dtype=dtype)
    model = random_diffusion(shape, device)
    config = SamplerConfig(gen_length=canvas, steps=8)

    def decode(large: int) -> None:
        with patch.object(late_head, "LARGE_VOCABULARY", large):
            generate_batch(model, [prompt_of(32)], config)

    works = {"all rows": lambda: decode(NEVER), "late head": lambda: decode(1)}
    turns = in_turns(works, device=device, rounds=rounds, limit_s=limit_s, warm_up=1)
    return [
        str(vocab),
        str(canvas),
        *[f"{turns.middle(name).times(1e3 / config.steps).median:.3f}" for name in works],
        turns.ratio("all rows", "late head").text(2),
        *[f"{peak_mib(work, device):.1f}" for work in works.values()],
    ]


def main(arguments: Sequence[str] | None = None) -> None:
    """Prints both tables."""
    parser = options_parser(__doc__, rounds=15)
    parser.add_argument("--vocab", type=int, nargs="+", default=[624, 2048, 8192, 32768, 126464])
    parser.add_argument("--rows", type=int, nargs="+", default=[32, 256])
    parser.add_argument("--canvas", type=int, nargs="+", default=[32, 256])
    options = parser.parse_args(arguments)
    torch.set_num_threads(options.threads)
    device = torch.device(options.device)
    limits = (options.rounds, options.limit)
    print(f"random bodies of 4 layers, width 256, on {device}, {options.threads} threads of torch")
    print()
    shapes = [(vocab, rows) for vocab in options.vocab for rows in options.rows]
    print_table(PASS_HEADER, [row for shape in shapes for row in passes(*shape, device, *limits)])
    shapes = [(vocab, canvas) for vocab in options.vocab for canvas in options.canvas]
    print_table(STEP_HEADER, [steps(*shape, device, *limits) for shape in shapes])


if __name__ == "__main__":
    main()
