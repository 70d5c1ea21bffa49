"""How many answers another seed changes, beside how many were said to: a reliability table.

Every question of `ref_mmlu_continuation` on the reference diffusion model under several seeds. Of
each seed's answer the record says how likely another seed is to change it (`flip_probability`), and
the report corrects that by the suite's other questions (`stats/changes.py`); observed is the share
of the other seeds that do give another answer. Then simulated questions of four choices, whose
draws are normal: nearly equal values, and gaps of several standard errors.

    python benchmarks/likelihood_flips.py
    python benchmarks/likelihood_flips.py --seeds 4 --samples 8
"""

import argparse
from collections.abc import Sequence
from itertools import pairwise

import numpy as np
import torch
from _models import REFERENCE, load_pair
from _questions import Choices, Values, drawn_chain, questions_of
from _table import print_machine, print_table

from dllm_eval.denoiser import ModelDenoiser
from dllm_eval.likelihood import LikelihoodConfig, score
from dllm_eval.likelihood.question import Question
from dllm_eval.likelihood.win import win_probabilities
from dllm_eval.stats.changes import expected_changes

TASK = "ref_mmlu_continuation"
BORDERS = (0.0, 0.01, 0.05, 0.2, 1.01)
HEADER = ("samples", "the record says", "runs of a question", "its mean", "corrected", "observed")
SIMULATED_HEADER = ("gaps, in standard errors", "draws", "the record says", "corrected", "observed")


def flips_on(
    model: ModelDenoiser, some: Sequence[Choices], samples: int, seeds: int
) -> tuple[Values, Values]:
    """(seeds, questions) answers, and flip probabilities, NaN where none is known."""
    pairs = [pair for one in some for pair in one.pairs]
    first = np.cumsum([0, *(len(one.pairs) for one in some)])
    asked = [Question(pairs=tuple(range(start, stop))) for start, stop in pairwise(first)]
    answers, flips = [], []
    for seed in range(seeds):
        config = LikelihoodConfig(estimator="monte_carlo", samples=samples, seed=seed)
        scored = score(model, pairs, config, questions=asked)
        own = [int(np.argmax([scored[i].value for i in each.pairs])) for each in asked]
        wins = [scored[each.pairs[at]].win_probability for each, at in zip(asked, own, strict=True)]
        answers.append(own)
        flips.append([np.nan if win is None else 1.0 - win for win in wins])
    return np.array(answers), np.array(flips)


def reliability(samples: int, answers: Values, flips: Values) -> list[list[str]]:
    """Rows of the table, by what the records say, and all together."""
    others = len(answers) - 1
    changed = (answers[:, None] != answers[None]).sum(axis=1) / others
    corrected = np.stack([expected_changes(row) for row in flips])
    known = ~np.isnan(flips)
    rows = []
    for low, high in (*pairwise(BORDERS), (BORDERS[0], BORDERS[-1])):
        own = known & (flips >= low) & (flips < high)
        if own.any():
            means = (x[own].mean() for x in (flips, corrected, changed))
            name = f"{100 * low:g} to {100 * min(high, 1.0):g} %"
            shown = [f"{100 * mean:.2f} %" for mean in means]
            rows.append([str(samples), name, str(int(own.sum())), *shown])
    return rows


def simulated(gap: float, draws: int, questions: int, generator: np.random.Generator) -> list[str]:
    """A row: four choices whose values lie `gap` standard errors apart, on average."""
    said, changed = [], []
    for _ in range(questions):
        means = gap * generator.normal(size=(4, 1)) / draws**0.5
        answers, flip = [], 0.0
        for run in range(2):
            chains = [drawn_chain(row) for row in means + generator.normal(size=(4, draws))]
            answers.append(int(np.argmax([chain.estimate().value for chain in chains])))
            if not run:
                wins = win_probabilities(Question(pairs=(0, 1, 2, 3)), chains)
                flip = 1.0 - (wins[answers[0]].by_value or 0.0)
        said.append(flip)
        changed.append(answers[0] != answers[1])
    flips = np.array(said)
    means = (flips.mean(), expected_changes(flips).mean(), np.mean(changed))
    return [f"{gap:g}", str(draws), *(f"{100 * float(mean):.1f} %" for mean in means)]


def main(arguments: list[str] | None = None) -> None:
    """Prints both tables."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--seeds", type=int, default=12)
    parser.add_argument("--samples", type=int, nargs="+", default=[4, 8, 16, 32])
    parser.add_argument("--questions", type=int, default=400, help="simulated ones, a row")
    options = parser.parse_args(arguments)
    torch.set_num_threads(1)
    pair = load_pair(REFERENCE, options.device)
    print_machine(pair, f"{options.seeds} seeds")
    some = questions_of(TASK, pair.diffusion)
    rows = []
    for samples in options.samples:
        rows += reliability(samples, *flips_on(pair.diffusion, some, samples, options.seeds))
    print_table(HEADER, rows)
    generator = np.random.default_rng(0)
    print_table(
        SIMULATED_HEADER,
        [
            simulated(gap, draws, options.questions, generator)
            for gap in (0.0, 1.0, 4.0)
            for draws in (8, 64)
        ],
    )


if __name__ == "__main__":
    main()
