"""Do the statistics keep what they promise? Made-up suites with a known truth, measured many times.

Every line states what a number in the report claims, simulates it, and prints how often it held:
the share of intervals that hold the truth, or of claims that are false. The interval behind a
share is its own binomial 95 %. `docs/statistics.md` has the table.

    python benchmarks/coverage.py
    python benchmarks/coverage.py --simulations 200
"""

import argparse
from collections.abc import Callable, Iterator
from dataclasses import dataclass

import numpy as np
from _coverage_clusters import clusters, reversal
from _coverage_intervals import latency, quality, throughput, usual
from _coverage_load import under_load
from _coverage_looseness import loose
from _coverage_paired import no_worse
from _measured import REPLICATES, Measured, holds
from _worlds import World

from dllm_eval.stats.acceptable import acceptable
from dllm_eval.stats.compare import compare_with_autoregressive
from dllm_eval.stats.frontier import attained_quality, frontier_probability, on_frontier
from dllm_eval.stats.group import GroupAnalysis, group_analysis
from dllm_eval.stats.hypervolume import hypervolume
from dllm_eval.stats.paired import CLAIMS, LEVEL, TOLERANCE
from dllm_eval.stats.points import Points, points
from dllm_eval.stats.speedup import POINT

DOCUMENTS = (100, 164)
SECONDS = (0.004, 0.008, 0.016, 0.032, 0.064, 0.125, 0.033)
SHAPES: dict[str, tuple[float, ...]] = {
    "rising": (0.0, 0.03, 0.12, 0.5, 0.8, 0.94, 0.9),
    "a plateau": (0.6, 0.8, 0.88, 0.9, 0.9, 0.9, 0.9),
    "all equal": (0.5,) * 7,
}


@dataclass(frozen=True, kw_only=True, eq=False)
class _Run:
    """One measurement of a world, analysed."""

    world: World
    found: Points
    group: GroupAnalysis

    @classmethod
    def of(cls, world: World, generator: np.random.Generator) -> "_Run":
        table = world.table(generator)
        found = points(table, REPLICATES, generator)
        name = world.configurations[0].group
        return cls(world=world, found=found, group=group_analysis(table, name, found))

    @property
    def settings(self) -> list[int]:
        return list(range(len(self.world.quality) - 1))


def _hypervolume(run: _Run) -> bool:
    curve = next(x for x in run.group.curves if x.kind == "diffusion")
    seconds = np.array(run.world.latency_s)[run.settings]
    best = np.array(run.world.quality)[run.settings]
    reference = run.group.reference
    if reference is None:
        return False
    return holds(curve.hypervolume_interval, float(hypervolume(seconds, best, reference)))


def _speedup(run: _Run) -> bool:
    truth, ar = run.world.quality, len(run.world.quality) - 1
    enough = [i for i in run.settings if truth[i] >= truth[ar] - POINT - 1e-9]
    seconds = run.world.latency_s
    ratio = seconds[ar] / min(seconds[i] for i in enough) if enough else 0.0
    return holds(run.group.speedups["diffusion"].interval, ratio)


def _band(run: _Run) -> list[bool]:
    """At a budget between every two settings, and one beyond the last."""
    curve = next(x for x in run.group.curves if x.kind == "diffusion")
    seconds = np.array(run.world.latency_s)[run.settings]
    best = np.array(run.world.quality)[run.settings]
    between = np.append(np.sqrt(seconds[:-1] * seconds[1:]), 1.3 * seconds[-1])
    truth = attained_quality(seconds, best, between)
    at = np.clip(np.searchsorted(curve.grid_s, between), 0, len(curve.grid_s) - 1)
    low, high = curve.band_low[at], curve.band_high[at]
    # A bound that attains nothing is below every quality.
    low_holds = np.isnan(low) | (low <= truth)
    return list(low_holds & (np.isnan(high) == np.isneginf(truth)) & ~(high < truth))


def frontier(simulations: int, generator: np.random.Generator) -> Iterator[Measured]:
    """What is said of a whole frontier."""
    for shape, truth in SHAPES.items():
        for documents in DOCUMENTS:
            world = World(quality=truth, latency_s=SECONDS, documents=documents)
            runs = [_Run.of(world, generator) for _ in range(simulations)]
            where = f"{shape}, {documents} documents"
            for what, kept in (("hypervolume", _hypervolume), ("speed-up", _speedup)):
                held = sum(kept(run) for run in runs)
                yield Measured(
                    what=what, where=where, stated="95 %", held=held, simulations=simulations
                )
            inside = np.array([_band(run) for run in runs])
            worst = int(inside.sum(axis=0).min())
            yield Measured(
                what="band, at its worst budget",
                where=where,
                stated="90 %",
                held=worst,
                simulations=simulations,
            )


def calibration(simulations: int, generator: np.random.Generator) -> Iterator[Measured]:
    """P(frontier): of the rows to which it gives about p, a share p truly is on the frontier.

    Worlds are drawn at random, as flat as a Bayesian would: any quality, any seconds.
    """
    said, true = [], []
    for _ in range(simulations):
        world = World(
            quality=tuple(generator.random(6)),
            latency_s=tuple(np.exp(generator.uniform(-3.5, -2.5, 6))),
            documents=100,
        )
        found = points(world.table(generator), 400, generator)
        said.append(frontier_probability(found.latency_replicates, found.quality_replicates))
        true.append(on_frontier(np.array(world.latency_s), np.array(world.quality)))
    told, on = np.concatenate(said), np.concatenate(true)
    for low, high in ((0.0, 0.1), (0.1, 0.35), (0.35, 0.65), (0.65, 0.9), (0.9, 1.01)):
        own = (told >= low) & (told < high)
        yield Measured(
            what="P(frontier)",
            where=f"rows between {100 * low:.0f} and {100 * min(high, 1.0):.0f} %",
            stated=f"mean {100 * told[own].mean():.1f} %",
            held=int(on[own].sum()),
            simulations=int(own.sum()),
        )


def verdicts(simulations: int, generator: np.random.Generator) -> Iterator[Measured]:
    """False claims among all of a suite's verdicts, Holm-corrected together."""
    equal, fast = (0.03,) * 7, (*(0.01,) * 6, 0.03)
    cases: tuple[tuple[str, tuple[float, ...], tuple[float, ...], frozenset[str]], ...] = (
        ("six settings equal to AR", (0.8,) * 7, equal, _ANY),
        (
            "six settings faster, worse by the whole tolerance",
            (*(0.8 - TOLERANCE,) * 6, 0.8),
            fast,
            _ANY - {"faster, worse", "worse, speed open", "faster, quality open"},
        ),
        (
            "six settings faster, equal",
            (0.8,) * 7,
            fast,
            _ANY - {"dominates AR", "faster, quality open"},
        ),
        (
            "six settings much worse, equal seconds",
            (*(0.4,) * 6, 0.8),
            equal,
            _ANY - {"worse, speed open"},
        ),
    )
    for where, truth, seconds, false in cases:
        for documents in DOCUMENTS:
            world = World(quality=truth, latency_s=seconds, documents=documents, alike=0.9)
            wrong = sum(_claims(world, generator) & false != set() for _ in range(simulations))
            yield Measured(
                what="any false verdict",
                where=f"{where}, {documents} documents",
                stated=f"at most {100 * LEVEL:g} %",
                held=wrong,
                simulations=simulations,
            )


_ANY = frozenset(CLAIMS)


def _claims(world: World, generator: np.random.Generator) -> frozenset[str]:
    table = world.table(generator)
    found = points(table, 200, generator)
    compared = compare_with_autoregressive(table, found, generator=generator)
    return frozenset(x.verdict for x in compared.values())


def knees(simulations: int, generator: np.random.Generator) -> Iterator[Measured]:
    """Settings called acceptable that are further below the best than stated."""
    cases = {
        "five settings just too bad": (*(0.889,) * 5, 0.9),
        "one setting just too bad": (0.2, 0.4, 0.6, 0.8, 0.889, 0.9),
    }
    for where, truth in cases.items():
        for documents in (DOCUMENTS[-1], 2000):
            world = World(
                quality=truth, latency_s=(1.0,) * len(truth), documents=documents, alike=0.9
            )
            wrong = 0
            for _ in range(simulations):
                found = acceptable(
                    world.scores(generator),
                    np.arange(float(len(truth))),
                    generator=generator,
                    replicates=REPLICATES,
                )
                named = None if found is None else found.row
                wrong += named is not None and named < len(truth) - 1
            yield Measured(
                what="acceptable, falsely",
                where=f"{where}, {documents} documents",
                stated="at most 5 %",
                held=wrong,
                simulations=simulations,
            )


PARTS: dict[str, Callable[[int, np.random.Generator], Iterator[Measured]]] = {
    "quality": quality,
    "latency": latency,
    "frontier": frontier,
    "calibration": calibration,
    "verdicts": verdicts,
    "knees": knees,
    "throughput": throughput,
    "usual": usual,
    "clusters": clusters,
    "reversal": reversal,
    "load": under_load,
    "no worse": no_worse,
    "looseness": loose,
}


def main() -> None:
    """Prints the table, part by part."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--simulations", type=int, default=1000, help="of every line")
    parser.add_argument("--part", choices=PARTS, action="append", help="default: all")
    parser.add_argument("--seed", type=int, default=0)
    asked = parser.parse_args()
    print(f"{asked.simulations} simulations a line, seed {asked.seed}\n")
    print("| what | where | stated | measured |\n| --- | --- | --- | --- |")
    for name in asked.part or PARTS:
        generator = np.random.default_rng([asked.seed, list(PARTS).index(name)])
        for measured in PARTS[name](asked.simulations, generator):
            print(measured.line(), flush=True)


if __name__ == "__main__":
    main()
