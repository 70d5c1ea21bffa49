"""How many forwards a race among the choices of a question saves, and how many answers it changes.

Three tables. First, simulated questions of four choices with 128 draws each: means with a standard
deviation of 4 nats, draws with one of 3 to 6, correlated by 0 to 0.5 between choices; the last rows
suppose 0.35 of that variance, as a control variate may leave. Then the same where it is hardest to
be right: all choices about equal, with unequal noise that is normal, has heavy tails, or is skewed.
A race's rate is meant to bound the errors of every question, whatever its gaps.

Last, every question of two tasks on the reference diffusion model: 128 samples of each choice by
`monte_carlo`, against races of several estimators. "Own full run" is the same estimator with the
same draws and no race; "another full run" is 128 samples of `monte_carlo` under another seed, and
each task's first row says how often two such runs agree with each other. Answers are those by the
sum and, where the task has them, by the value per character. "Forwards" are masked canvases
evaluated; equal canvases of a question count once, while 128 x choices counts every sample. What
`auto` picks in a race is not what it picks without one, so its own full run has other draws.

    python benchmarks/likelihood_racing.py
"""

import argparse
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import partial

import numpy as np
import torch
from _models import REFERENCE, load_pair
from _questions import Choices, Values, questions_of, raced
from _table import print_machine, print_table
from scipy.stats import binomtest

from dllm_eval.api import Likelihood
from dllm_eval.denoiser import ModelDenoiser
from dllm_eval.likelihood import LikelihoodConfig, score
from dllm_eval.likelihood.question import Question

SAMPLES = 128
RACES = (0.001, 0.005, 0.01, 0.05, 0.2, 0.4)
TASKS = {"ref_mmlu_continuation": True, "ref_reversal_choice": False}
"""Whether a task has a normalised score."""
RACED = ("monte_carlo", "control_variate", "end_strata", "random_order", "auto")
REFERENCE_RACES = (0.005, 0.05)
SIMULATED_HEADER = ("noise", "race", "same answer", "mean forwards", "512 / this")
HARD_HEADER = ("law of a draw", "skewness", "race", "answers changed", "mean forwards")
REFERENCE_HEADER = (
    "task",
    "estimator",
    "race",
    "as own full run",
    "as another full run",
    "right",
    "forwards a question",
    "128 x choices / this",
    "full monte_carlo / this",
)

Law = Callable[[np.random.Generator, tuple[int, ...]], Values]


def normal(generator: np.random.Generator, shape: tuple[int, ...]) -> Values:
    """Mean 0 and variance 1, as all laws here."""
    return generator.normal(size=shape)


def heavy(generator: np.random.Generator, shape: tuple[int, ...]) -> Values:
    """Student's t with 3 degrees of freedom."""
    return generator.standard_t(3, size=shape) / 3**0.5


def skewed(width: float) -> Law:
    """Minus a log-normal: a few draws are far below."""

    def law(generator: np.random.Generator, shape: tuple[int, ...]) -> Values:
        draws = np.exp(width * generator.normal(size=shape) - width**2 / 2)
        values: Values = (1.0 - draws) / np.sqrt(np.exp(width**2) - 1)
        return values

    return law


def simulated(generator: np.random.Generator, sd: float, correlation: float) -> Values:
    """(4 choices, draws), means 4 nats apart."""
    shared, own = generator.normal(size=(1, SAMPLES)), generator.normal(size=(4, SAMPLES))
    noise = correlation**0.5 * shared + (1 - correlation) ** 0.5 * own
    values: Values = 4.0 * generator.normal(size=(4, 1)) + sd * noise
    return values


def print_simulated(count: int) -> None:
    """The first table."""
    rows = []
    for name, sds, correlations in (
        ("sd 3, correlation 0.5", (3, 3), (0.5, 0.5)),
        ("sd 3 to 6, correlation 0 to 0.5", (3, 6), (0, 0.5)),
        ("sd 6, correlation 0", (6, 6), (0, 0)),
        ("sd 3 to 6, 0.35 of the variance", (3 * 0.35**0.5, 6 * 0.35**0.5), (0, 0.5)),
    ):
        generator = np.random.default_rng(0)
        some = [
            simulated(generator, generator.uniform(*sds), generator.uniform(*correlations))
            for _ in range(count)
        ]
        for race in RACES:
            same, forwards = _race_all(some, race)
            rows.append(
                [name, f"{race:g}", f"{same:.4f}", f"{forwards:.0f}", f"{512 / forwards:.1f}"]
            )
    print(f"Simulated: {count} questions a row, 4 x {SAMPLES} draws.\n")
    print_table(SIMULATED_HEADER, rows)


def print_hard(count: int) -> None:
    """The second table: gaps of sd 0.5, noise of sd 4 times a factor of each choice's own."""
    laws: tuple[tuple[str, str, Law], ...] = (
        ("normal", "0", normal),
        ("Student's t, 3 degrees", "0", heavy),
        ("log-normal", "-1.8", skewed(0.5)),
        ("log-normal", "-6.2", skewed(1.0)),
    )
    rows = []
    for name, skewness, law in laws:
        generator = np.random.default_rng(1)
        some = []
        for _ in range(count):
            factors = np.exp(generator.normal(size=(4, 1)))
            noise = 4.0 * factors * law(generator, (4, SAMPLES))
            some.append(0.5 * generator.normal(size=(4, 1)) + noise)
        for race in (0.005, 0.05):
            same, forwards = _race_all(some, race)
            changed = round((1 - same) * count)
            low, high = binomtest(changed, count).proportion_ci(method="wilson")
            shown = f"{1 - same:.4f} ({low:.4f} to {high:.4f})"
            rows.append([name, skewness, f"{race:g}", shown, f"{forwards:.0f}"])
    print(f"The hardest questions: {count} a row, all choices about equal.\n")
    print_table(HARD_HEADER, rows)


def _race_all(some: Sequence[Values], race: float) -> tuple[float, float]:
    config = LikelihoodConfig(race=race)
    found = [raced(values, config) for values in some]
    same = [
        answer == values.mean(axis=1).argmax()
        for (answer, _), values in zip(found, some, strict=True)
    ]
    return float(np.mean(same)), float(np.mean([draws for _, draws in found]))


@dataclass(frozen=True, kw_only=True)
class Run:
    """All questions of a task, scored once."""

    answers: Values
    """(questions, kinds of answer): by the sum and, where a task has it, normalised."""
    right: Values
    """The same: whether each is."""
    forwards: float
    """Of a question, on average."""

    @classmethod
    def of(
        cls,
        model: ModelDenoiser,
        some: Sequence[Choices],
        config: LikelihoodConfig,
        *,
        normalised: bool,
    ) -> "Run":
        """Scores them."""
        pairs = [pair for one in some for pair in one.pairs]
        questions, first = [], 0
        for one in some:
            stop = first + len(one.pairs)
            divisors = one.characters if normalised else None
            questions.append(Question(pairs=tuple(range(first, stop)), divisors=divisors))
            first = stop
        scored = score(model, pairs, config, questions=questions)
        answers = np.array([_answers(scored, question) for question in questions])
        right = answers == np.array([[one.right] for one in some])
        forwards = sum(one.nfe for one in scored) / len(some)
        return cls(answers=answers, right=right, forwards=forwards)

    def agreement(self, other: "Run") -> str:
        """The share of equal answers, of each kind."""
        return _shares(self.answers == other.answers)


def _answers(scored: Sequence[Likelihood], question: Question) -> list[int]:
    values = np.array([scored[pair].value for pair in question.pairs])
    kinds = [values] if question.divisors is None else [values, values / question.divisors]
    return [int(kind.argmax()) for kind in kinds]


def _shares(hits: Values) -> str:
    return " / ".join(f"{share:.4f}" for share in hits.mean(axis=0))


def print_reference(model: ModelDenoiser) -> None:
    """The third table."""
    rows = []
    for task, normalised in TASKS.items():
        some = questions_of(task, model)
        every = SAMPLES * float(np.mean([len(one.pairs) for one in some]))
        run = partial(Run.of, model, some, normalised=normalised)
        another = run(LikelihoodConfig(estimator="monte_carlo", samples=SAMPLES, seed=1))
        plain = 0.0
        for name in RACED:
            config = LikelihoodConfig(estimator=name, samples=SAMPLES)
            full = run(config)
            plain = plain or full.forwards
            for race in (0.0, *REFERENCE_RACES):
                found = run(replace(config, race=race)) if race else full
                rows.append(
                    [
                        f"{task} ({len(some)})",
                        name,
                        f"{race:g}" if race else "none",
                        found.agreement(full) if race else "",
                        found.agreement(another),
                        _shares(found.right),
                        f"{found.forwards:.1f}",
                        f"{every / found.forwards:.1f}",
                        f"{plain / found.forwards:.1f}",
                    ]
                )
    print_table(REFERENCE_HEADER, rows)


def main() -> None:
    """Runs the script."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--threads", type=int, default=1, help="of torch, on a CPU")
    parser.add_argument("--questions", type=int, default=1000, help="simulated ones, a row")
    parser.add_argument("--hard", type=int, default=1000, help="the same of the hardest table")
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    if options.questions:
        print_simulated(options.questions)
    if options.hard:
        print_hard(options.hard)
    pair = load_pair(REFERENCE, options.device)
    print_machine(pair, f"{SAMPLES} samples")
    print_reference(pair.diffusion)


if __name__ == "__main__":
    main()
