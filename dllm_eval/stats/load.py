"""The settings of a suite under load: which were run, and their numbers at each level.

Reads the records of cells whose purpose is "load"; knows no figure and no file. Called by
`report/`; `load_point.py` has the numbers, `load_crossover.py` compares diffusion with AR.
"""

from collections.abc import Hashable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import pandas as pd

from dllm_eval.stats.analysis import TaskAnalysis
from dllm_eval.stats.by_cell import CellRows, split_by_cell
from dllm_eval.stats.load_point import LoadPoint, load_point
from dllm_eval.stats.load_run import LoadRun, load_run
from dllm_eval.stats.placement import Placement
from dllm_eval.stats.series import tier_of


@dataclass(frozen=True, kw_only=True, eq=False)
class LoadCurve:
    """One setting on one machine and stack, over loads."""

    row: int
    """Its row in the suite's analysis."""
    machine: str
    stack: str
    placement: Placement
    tier: str
    """How an AR model was run, for example "compiled, static cache"; "" where it is not said."""
    closed: tuple[LoadPoint, ...]
    """By requests in flight, ascending."""
    arrivals: tuple[LoadPoint, ...]
    """By arrivals per second, ascending."""


@dataclass(frozen=True, kw_only=True)
class _Place:
    config_id: str
    machine: str
    stack: str


def load_cells(cells: pd.DataFrame) -> pd.DataFrame:
    """The finished cells whose purpose is "load"; without rows where there are none."""
    known = {"load_in_flight", "load_arrivals_per_s"} <= set(cells.columns)
    if not known or cells.empty:
        return cells.iloc[:0]
    return cells[(cells["purpose"] == "load") & cells["finished"].astype(bool)]


def load_curves(
    analysis: TaskAnalysis, cells: pd.DataFrame, requests: pd.DataFrame
) -> tuple[LoadCurve, ...]:
    """The settings of a suite that were run under load, in the order of its rows.

    Args:
        analysis: The suite.
        cells: The frame of all cells.
        requests: The frame of all requests.
    """
    rows: dict[str, list[int]] = {}
    for i, x in enumerate(analysis.table.configurations):
        rows.setdefault(x.config_id, []).append(i)
    own = load_cells(cells)
    own = own[own["config_id"].isin(list(rows))]
    if own.empty:
        return ()
    by_cell = split_by_cell(CellRows(requests).of(own["cell_id"]))
    of_places: dict[_Place, list[dict[Hashable, Any]]] = {}
    for cell in own.to_dict("records"):
        told = {name: str(cell[name]) for name in ("config_id", "machine", "stack")}
        of_places.setdefault(_Place(**told), []).append(cell)
    found = [
        _curve(_row(analysis, rows[place.config_id], place), place, ran, by_cell)
        for place, ran in of_places.items()
    ]
    return tuple(sorted(found, key=lambda x: (x.row, x.machine, x.stack)))


def _row(analysis: TaskAnalysis, candidates: Sequence[int], place: _Place) -> int:
    """The setting's row on this machine and stack, else its first."""
    configurations = analysis.table.configurations
    here = (place.machine, place.stack)
    same = [i for i in candidates if (configurations[i].machine, configurations[i].stack) == here]
    return (same or list(candidates))[0]


def _curve(
    row: int,
    place: _Place,
    cells: Sequence[Mapping[Hashable, Any]],
    by_cell: Mapping[str, pd.DataFrame],
) -> LoadCurve:
    levels: dict[tuple[int | None, float | None], list[LoadRun]] = {}
    for cell in cells:
        run = load_run(cell, by_cell.get(str(cell["cell_id"])))
        if run is not None:
            levels.setdefault((run.in_flight, run.arrivals_per_s), []).append(run)
    points = sorted((load_point(runs) for runs in levels.values()), key=lambda x: x.level)
    first = cells[0]
    return LoadCurve(
        row=row,
        machine=place.machine,
        stack=place.stack,
        placement=Placement.of(first),
        tier=tier_of(first),
        closed=tuple(x for x in points if x.in_flight is not None),
        arrivals=tuple(x for x in points if x.in_flight is None),
    )
