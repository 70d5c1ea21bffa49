"""From frames to suite tables: which rows exist and what is told apart."""

from typing import Protocol

import numpy as np
import pandas as pd
import pytest

from dllm_eval.errors import UsageError
from dllm_eval.stats.tables import task_tables


class FramesLike(Protocol):
    """What the fixtures of conftest.py hand out."""

    cells: pd.DataFrame
    requests: pd.DataFrame
    scores: pd.DataFrame


def test_one_table_per_suite_one_row_per_setting(frames: FramesLike) -> None:
    tables = task_tables(frames.cells, frames.requests, frames.scores)
    assert [t.task for t in tables] == sorted(set(frames.cells["task"]))
    for table in tables:
        assert len(table.configurations) == 8
        assert table.quality.shape == (8, 100)
        assert all(len(x) == 24 for x in table.latencies_s)


def test_scores_land_on_their_document(one_suite: FramesLike) -> None:
    shuffled = one_suite.scores.sample(frac=1, random_state=1)
    table = task_tables(one_suite.cells, one_suite.requests, shuffled)[0]
    for i, x in enumerate(table.configurations):
        own = one_suite.scores[one_suite.scores["cell_id"] == x.quality_cells[0]]
        columns = (own["task"], own["doc_id"], own["value"])
        expected = {(str(t), int(d)): float(v) for t, d, v in zip(*columns, strict=True)}
        got = dict(zip(table.documents, table.quality[i], strict=True))
        assert got == expected


def test_batched_latency_cells_are_not_the_batch_one_latency(one_suite: FramesLike) -> None:
    cells = one_suite.cells.copy()
    cells.loc[cells["purpose"] == "latency", "batch_size"] = 8
    table = task_tables(cells, one_suite.requests, one_suite.scores)[0]
    assert all(len(x) == 0 for x in table.latencies_s)


def test_latency_cells_need_no_scores_and_no_filter(one_suite: FramesLike) -> None:
    cells = one_suite.cells.copy()
    cells.loc[cells["purpose"] == "quality", "filter"] = "strict"
    scores = one_suite.scores.assign(filter="strict")
    table = task_tables(cells, one_suite.requests, scores)[0]
    assert table.filter == "strict"
    assert all(len(x) == 24 for x in table.latencies_s)


def test_series_names_what_varies_besides_the_dial(one_suite: FramesLike) -> None:
    cells = one_suite.cells.copy()
    few = cells["dial_value"] < 4
    sampler = [("random" if few_steps else "low_confidence") for few_steps in few]
    cells["settings"] = pd.Series([{"sampler": name} for name in sampler], index=cells.index)
    table = task_tables(cells, one_suite.requests, one_suite.scores)[0]
    assert {x.series for x in table.configurations} == {
        "reference-ar",
        "reference-diffusion (low_confidence)",
        "reference-diffusion (random)",
    }


def test_the_same_cell_twice_is_refused(one_suite: FramesLike) -> None:
    cells = one_suite.cells.copy()
    cells.loc[1, "cell_id"] = str(cells["cell_id"].iloc[0])
    cells.loc[1, "folder"] = "other"
    with pytest.raises(UsageError, match=r"in several folders \(results, other\)"):
        task_tables(cells, one_suite.requests, one_suite.scores)


def test_nothing_finished_is_one_clear_line(one_suite: FramesLike) -> None:
    cells = one_suite.cells.assign(finished=False)
    with pytest.raises(UsageError, match="none of 16 cells is finished") as caught:
        task_tables(cells, one_suite.requests, one_suite.scores)
    assert "\n" not in str(caught.value)
    with pytest.raises(UsageError, match="none of 0 cells"):
        task_tables(cells.iloc[:0], one_suite.requests, one_suite.scores)


def test_undone_documents_stay_unknown(one_suite: FramesLike) -> None:
    cell = one_suite.scores["cell_id"].iloc[0]
    drop = (one_suite.scores["cell_id"] == cell) & (one_suite.scores["doc_id"] >= 20)
    table = task_tables(one_suite.cells, one_suite.requests, one_suite.scores[~drop])[0]
    assert np.isnan(table.quality).sum() == 10
