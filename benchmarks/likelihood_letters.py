"""What it saves to score single-letter choices as one question: time of one forward against four.

All choices of a multiple-choice question whose answers are letters have one canvas, the context and
one mask. It is evaluated once and read for every letter. Against that: every choice scored in a
call of its own, and all of them side by side in one batch. The values are compared, too: the
script fails where one differs by more than rounding.

    python benchmarks/likelihood_letters.py --context 64 256
    python benchmarks/likelihood_letters.py --shape medium --context 600
    python benchmarks/likelihood_letters.py --shape llada-8b --device cuda --context 600
"""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from _models import Pair, load_pair, prompt_of
from _table import options_parser, print_machine, print_table
from _turns import Middle, Turns, in_turns

from dllm_eval.api import Likelihood
from dllm_eval.errors import UsageError
from dllm_eval.likelihood import LikelihoodConfig, score
from dllm_eval.likelihood.question import Question

HEADER = (
    "context",
    "rounds",
    "forwards",
    "one question ms",
    "calls of their own ms",
    "over one question",
    "side by side ms",
    "over one question",
)
ONE, APART, TOGETHER = "one question", "calls of their own", "side by side"
TOLERANCE_NATS = {torch.float32: 1e-3, torch.bfloat16: 0.1}


@dataclass(frozen=True, kw_only=True)
class LettersCost:
    """What was measured behind one context."""

    context: int
    forwards: tuple[int, int]
    """Canvases evaluated for the question, and for its choices apart."""
    turns: Turns

    def cells(self) -> list[str]:
        """One row of the table."""
        return [
            str(self.context),
            str(self.turns.middle(ONE).rounds),
            f"{self.forwards[0]} of {self.forwards[1]}",
            _milliseconds(self.turns.middle(ONE)),
            _milliseconds(self.turns.middle(APART)),
            self.turns.ratio(APART, ONE).text(2),
            _milliseconds(self.turns.middle(TOGETHER)),
            self.turns.ratio(TOGETHER, ONE).text(2),
        ]


def measure(pair: Pair, *, context: int, choices: int, rounds: int, limit_s: float) -> LettersCost:
    """Times the three ways in turns.

    Raises:
        UsageError: Their values differ.
    """
    config = LikelihoodConfig()
    prefix = prompt_of(context).prefix
    pairs = [(prefix, (30 + letter,)) for letter in range(choices)]
    question = Question(pairs=tuple(range(choices)))

    def one() -> list[Likelihood]:
        return score(pair.diffusion, pairs, config, questions=[question])

    def apart() -> list[Likelihood]:
        return [score(pair.diffusion, [own], config)[0] for own in pairs]

    def together() -> list[Likelihood]:
        return score(pair.diffusion, pairs, config)

    _check(pair, one(), apart())
    _check(pair, together(), apart())
    return LettersCost(
        context=context,
        forwards=(sum(own.nfe for own in one()), sum(own.nfe for own in apart())),
        turns=in_turns(
            {ONE: one, APART: apart, TOGETHER: together},
            device=pair.device,
            rounds=rounds,
            limit_s=limit_s,
        ),
    )


def _check(pair: Pair, ones: Sequence[Likelihood], others: Sequence[Likelihood]) -> None:
    furthest = max(abs(one.value - other.value) for one, other in zip(ones, others, strict=True))
    accepted = TOLERANCE_NATS[pair.diffusion.dtype]
    if not furthest <= accepted:
        raise UsageError(f"the values differ by {furthest} nats; accepted: up to {accepted}")


def _milliseconds(seconds: Middle) -> str:
    return f"{1e3 * seconds.median:.2f}"


def main(arguments: Sequence[str] | None = None) -> None:
    """Prints one table row per context."""
    parser = options_parser(__doc__, rounds=40)
    parser.add_argument("--context", type=int, nargs="+", default=[64, 256], help="tokens")
    parser.add_argument("--choices", type=int, default=4)
    options = parser.parse_args(arguments)
    torch.set_num_threads(options.threads)
    pair = load_pair(options.shape, options.device)
    print_machine(pair, f"{options.choices} choices of one token")
    costs = [
        measure(
            pair,
            context=context,
            choices=options.choices,
            rounds=options.rounds,
            limit_s=options.limit,
        )
        for context in options.context
    ]
    print_table(HEADER, [cost.cells() for cost in costs])


if __name__ == "__main__":
    main()
