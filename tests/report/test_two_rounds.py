"""What has too little behind it for a number: two rounds of timing, a row that is alone."""

import json
import math

import pandas as pd
import pytest
from served_frames import local_autoregressive, local_diffusion, served_frames

from dllm_eval.report.advice import Answer, Asked, answer_frames
from dllm_eval.report.leaderboard import markdown
from dllm_eval.report.recommend import as_data, lines
from dllm_eval.stats.analysis import TaskAnalysis, analyse
from dllm_eval.stats.budget import Budget, parse_floor
from dllm_eval.stats.tables import task_tables

Frames = tuple[pd.DataFrame, pd.DataFrame, pd.DataFrame]


def rounds(count: int) -> Frames:
    """Each round 30 % slower than the one before."""
    cells, requests, scores = served_frames([*local_diffusion(), *local_autoregressive()])
    timed = cells["purpose"] == "latency"
    own = requests["cell_id"].isin(cells["cell_id"][timed])
    more_cells, more_requests = [cells[~timed]], [requests[~own]]
    for number in range(count):
        told = f"-round{number}"
        more_cells.append(cells[timed].assign(cell_id=cells["cell_id"][timed] + told))
        part = requests[own]
        seconds = part["seconds"] * 1.3**number
        more_requests.append(part.assign(cell_id=part["cell_id"] + told, seconds=seconds))
    return pd.concat(more_cells), pd.concat(more_requests), scores


def analysed(count: int) -> TaskAnalysis:
    (table,) = task_tables(*rounds(count))
    return analyse(table, replicates=200)


def ask(count: int, budget: Budget) -> Answer:
    return answer_frames(*rounds(count), Asked(task="Code, made up", budget=budget))


@pytest.mark.filterwarnings("error")
def test_two_rounds_leave_dashes() -> None:
    found = analysed(2)
    for row in found.rows:
        assert row.latency_s > 0
        assert math.isnan(row.latency_interval.low)
        assert math.isnan(row.p_frontier)
        if row.comparison is not None:
            assert math.isnan(row.comparison.latency_ratio_interval.low)
            assert "fast" not in row.comparison.verdict
            assert "domina" not in row.comparison.verdict
    (group,) = found.groups
    assert all(math.isnan(curve.hypervolume_interval.low) for curve in group.curves)
    assert all(math.isnan(x.interval.low) for x in group.speedups.values())
    said = markdown([found], [])
    assert "nan" not in said
    assert "is not known: one request was timed, or two rounds were." in said


def test_three_rounds_have_intervals() -> None:
    found = analysed(3)
    assert all(row.latency_interval.low > 0 for row in found.rows)
    assert all(row.p_frontier >= 0 for row in found.rows)


@pytest.mark.filterwarnings("error")
def test_a_recommendation_of_two_rounds_has_no_confidence() -> None:
    found = ask(2, Budget(latency_s=0.2))
    (said,) = (line for line in lines(found) if line.startswith("Confidence"))
    assert said == (
        "Confidence: what depends on seconds is not known, as two rounds of timing are too few to "
        "tell; time three."
    )
    assert not any("nan" in line for line in lines(found))
    told = as_data(found)["pick"]
    assert (told["p_meets"], told["p_best"]) == (None, None)
    json.dumps(told, allow_nan=False)


def test_a_floor_of_quality_alone_is_as_sure_as_it_was() -> None:
    two, three = (ask(count, Budget(floor=parse_floor("60%"))) for count in (2, 3))
    assert two.found.pick is not None
    assert three.found.pick is not None
    assert two.found.pick.p_meets == three.found.pick.p_meets
    (said,) = (line for line in lines(two) if line.startswith("Confidence"))
    assert said.startswith("Confidence: more than 99 % that it reaches the floor; what depends")


def test_a_row_alone_in_its_group_has_no_share() -> None:
    (table,) = task_tables(*served_frames(local_autoregressive()))
    (row,) = analyse(table, replicates=50).rows
    assert row.on_frontier
    assert math.isnan(row.p_frontier)
    (table,) = task_tables(*served_frames([*local_diffusion((4,)), *local_autoregressive()]))
    assert not any(math.isnan(row.p_frontier) for row in analyse(table, replicates=50).rows)
