"""Which candidates of a search to run next, and what it has found: the knee with few cells.

A search looks for the smallest value of a dial, such as steps, that is nearly as good as larger
ones. Knows cells and their scores per document; knows no file and no process. `run.run_sweep`
asks `wanted` for cells until it names none that is not finished.
"""

from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache

import numpy as np

from dllm_eval.errors import UsageError
from dllm_eval.stats.distance import p_above
from dllm_eval.stats.paired import t_test
from dllm_eval.stats.scale import scale_of
from dllm_eval.sweep.ladder import Climb, descend
from dllm_eval.sweep.plan import Cell

Scores = Mapping[tuple[str, int], float]
"""(task, document) -> quality, as `stats.scale` makes them of scores: more is better."""
ScoreOf = Callable[[Cell], Scores | None]
"""The scores of a quality cell; None while it is not finished."""


@dataclass(frozen=True, kw_only=True)
class Search:
    """The quality cells of one setting at all candidate values of one dial."""

    search_id: str
    dial: str
    within: float
    confidence: float
    values: tuple[float, ...]
    """The candidates, the largest first."""
    cells: tuple[tuple[Cell, ...], ...]
    """Of each value, one cell per seed: a value is judged by the mean over all seeds."""

    def climb(self, score_of: ScoreOf) -> Climb:
        """How far it is by what is known so far.

        A value passes if for every larger one that was run the test of `stats.distance`, of scores
        that are no shares Student's t, shows that the mean of the differences over the documents is
        above `-within`. Where quality does not
        fall with the dial this compares with the best of all candidates, since the largest value is
        always run. Several comparisons that must all hold need no correction (Berger 1982).
        """

        def passes(rung: int, above: Sequence[int], error: float) -> bool | None:
            own, rivals = (
                means(self.cells[rung], score_of),
                [means(self.cells[other], score_of) for other in above],
            )
            if own is None or any(rival is None for rival in rivals):
                return None
            return all(
                is_within(own, rival, self.within, error) for rival in rivals if rival is not None
            )

        return descend(len(self.values), passes, error=1.0 - self.confidence)


def searches(cells: Iterable[Cell]) -> list[Search]:
    """The searches among planned cells, in the order of their first cells."""
    found: dict[str, dict[float, list[Cell]]] = {}
    for cell in cells:
        if cell.search and cell.purpose == "quality":
            values = found.setdefault(cell.search, {})
            values.setdefault(_value(cell), []).append(cell)
    return [_search(name, values) for name, values in found.items()]


def wanted(cells: Sequence[Cell], score_of: ScoreOf) -> list[Cell]:
    """The cells to be run by what is known so far, in the order planned.

    Cells of the grid always; of a search, those that it ran and those that it needs next. Latency
    and load cells follow the quality cells of their setting: every setting that a search ran is a
    point of the frontier and is timed. Nothing but finished cells' scores decides, so that a sweep
    that was killed goes on where it was.

    Args:
        cells: All candidates, as `plan` lists them.
        score_of: The scores of finished cells.

    Raises:
        UsageError: A score of a metric that is no perplexity is not between 0 and 1.
    """
    chosen = {
        cell.config_id
        for search in searches(cells)
        for rung in search.climb(score_of).run
        for cell in search.cells[rung]
    }
    return [cell for cell in cells if not cell.search or cell.config_id in chosen]


def means(cells: Sequence[Cell], score_of: ScoreOf) -> Scores | None:
    """Each document's mean over cells that differ in their seed; None unless all are finished.

    Raises:
        UsageError: A score is not between 0 and 1, so that a distance would mean nothing; of
            perplexities and bits per byte a distance has a meaning.
    """
    found = [score_of(cell) for cell in cells]
    known = [scores for scores in found if scores is not None]
    if len(known) < len(found):
        return None
    for cell, scores in zip(cells, known, strict=True):
        odd = next((value for value in scores.values() if not 0.0 <= value <= 1.0), None)
        if odd is not None and not scale_of(cell.metric).of_likelihood:
            raise UsageError(
                f"{cell.label}: a score of metric {cell.metric!r} is {odd:g}; a search needs scores"
                f" between 0 and 1: sweep the dial instead"
            )
    common = set.intersection(*(set(scores) for scores in known))
    return {doc: sum(scores[doc] for scores in known) / len(known) for doc in sorted(common)}


def is_within(own: Scores, rival: Scores, within: float, error: float) -> bool:
    """Whether one setting is shown to be no more than `within` below another."""
    gaps = Counter(own[document] - rival[document] for document in own if document in rival)
    shares = all(0.0 <= value <= 1.0 for scores in (own, rival) for value in scores.values())
    return _p_value(tuple(sorted(gaps.items())), -within, shares=shares) <= error


@lru_cache(maxsize=4096)
def _p_value(gaps: tuple[tuple[float, int], ...], bound: float, *, shares: bool) -> float:
    # Every round asks for the whole climb again, so most comparisons come several times.
    values = np.array([value for value, count in gaps for _ in range(count)], dtype=np.float64)
    return p_above(values, bound, lowest=-1.0) if shares else t_test(values, bound)


def _value(cell: Cell) -> float:
    value = cell.arguments[cell.search_dial]
    if not isinstance(value, int | float):
        raise TypeError(f"{cell.search_dial} of a search is {value!r}, no number")
    return float(value)


def _search(name: str, values: dict[float, list[Cell]]) -> Search:
    downwards = sorted(values, reverse=True)
    first = values[downwards[0]][0]
    return Search(
        search_id=name,
        dial=first.search_dial,
        within=first.search_within,
        confidence=first.search_confidence,
        values=tuple(downwards),
        cells=tuple(tuple(values[value]) for value in downwards),
    )
