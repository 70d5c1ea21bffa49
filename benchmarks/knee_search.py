"""How often a step-count search claims too few steps, and how many cells it runs.

Made-up models with known quality at each number of steps answer documents at random; answers at
different step counts are correlated, as those of a real model are. A claim is wrong if the setting
it names is truly more than the distance below the best of all candidates, run or not. No model is
loaded and nothing is timed: the same arguments print the same table.

    python benchmarks/knee_search.py
    python benchmarks/knee_search.py --results DIR --within 0.05

With `--results`, a finished sweep over a grid is searched instead, as if its cells were not there.
"""

import argparse
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from _table import print_table
from scipy.stats import norm

from dllm_eval.sweep.folder import ResultsFolder
from dllm_eval.sweep.knees import Knee, knees, scores_in
from dllm_eval.sweep.plan import plan
from dllm_eval.sweep.search import ScoreOf, Scores, Search, searches
from dllm_eval.sweep.spec import Sweep

STEPS = (1, 2, 4, 8, 16, 32, 64, 128, 256)
CORRELATION = 0.8
"""Of one document's latent success at two step counts."""
CURVES: dict[str, Sequence[float]] = {
    "rising to the end": (0.02, 0.05, 0.10, 0.20, 0.35, 0.50, 0.62, 0.72, 0.80),
    "knee at 32": (0.05, 0.15, 0.30, 0.50, 0.68, 0.80, 0.80, 0.80, 0.80),
    "plateau from 2": (0.40, 0.80, 0.80, 0.80, 0.80, 0.80, 0.80, 0.80, 0.80),
    "a shelf just too low below 64": (0.05, 0.30, 0.74, 0.745, 0.749, 0.749, 0.80, 0.80, 0.80),
    "all just too low but the last": (0.749,) * 8 + (0.80,),
    "best in the middle": (0.10, 0.30, 0.55, 0.70, 0.80, 0.84, 0.82, 0.80, 0.78),
    "a dip at 64": (0.05, 0.15, 0.30, 0.60, 0.76, 0.80, 0.72, 0.80, 0.80),
}
"""True quality at each of `STEPS`."""


@dataclass(frozen=True, kw_only=True)
class Tally:
    """Of many searches on one curve."""

    wrong: float
    """Share of searches whose claim is more than the distance below the best candidate."""
    found: float
    """Share that name the smallest candidate which is truly within the distance."""
    cells: float
    steps: float
    """Mean share of the grid's steps that was run."""


def candidates(steps: Sequence[int], *, within: float, confidence: float) -> Search:
    """A search over these step counts, planned as any is."""
    found = Sweep.model_validate(
        {
            "name": "simulated",
            "models": [{"name": "M", "model": "dllm", "args": {"pretrained": "none"}}],
            "suites": [
                {
                    "task": "t",
                    "metric": "acc",
                    "search": {
                        "dial": "steps",
                        "values": list(steps),
                        "within": within,
                        "confidence": confidence,
                    },
                }
            ],
            "latency": {"enabled": False},
        }
    )
    return searches(plan(found, lambda _: frozenset({"pretrained", "steps", "seed"})))[0]


def answers(
    quality: Sequence[float], documents: int, generator: np.random.Generator
) -> list[Scores]:
    """0/1 scores of every setting on every document, from a Gaussian copula."""
    shared = generator.standard_normal(documents)
    own = generator.standard_normal((len(quality), documents))
    latent = np.sqrt(CORRELATION) * shared + np.sqrt(1.0 - CORRELATION) * own
    solved = latent < norm.ppf(np.array(quality))[:, None]
    return [{("t", i): float(value) for i, value in enumerate(row)} for row in solved]


def tally(
    quality: Mapping[int, float],
    *,
    documents: int,
    within: float,
    confidence: float,
    rounds: int,
    generator: np.random.Generator,
) -> Tally:
    """Searches a curve again and again, each time with other answers."""
    steps = sorted(quality)
    search = candidates(steps, within=within, confidence=confidence)
    floor = max(quality.values()) - within - 1e-9
    knee = min(value for value in steps if quality[value] >= floor)
    wrong = found = cells = cost = 0.0
    for _ in range(rounds):
        drawn = answers([quality[value] for value in steps], documents, generator)
        by_steps = dict(zip(steps, drawn, strict=True))
        climb = search.climb(_known(by_steps))
        claimed = search.values[climb.lowest]
        wrong += quality[int(claimed)] < floor
        found += claimed == knee
        cells += len(climb.run)
        cost += sum(search.values[rung] for rung in climb.run) / sum(search.values)
    return Tally(
        wrong=wrong / rounds, found=found / rounds, cells=cells / rounds, steps=cost / rounds
    )


def _known(by_steps: Mapping[int, Scores]) -> ScoreOf:
    return lambda cell: by_steps[int(str(cell.arguments["steps"]))]


def simulate(options: argparse.Namespace) -> None:
    """Prints one row for each curve and number of documents."""
    print(
        f"Candidates {', '.join(map(str, STEPS))}; distance {100 * options.within:g} points, "
        f"confidence {100 * options.confidence:g} %, {options.rounds} searches a row, "
        f"seed {options.seed}\n"
    )
    rows: list[Sequence[str]] = []
    for name, curve in CURVES.items():
        for documents in options.documents:
            found = tally(
                dict(zip(STEPS, curve, strict=True)),
                documents=documents,
                within=options.within,
                confidence=options.confidence,
                rounds=options.rounds,
                generator=np.random.default_rng([options.seed, documents, len(rows)]),
            )
            shares = (f"{100 * share:.1f} %" for share in (found.wrong, found.found))
            cost = f"{found.cells:.1f} of {len(STEPS)}", f"{100 * found.steps:.0f} %"
            rows.append((name, str(documents), *shares, *cost))
    header = ("true quality", "documents", "wrong claims", "exact knee", "cells run", "steps run")
    print_table(header, rows)


def searched_again(path: Path, within: float, confidence: float) -> list[Knee]:
    """What searches would have found of a finished grid over steps, each with the cells it needs.

    Series with other dials are left out.
    """
    folder = ResultsFolder(path)
    cells = [
        replace(
            cell,
            search=f"{cell.name} {cell.suite}",
            search_dial="steps",
            search_within=within,
            search_confidence=confidence,
        )
        for cell in folder.cells()
        if cell.swept == ("steps",) and cell.purpose == "quality"
    ]
    return knees(cells, scores_in(folder))


def main(arguments: Sequence[str] | None = None) -> None:
    """Prints the simulated table, or what a search finds in a finished grid."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--results", type=Path, help="a finished sweep over a grid of steps")
    parser.add_argument("--within", type=float, default=0.05)
    parser.add_argument("--confidence", type=float, default=0.95)
    parser.add_argument("--documents", type=int, nargs="+", default=[164, 1319])
    parser.add_argument("--rounds", type=int, default=1000)
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args(arguments)
    if options.results is None:
        simulate(options)
        return
    for knee in searched_again(options.results, options.within, options.confidence):
        print(f"- {knee.line}")


if __name__ == "__main__":
    main()
