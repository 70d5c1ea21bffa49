"""What a server does not report is unknown everywhere: never 0, and never a reason to stop."""

import math

import numpy as np
import pandas as pd
import pytest
from served_frames import (
    Placed,
    ServedFrames,
    api_rows,
    engine_diffusion,
    everything,
    local_autoregressive,
    local_diffusion,
    served_frames,
)

from dllm_eval.stats.analysis import TaskAnalysis, analyse
from dllm_eval.stats.batching import batch_curves
from dllm_eval.stats.candidates import candidates_of
from dllm_eval.stats.tables import task_tables
from dllm_eval.stats.units import mean_per_unit

COUNTS = ("nfe", "positions", "canvas_tokens", "visible_tokens")


def analysed(rows: list[Placed]) -> TaskAnalysis:
    (table,) = task_tables(*served_frames(rows))
    return analyse(table, replicates=200)


def test_a_mean_of_what_is_not_reported_is_unknown() -> None:
    requests = pd.DataFrame({"index": [0, 0, 0], "nfe": [4.0, 4.0, 4.0], "task": "t", "doc_id": 0})
    assert mean_per_unit(requests, "nfe", "request") == 4.0
    silent = requests.assign(nfe=np.nan)
    assert math.isnan(mean_per_unit(silent, "nfe", "request"))
    partly = requests.assign(nfe=[4.0, np.nan, 4.0])
    assert math.isnan(mean_per_unit(partly, "nfe", "request"))


def test_costs_of_server_rows_are_unknown_and_those_of_others_are_not() -> None:
    analysis = analysed(everything())
    for row in analysis.rows:
        told = [getattr(row.costs, name) for name in (*COUNTS, "visible_tokens_per_s", "forward_s")]
        known = [not math.isnan(value) for value in told]
        assert set(known) == {not row.configuration.placement.served}


def test_tokens_per_second_are_known_where_tokens_are() -> None:
    build = ServedFrames()
    build.add(api_rows()[0])
    cells, requests, scores = build.frames
    requests = requests.assign(visible_tokens=10.0)
    (table,) = task_tables(cells, requests, scores)
    (row,) = analyse(table, replicates=200).rows
    timed = requests[requests["cell_id"].str.endswith("latency")]
    total = sum(timed["seconds"])
    assert row.costs.visible_tokens_per_s == pytest.approx(10.0 * len(timed) / total)
    assert math.isnan(row.costs.nfe)
    assert math.isnan(row.costs.forward_s)


def test_aup_and_the_knee_are_left_out_where_forwards_are_unknown() -> None:
    analysis = analysed(everything())
    curves = [curve for group in analysis.groups for curve in group.curves]
    for curve in curves:
        served = analysis.rows[curve.members[0]].configuration.placement.served
        assert (curve.aup is None) is served
        if served:
            assert curve.acceptable is None
        assert np.isfinite(curve.grid_s).all()


def test_lengths_that_are_not_reported_are_in_no_bin() -> None:
    analysis = analysed(everything())
    rows = {analysis.rows[x.row].configuration.placement.kind for x in analysis.lengths}
    assert rows == {"local"}


def test_partly_reported_lengths_count_where_they_are_known() -> None:
    build = ServedFrames(documents=120, timed=120)
    build.add(api_rows()[0])
    cells, requests, scores = build.frames
    known = requests["doc_id"] % 3 == 0
    requests = requests.assign(visible_tokens=(5.0 + requests["doc_id"]).where(known))
    (table,) = task_tables(cells, requests, scores)
    (curve,) = analyse(table, replicates=200).lengths
    assert sum(point.num_requests for point in curve.points) == 40


def test_a_servers_own_seconds_are_no_shares_of_a_batch() -> None:
    build = ServedFrames()
    for row in (local_diffusion()[1], engine_diffusion()[0]):
        build.add(row)
    cells, requests, scores = build.frames
    timed = cells["purpose"] == "latency"
    more = cells[timed].assign(cell_id=cells[timed]["cell_id"] + "-4", batch_size=4)
    again = requests[requests["cell_id"].isin(cells[timed]["cell_id"])]
    again = again.assign(cell_id=again["cell_id"] + "-4", batch_size=4, visible_tokens=9.0)
    requests = requests.assign(visible_tokens=9.0)
    (table,) = task_tables(pd.concat([cells, more]), pd.concat([requests, again]), scores)
    curves = batch_curves(table)
    kinds = [table.configurations[x.row].placement.kind for x in curves]
    assert kinds == ["local"]


def test_candidates_of_a_server_cost_unknown_work() -> None:
    analysis = analysed([*api_rows(), *local_autoregressive()])
    rows = [i for i, r in enumerate(analysis.rows) if r.configuration.placement.kind == "api"]
    found = candidates_of(analysis, rows, None)
    assert np.isinf(found.cost).all()
    assert found.means(np.arange(found.quality.shape[1])) == pytest.approx([0.6, 0.7, 0.8, 0.9])
