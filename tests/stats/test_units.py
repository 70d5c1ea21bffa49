"""Seconds and counts per question: the choices of one question are one sample, not four."""

from typing import Any

import numpy as np
import pandas as pd
import pytest
from quiz import Floats, Quiz, frames

from dllm_eval.stats.analysis import analyse
from dllm_eval.stats.costs import costs
from dllm_eval.stats.tables import TaskTable, task_tables
from dllm_eval.stats.units import mean_per_unit, per_unit, unit_of

DOCUMENTS = 30


@pytest.fixture(scope="module")
def values() -> Floats:
    return np.random.default_rng(0).normal(size=(DOCUMENTS, 4))


@pytest.fixture(scope="module")
def quality(values: Floats) -> tuple[pd.DataFrame, pd.DataFrame, pd.DataFrame]:
    quiz = Quiz(
        means=values, errors=np.ones((DOCUMENTS, 4)), gold=np.zeros(DOCUMENTS, dtype=np.int64)
    )
    return frames(quiz, values, None)


def timed(
    quality: tuple[pd.DataFrame, pd.DataFrame, pd.DataFrame], rounds: list[list[float]]
) -> TaskTable:
    """With a latency cell for each round; its list has the seconds of each question."""
    cells, requests, scores = quality
    every_cell, every_request = [cells], [requests]
    for number, seconds in enumerate(rounds):
        own: dict[str, Any] = {"cell_id": f"round {number}", "purpose": "latency", "batch_size": 1}
        every_cell.append(cells.assign(**own))
        asked = requests[requests["doc_id"] < len(seconds)]
        share = [seconds[doc] / 4 for doc in asked["doc_id"]]
        every_request.append(asked.assign(cell_id=own["cell_id"], seconds=share))
    joined = pd.concat(every_cell), pd.concat(every_request, ignore_index=True), scores
    (table,) = task_tables(*joined)
    return table


def test_a_question_takes_the_sum_over_its_choices_and_the_median_over_rounds(
    quality: tuple[pd.DataFrame, pd.DataFrame, pd.DataFrame],
) -> None:
    table = timed(quality, [[1.0, 4.0, 8.0], [3.0, 5.0, 6.0], [2.0, 9.0, 7.0]])
    assert table.unit == "question"
    assert sorted(table.latencies_s[0]) == [2.0, 5.0, 7.0]
    row = analyse(table, replicates=200).rows[0]
    assert row.num_timed == 3
    assert row.latency_s == 5.0


def test_one_timed_question_has_no_spread_though_it_has_four_choices(
    quality: tuple[pd.DataFrame, pd.DataFrame, pd.DataFrame],
) -> None:
    row = analyse(timed(quality, [[1.0]]), replicates=200).rows[0]
    assert row.num_timed == 1
    assert np.isnan(row.latency_interval.low)


def test_the_interval_is_over_questions(
    quality: tuple[pd.DataFrame, pd.DataFrame, pd.DataFrame],
) -> None:
    generator = np.random.default_rng(1)
    seconds = generator.lognormal(size=20)
    row = analyse(timed(quality, [list(seconds)]), replicates=2000).rows[0]
    slow = [np.median(generator.choice(seconds, size=20)) for _ in range(4000)]
    low, high = np.quantile(slow, [0.025, 0.975])
    assert row.latency_interval.low == pytest.approx(low, rel=0.12)
    assert row.latency_interval.high == pytest.approx(high, rel=0.12)


def test_canvases_are_counted_per_question(
    quality: tuple[pd.DataFrame, pd.DataFrame, pd.DataFrame],
) -> None:
    # The canvas that all choices share is counted at the first, which has 8; the others have 5.
    cells, requests, scores = quality
    (table,) = task_tables(cells, requests, scores)
    out = costs(table.configurations[0], {"cell": requests}, table.unit)
    assert out.unit == "question"
    assert out.nfe == 8 + 3 * 5
    assert out.positions == 400


def test_two_seeds_of_a_question_are_asked_twice(
    quality: tuple[pd.DataFrame, pd.DataFrame, pd.DataFrame],
) -> None:
    _, requests, _ = quality
    both = pd.concat([requests, requests.assign(cell_id="other", nfe=2 * requests["nfe"])])
    assert mean_per_unit(both, "nfe", "question") == pytest.approx(23 * 1.5)


def test_other_requests_are_units_of_their_own(
    quality: tuple[pd.DataFrame, pd.DataFrame, pd.DataFrame],
) -> None:
    _, requests, _ = quality
    written = requests.assign(request_type="generate_until")
    assert unit_of(written) == "request"
    assert len(per_unit(written, "seconds", "request")) == 4 * DOCUMENTS
    assert mean_per_unit(written, "nfe", "request") == pytest.approx(23 / 4)
    one_each = requests[requests["index"] == 0]
    assert unit_of(one_each) == "request"
    assert unit_of(requests.assign(request_type="loglikelihood_rolling")) == "request"
    assert unit_of(requests[:0]) == "request"
    assert np.isnan(mean_per_unit(requests[:0], "nfe", "question"))


def test_requests_of_no_document_are_told_apart_by_their_keys(
    quality: tuple[pd.DataFrame, pd.DataFrame, pd.DataFrame],
) -> None:
    _, requests, _ = quality
    stray = requests.assign(doc_id=-1)
    assert unit_of(stray) == "request"
    assert len(per_unit(stray, "seconds", "request")) == 4 * DOCUMENTS
