"""How long cells take here, from the finished cells of a results folder.

Knows the files of cells; knows no model. `estimate.py` calls it.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from statistics import median
from typing import Any

import numpy as np
from scipy.optimize import nnls

from dllm_eval.files import read_json, read_lines
from dllm_eval.sweep.folder import ResultsFolder
from dllm_eval.sweep.forecast import CellWork
from dllm_eval.sweep.plan import Cell

Group = tuple[object, ...]
_SAME_LENGTH = 1.2
"""How far mean positions per forward must differ for their effect to be told from the forward's."""


@dataclass(frozen=True, kw_only=True)
class _Taken:
    """What one finished cell took."""

    model_s: float
    """Within requests, once through the documents: their timed seconds."""
    beside_s: float
    """All other seconds: warm-up, scoring, the harness."""
    whole_s: float
    """Of the cell, as a clock on the wall shows them."""
    forwards: int | None
    """None where a server does not report them."""
    positions: int | None
    documents: int


@dataclass(kw_only=True)
class Pace:
    """What finished cells took, and what others like them would."""

    taken_s: dict[str, float] = field(default_factory=dict)
    """Cell id -> seconds, of finished cells."""
    same: dict[Group, list[float]] = field(default_factory=dict)
    likes: dict[Group, list[_Taken]] = field(default_factory=dict)

    def seconds(self, cell: Cell, work: CellWork) -> float | None:
        """What a cell takes: its own time, that of its setting, or by the rate of its likes.

        The rate is a number of seconds per forward and one per position, fitted to the finished
        cells of the suite, else of the model's other suites of the same kind; of a server that does
        not report forwards, seconds per document. None where nothing like it is finished, or its
        work is not known.
        """
        if cell.cell_id in self.taken_s:
            return self.taken_s[cell.cell_id]
        same = self.same.get(_setting(cell))
        if same:
            return sum(same) / len(same)
        if cell.load is not None:
            return cell.load.longest_s
        if work.documents is None:
            return None
        found = next((self.likes[g] for g in _groups(cell, work) if g in self.likes), None)
        if found is None:
            return None
        if any(each.forwards is None for each in found):
            # Requests are in flight together, so that their seconds do not add up.
            return work.documents * median(each.whole_s / each.documents for each in found)
        if work.forwards is None or work.positions is None:
            return None
        per_forward, per_position = _rates(found)
        once = work.forwards * per_forward + work.positions * per_position
        beside = work.documents * median(each.beside_s / each.documents for each in found)
        if cell.timing is None:
            return once + beside
        return max(once * cell.timing.repeats, cell.timing.min_seconds) + beside


def _rates(found: Sequence[_Taken]) -> tuple[float, float]:
    """Seconds (per forward, per position), neither negative, with the least relative error.

    Where all forwards are of one length the two cannot be told apart, and positions have it all.
    """
    counts = np.array([[each.positions, each.forwards] for each in found], dtype=np.float64)
    seconds = np.array([each.model_s for each in found])
    counts, seconds = counts[seconds > 0], seconds[seconds > 0]
    if not len(seconds):
        return 0.0, 0.0
    lengths = counts[:, 0] / counts[:, 1]
    if lengths.max() < _SAME_LENGTH * lengths.min():
        return 0.0, float(np.mean(seconds / counts[:, 0]))
    fitted, _ = nnls(counts / seconds[:, None], np.ones(len(seconds)))
    return float(fitted[1]), float(fitted[0])


def _setting(cell: Cell) -> Group:
    load = replace(cell.load, seed=0, round=0) if cell.load else None
    return (cell.config_id, cell.purpose, cell.batch_size, cell.limit, load)


def _groups(cell: Cell, work: CellWork) -> tuple[Group, Group]:
    """The cells that a cell is like: those of its suite, and of all suites of its kind."""
    same_way = (cell.name, cell.purpose, cell.batch_size, work.scored)
    return (*same_way, cell.suite), same_way


def read_pace(folder: ResultsFolder, cells: Sequence[Cell], works: Sequence[CellWork]) -> Pace:
    """What the finished ones of these cells took.

    Args:
        folder: May be missing.
        cells: The plan.
        works: What each will cost, for its kind.
    """
    pace = Pace()
    for cell, work in zip(cells, works, strict=True):
        files = folder.cell(cell.cell_id)
        if not files.finished:
            continue
        seconds = float(read_json(files.done)["seconds"])
        pace.taken_s[cell.cell_id] = seconds
        pace.same.setdefault(_setting(cell), []).append(seconds)
        if cell.load is not None:
            continue  # seconds under load are full of waiting, and tell no rate
        taken = _taken([record for _, record in read_lines(files.requests)], seconds)
        if taken is not None:
            for group in _groups(cell, work):
                pace.likes.setdefault(group, []).append(taken)
    return pace


def _taken(records: list[dict[str, Any]], seconds: float) -> _Taken | None:
    """None for a cell without records, as of a stock model, or without a single forward."""
    forwards, positions = _sum(records, "nfe"), _sum(records, "positions")
    if not records or forwards == 0:
        return None
    timed = [sum(record["repeat_seconds"] or [record["seconds"]]) for record in records]
    return _Taken(
        model_s=sum(record["seconds"] for record in records),
        beside_s=max(0.0, seconds - sum(timed)),
        whole_s=seconds,
        forwards=None if positions is None else forwards,
        positions=positions,
        documents=len({(record["task"], record["doc_id"]) for record in records}),
    )


def _sum(records: list[dict[str, Any]], name: str) -> int | None:
    """None where a record does not say."""
    told = [record[name] for record in records if record.get(name) is not None]
    return sum(told) if len(told) == len(records) else None
