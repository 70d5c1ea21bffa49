"""What the searches of a sweep found, as plain data and as one line each.

Knows searches and their cells' scores; computes no test of its own. `run.run_sweep` keeps the
findings in the results folder, the command line prints `Knee.line`.
"""

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np

from dllm_eval.files import read_json, read_lines, read_mapping, write_json
from dllm_eval.stats.distance import documents_needed
from dllm_eval.stats.scale import Scale, lower_in, scale_of, weighted
from dllm_eval.sweep.folder import ResultsFolder
from dllm_eval.sweep.plan import Cell
from dllm_eval.sweep.search import ScoreOf, Scores, Search, means, searches


@dataclass(frozen=True, kw_only=True)
class Knee:
    """What one search found. Values are those of the dial."""

    model: str
    suite: str
    others: str
    """The swept settings that the search holds fixed, for example "sampler=klass"."""
    dial: str
    within: float
    confidence: float
    finished: bool
    value: float
    """The smallest shown to be within the distance of every larger one run; the largest candidate
    where none below it was."""
    ran: tuple[float, ...]
    """In the order tried; the last may have no scores yet if it is not `finished`."""
    not_shown: tuple[float, ...]
    """Run, and not shown to be within the distance."""
    not_run: tuple[float, ...]
    cells_run: int
    cells_of_grid: int
    documents: int
    """That were scored, clusters of them counted once; 0 where nothing was."""
    shares: bool = True
    """Whether scores lie between 0 and 1; else a point is what `stats.scale` says it is."""

    @property
    def line(self) -> str:
        """The finding, with everything that its claim rests on."""
        who = ", ".join(part for part in (self.model, self.suite, self.others) if part)
        return f"{who}: {self._claim()}; {self._cost()}{self._remark()}"

    def _claim(self) -> str:
        if not self.finished:
            return f"the search over {self.dial} is not finished"
        unit = "point" if self.within == 0.01 else "points"
        shown = f"within {100 * self.within:g} {unit} of every larger value run"
        sure = f"{100 * self.confidence:g} % confidence"
        if len(self.ran) > 1 and self.value == max(self.ran):
            return f"nothing below {self.dial}={self.value:g} was shown to be {shown} ({sure})"
        were = "was" if len(self.not_shown) == 1 else "were"
        tail = f"; {_listed(self.not_shown)} {were} not" if self.not_shown else ""
        return f"{self.dial}={self.value:g} was shown to be {shown} ({sure}){tail}"

    def _cost(self) -> str:
        left = f", not run: {_listed(self.not_run)}" if self.not_run else ""
        return f"ran {self.cells_run} of {self.cells_of_grid} cells{left}"

    def _remark(self) -> str:
        level = (1.0 - self.confidence) / 2
        needed = documents_needed(self.within, level)
        shown = self.value < max(self.ran) or self.documents >= needed
        if not self.finished or shown or not self.shares:
            return ""
        return (
            f"; {self.documents} documents are few for such a distance: it takes up to {needed}, "
            f"even if all answers are equal"
        )

    def as_dict(self) -> dict[str, Any]:
        """Plain data, ready for JSON."""
        return asdict(self)

    @classmethod
    def from_dict(cls, data: dict[str, Any]) -> "Knee":
        """What `as_dict` described."""
        lists = {name: tuple(data[name]) for name in ("ran", "not_shown", "not_run")}
        return cls(**{**data, **lists})


def knees(cells: Sequence[Cell], score_of: ScoreOf) -> list[Knee]:
    """What is known of each search among planned cells."""
    return [_knee(search, score_of) for search in searches(cells)]


def write_knees(folder: ResultsFolder, cells: Sequence[Cell]) -> None:
    """Keeps what the searches of a sweep found beside its cells; nothing where there is none."""
    found = knees(cells, scores_in(folder))
    if found:
        write_json(_file(folder.path), {"searches": [knee.as_dict() for knee in found]})


def read_knees(path: Path) -> list[Knee]:
    """What the searches of the last sweep in a results folder found."""
    file = _file(path)
    rows = read_json(file)["searches"] if file.exists() else []
    return [Knee.from_dict(row) for row in rows]


def scores_in(folder: ResultsFolder) -> ScoreOf:
    """Reads the scores of finished cells, each cell once."""
    known: dict[str, Scores] = {}

    def score_of(cell: Cell) -> Scores | None:
        if cell.cell_id not in known:
            files = folder.cell(cell.cell_id)
            if not files.finished:
                return None
            told = read_mapping(files.provenance) if files.provenance.exists() else {}
            facts = told.get("tasks") or {}
            scale = scale_of(cell.metric, lower_is_better=lower_in(facts, cell.metric))
            rows = [row for _, row in read_lines(files.scores)]
            known[cell.cell_id] = _scores(cell, rows, scale)
        return known[cell.cell_id]

    return score_of


def _scores(cell: Cell, rows: list[dict[str, Any]], scale: Scale) -> Scores:
    """Qualities, of which more is better and whose plain mean is the suite's (`stats.scale`)."""
    own = [row for row in rows if row["metric"] == cell.metric]
    # Without a filter named, the first one counts, as in every table.
    kind = cell.filter if cell.filter is not None else next((r["filter"] for r in own), None)
    own = [row for row in own if row["filter"] == kind]
    quality = scale.quality(np.array([row["value"] for row in own], dtype=np.float64))
    weights = [row.get("weight") for row in own]
    if None not in weights:
        quality = weighted(quality, np.array(weights, dtype=np.float64))
    units: dict[tuple[str, int], list[float]] = defaultdict(list)
    for row, value in zip(own, quality.tolist(), strict=True):
        units[_unit(row)].append(value)
    return {unit: sum(values) / len(values) for unit, values in units.items()}


def _unit(row: dict[str, Any]) -> tuple[str, int]:
    """What is independent of all else: a document, or a cluster of them, which counts once."""
    if row.get("cluster"):
        return f"cluster {row['cluster']}", 0
    return str(row["task"]), int(row["doc_id"])


def _knee(search: Search, score_of: ScoreOf) -> Knee:
    climb, first = search.climb(score_of), search.cells[0][0]
    run = set(climb.run)
    others = [name for name in first.swept if name != search.dial]
    return Knee(
        model=first.name,
        suite=first.suite,
        others=" ".join(f"{name}={first.arguments[name]}" for name in others),
        dial=search.dial,
        within=search.within,
        confidence=search.confidence,
        finished=climb.finished and means(search.cells[0], score_of) is not None,
        value=search.values[climb.lowest],
        ran=tuple(search.values[rung] for rung in climb.run),
        not_shown=tuple(search.values[rung] for rung in climb.failed),
        not_run=tuple(value for i, value in enumerate(search.values) if i not in run),
        cells_run=sum(len(search.cells[rung]) for rung in climb.run),
        cells_of_grid=sum(map(len, search.cells)),
        documents=len(means(search.cells[0], score_of) or ()),
        shares=scale_of(first.metric).kind == "share",
    )


def _listed(values: Sequence[float]) -> str:
    *others, last = (f"{value:g}" for value in sorted(values))
    return f"{', '.join(others)} and {last}" if others else last


def _file(path: Path) -> Path:
    return path / "searches.json"
