"""In which order a search tries the values of a dial, and where it stops.

Rungs are numbers from 0, the largest value, downwards; whether a rung is good enough comes in as a
function. Knows neither cells nor scores. `search.py` calls it.

Two failures at most: long steps down until a rung fails, then one rung at a time below the last
that passed, until one fails again. Bisection saves one test at most up to 22 values, but a test
may wrongly pass at each of its failures, so each takes a share of the error allowed; here there are
two shares. The long steps are as in the puzzle of the two eggs: they get shorter by one, so that
the total stays the same wherever the first failure is.
"""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field

Passes = Callable[[int, Sequence[int], float], bool | None]
"""(rung, rungs above it that were run, error allowed) -> the verdict; None if not known yet."""


@dataclass(frozen=True, kw_only=True)
class Climb:
    """How far a search is."""

    run: tuple[int, ...]
    """Rungs to run, in the order tried; those whose verdict is out are among them."""
    lowest: int
    """The lowest rung that passed; rung 0 passes by definition."""
    failed: tuple[int, ...]
    finished: bool


def long_steps(below: int) -> list[int]:
    """How many rungs each long step goes down; their sum is the number of rungs below the top.

    The fewest tests n that suffice whatever fails have n (n + 1) / 2 rungs at least. Where there
    are fewer, the first steps are shorter: quality drops late more often than early.
    """
    tests = 0
    while tests * (tests + 1) // 2 < below:
        tests += 1
    spare = tests * (tests + 1) // 2 - below
    return [length for i in range(tests) if (length := tests - i - (i < spare)) > 0]


def descend(rungs: int, passes: Passes, *, error: float) -> Climb:
    """Goes down the ladder as far as verdicts are known.

    Each of the two walks tests in an order that is fixed before it, at one level, and stops at the
    first failure, which needs no correction within the walk (fixed-sequence testing: Maurer,
    Hothorn and Lehmacher 1995; Westfall and Krishen 2001; a general proof is Goeman and Solari
    2010, arXiv 1211.3313). The second walk depends on where the first one stopped; where good
    enough stays good enough with more steps, only one such walk can meet a rung that is not, so
    that half of `error` for each walk bounds the whole (Bonferroni). Where no step is longer than
    one rung there is one walk, and it gets all of it.

    Args:
        rungs: How many values there are, at least 1.
        passes: The verdict on a rung.
        error: How likely a wrong pass may be in all.
    """
    steps = long_steps(rungs - 1)
    share = error if max(steps, default=1) == 1 else error / 2
    first = _Walk(run=[0], lowest=0)
    landings = [sum(steps[: i + 1]) for i in range(len(steps))]
    known = first.go(landings, passes, share)
    if not known or not first.failed:
        return first.climb(finished=known)
    second = _Walk(run=first.run, lowest=first.lowest, failed=first.failed)
    known = second.go(range(first.lowest + 1, first.failed[0]), passes, share)
    return second.climb(finished=known)


@dataclass(kw_only=True)
class _Walk:
    """One walk down; both share their lists."""

    run: list[int]
    lowest: int
    failed: list[int] = field(default_factory=list)

    def go(self, rungs: Iterable[int], passes: Passes, error: float) -> bool:
        """Tries rungs until one fails; whether every verdict needed was known."""
        for rung in rungs:
            self.run.append(rung)
            verdict = passes(rung, [above for above in self.run if above < rung], error)
            if verdict is None:
                return False
            if not verdict:
                self.failed.append(rung)
                return True
            self.lowest = rung
        return True

    def climb(self, *, finished: bool) -> Climb:
        return Climb(
            run=tuple(self.run),
            lowest=self.lowest,
            failed=tuple(self.failed),
            finished=finished,
        )
