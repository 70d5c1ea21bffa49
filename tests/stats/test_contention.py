"""Busy machines: what ran in process says it of the engines that were started beside it."""

from collections.abc import Sequence

import pandas as pd
import pytest
from served_frames import (
    API,
    Placed,
    api_rows,
    engine_autoregressive,
    engine_diffusion,
    local_autoregressive,
    local_diffusion,
    served_frames,
)

from dllm_eval.report.advice import Asked, answer_frames
from dllm_eval.report.leaderboard import sections
from dllm_eval.report.remarks import UNCHECKED
from dllm_eval.stats.analysis import analyse
from dllm_eval.stats.budget import Budget
from dllm_eval.stats.contention import busy_rows, unchecked_rows
from dllm_eval.stats.tables import TaskTable, task_tables

ENGINES = [*engine_diffusion(), *engine_autoregressive()]
LOCAL = [*local_diffusion(), *local_autoregressive()]

Frames = tuple[pd.DataFrame, pd.DataFrame, pd.DataFrame]


def frames(rows: Sequence[Placed], share: float | None, *, held_up: str = "-local-") -> Frames:
    """Local cells whose id has `held_up` had a core for `share` of the wall time; None: unknown."""
    cells, requests, scores = served_frames(rows)
    local = requests["cell_id"].str.contains("-local-")
    slow = requests["cell_id"].str.contains(held_up)
    used = requests["seconds"].where(~slow, requests["seconds"] * (share or 1.0))
    return cells, requests.assign(cpu_seconds=used.where(local & (share is not None))), scores


def suite(rows: Sequence[Placed], share: float | None, *, held_up: str = "-local-") -> TaskTable:
    (found,) = task_tables(*frames(rows, share, held_up=held_up))
    return found


def places(table: TaskTable, rows: frozenset[int]) -> set[str]:
    return {table.configurations[i].placement.words for i in rows}


def test_an_engine_is_as_busy_as_the_process_beside_it() -> None:
    table = suite([*LOCAL, *ENGINES, *api_rows()], 0.5, held_up="diffusion-local-.*=4")
    busy = busy_rows(table)
    assert len(busy) == 1 + len(ENGINES)
    assert places(table, busy) == {"in process", "engine started here"}
    assert not unchecked_rows(table)


def test_servers_that_were_there_and_apis_are_as_they_were() -> None:
    there = engine_autoregressive(started_here=False)
    table = suite([*LOCAL, *there, *api_rows()], 0.5)
    assert places(table, busy_rows(table)) == {"in process"}
    assert not unchecked_rows(table)


def test_an_idle_process_speaks_for_its_engines() -> None:
    table = suite([*LOCAL, *ENGINES], 1.0)
    assert not busy_rows(table)
    assert not unchecked_rows(table)


def test_nothing_is_recommended_from_a_busy_engine() -> None:
    asked = Asked(task="Code, made up", budget=Budget(latency_s=1.0), machine="vllm")
    found = answer_frames(*frames([*LOCAL, *ENGINES], 0.5), asked)
    assert not found.qualifies
    assert (found.all_busy, found.found.considered) == (True, 0)
    assert found.busy >= 1


@pytest.mark.parametrize("rows", [ENGINES, [*LOCAL, *ENGINES]])
def test_engines_that_nothing_speaks_for_are_told_once(rows: list[Placed]) -> None:
    table = suite([*rows, *api_rows()], None)
    assert places(table, unchecked_rows(table)) == {"engine started here"}
    said = {x.place: x.remarks.count(UNCHECKED) for x in sections(analyse(table, replicates=50))}
    assert sum(said.values()) == 1
    assert all(not count for place, count in said.items() if place.startswith(API))
