"""Which setting to deploy under a budget, by the records in results folders.

Finds the suite, the machine and the settings that are meant, and asks `stats/recommendation.py`;
`recommend.py` puts the answer into words. Called by `dllm-eval recommend`.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import pandas as pd

from dllm_eval.errors import UsageError, unknown
from dllm_eval.report.confirm import confirm_line
from dllm_eval.report.machine_names import renamed
from dllm_eval.stats.analysis import TaskAnalysis, analyse
from dllm_eval.stats.budget import FEWEST, Budget, percentile_of
from dllm_eval.stats.candidates import candidates_of
from dllm_eval.stats.compare import best_autoregressive
from dllm_eval.stats.recommendation import Recommendation, recommend
from dllm_eval.stats.row import Row
from dllm_eval.stats.servers import servers
from dllm_eval.stats.tables import TaskTable, task_tables


@dataclass(frozen=True, kw_only=True)
class Asked:
    """What the user wants to know."""

    task: str
    """A suite's title or its task."""
    budget: Budget
    model: str | None = None
    """Settings of this model alone."""
    machine: str | None = None
    """The machine, or part of its name and stack; needed where several were timed."""


@dataclass(frozen=True, kw_only=True, eq=False)
class Answer:
    """A recommendation with everything that its words are made from."""

    asked: Asked
    analysis: TaskAnalysis
    place: str
    """The machine and stack."""
    found: Recommendation
    considered_row: int
    """One of those considered: all of them are of one machine, stack and placement."""
    rival: int | None
    """The best AR row, which a relative floor is measured from."""
    busy: int
    """Settings left out because the machine was busy."""
    all_busy: bool
    """Whether no setting was timed on an idle machine. Where seconds are asked for, nothing can
    qualify then; a floor alone is answered by the seconds that there are."""
    untimed: int
    """Settings left out because they were not timed, or on too few requests."""
    unfinished: int
    """Settings of the suite that have a cell which is planned and not finished."""
    command: str
    """Confirms the pick; "" without one."""

    def seconds(self, i: int) -> float:
        """Of a row, at the percentile asked for."""
        timed = self.analysis.table.latencies_s[i]
        return float(percentile_of(timed, self.asked.budget.percentile))

    def usd(self, i: int) -> float:
        """Dollars per thousand answers of a row; NaN where a server's prices are not known."""
        own = (x.usd for x in servers(self.analysis.table) if x.row == i)
        return next(own, math.nan)

    @property
    def qualifies(self) -> bool:
        """Whether some setting meets the budget."""
        return self.found.pick is not None


_NOTHING = Recommendation(pick=None, runner_up=None, floor=math.nan, nearest=(), considered=0)


def answer(folders: Sequence[Path], asked: Asked) -> Answer:
    """What to deploy, by the records in these results folders.

    Raises:
        UsageError: No such suite, model or machine, several machines and none named, nothing timed,
            or a floor below an AR model that was not run.
    """
    # Reading a folder needs pyarrow's and the store's imports; a caller with frames does not.
    from dllm_eval.sweep.store import read_results

    results = read_results(folders)
    return answer_frames(results.cells, results.requests, results.scores, asked)


def answer_frames(
    cells: pd.DataFrame, requests: pd.DataFrame, scores: pd.DataFrame, asked: Asked
) -> Answer:
    """The same of results that are already in memory; see `answer`."""
    table = _suite(task_tables(renamed(cells), requests, scores), asked.task)
    asked = replace(asked, budget=asked.budget.on(table.scale))
    # What was asked for wrongly is told before anything is resampled, which takes seconds.
    place = _place(table, asked.machine)
    wanted = _of_model(table, place, asked.model)
    timed = _timed(table, place, wanted, FEWEST[asked.budget.percentile], asked.budget.percentile)
    analysis = analyse(table)
    idle = [i for i in timed if not analysis.rows[i].busy]
    # A floor alone asks for no seconds: they only say which of those that reach it is taken.
    rows = idle or (timed if asked.budget.latency_s is None else [])
    rival = best_autoregressive(table, place)
    found = recommend(candidates_of(analysis, rows, rival), asked.budget) if rows else _NOTHING
    return Answer(
        asked=asked,
        analysis=analysis,
        place=place,
        found=found,
        considered_row=(rows or timed)[0],
        rival=rival,
        busy=len(timed) - len(rows),
        all_busy=not idle,
        untimed=len(wanted) - len(timed),
        unfinished=_unfinished(cells, table),
        command="" if found.pick is None else _command(cells, analysis.rows[found.pick.row]),
    )


def _unfinished(cells: pd.DataFrame, table: TaskTable) -> int:
    # Runs under load are about a setting that is known; recommend reads none of them.
    planned = (cells["task"] == table.task) & (cells["purpose"] != "load")
    own = cells[planned & ~cells["finished"].astype(bool)]
    return int(own["config_id"].nunique())


def _suite(tables: Sequence[TaskTable], name: str) -> TaskTable:
    titled = [table for table in tables if table.suite == name]
    found = titled or [table for table in tables if table.task == name]
    if len(found) == 1:
        return found[0]
    titles = [f"{x.suite} ({x.metric}, {x.filter})" if titled else x.suite for x in found]
    if found:
        raise UsageError(f"{name!r} stands for several suites: {'; '.join(titles)}; name one")
    known = "; ".join(f"{table.suite!r} ({table.task})" for table in tables)
    raise UsageError(f"there is no suite {name!r}; by title and task there are: {known}")


def _place(table: TaskTable, named: str | None) -> str:
    """The machine and stack that are meant, as configurations name their group."""
    machines = {x.group: x.machine for x in table.configurations}
    served = {x.group: x.placement for x in table.configurations if x.placement.served}
    told = {place: f" ({served[place].words})" if place in served else "" for place in machines}
    known = "; ".join(f"{place}{told[place]}" for place in sorted(machines))
    if named is None and len(machines) > 1:
        raise UsageError(
            f"suite {table.suite!r} was timed on {len(machines)} machine and stack pairs, whose "
            f"seconds do not compare; name one with --machine: {known}"
        )
    exact = [place for place, machine in machines.items() if named in (None, place, machine)]
    chosen = exact or [place for place in machines if str(named) in place]
    if len(chosen) != 1:
        fits = "no" if not chosen else "more than one"
        raise UsageError(f"--machine {named!r} fits {fits} machine and stack; there are: {known}")
    return chosen[0]


def _of_model(table: TaskTable, place: str, model: str | None) -> list[int]:
    names = {i: x.model for i, x in enumerate(table.configurations) if x.group == place}
    if model is not None and model not in names.values():
        raise unknown("model", model, set(names.values()))
    return [i for i, name in names.items() if model in (None, name)]


def _timed(
    table: TaskTable, place: str, wanted: Sequence[int], least: int, percentile: int
) -> list[int]:
    """Those timed on enough units to speak of a percentile."""
    counts = {i: len(table.latencies_s[i]) for i in wanted}
    found = [i for i in wanted if counts[i] >= least]
    if not found:
        raise UsageError(
            f"p{percentile} takes {least} timed {table.unit}s or more, and suite {table.suite!r} "
            f"has {max(counts.values())} on {place}; sweep with latency.requests set to {least}"
        )
    return found


def _command(cells: pd.DataFrame, row: Row) -> str:
    first = row.configuration.quality_cells[0]
    folder = cells["folder"][cells["cell_id"] == first].iloc[0]
    # The store marks ids of a second folder with its number.
    return confirm_line(Path(str(folder)), first.split("@")[0])
