"""The answers that the page shows: their own seconds, the wrong ones, and how many."""

from typing import Any

import numpy as np
import pandas as pd
import pytest
from page_frames import CODE, DIFFUSION, PageFrames, page_frames

from dllm_eval.report.samples import NUM_DIALS, samples
from dllm_eval.report.wrong_answers import wrong_answers
from dllm_eval.stats.analysis import TaskAnalysis, analyse
from dllm_eval.stats.tables import task_tables


@pytest.fixture(scope="module")
def code() -> PageFrames:
    return page_frames(suites=(CODE,), batches=(1, 4))


def analysed(frames: PageFrames, requests: Any = None) -> TaskAnalysis:
    asked = frames.requests if requests is None else requests
    (table,) = task_tables(frames.cells, asked, frames.scores)
    return analyse(table)


def shown(analysis: TaskAnalysis) -> list[dict[str, Any]]:
    found: Any = samples(analysis)
    return found  # type: ignore[no-any-return]


def test_an_answer_takes_the_seconds_of_its_own_request_at_batch_size_one(
    code: PageFrames,
) -> None:
    for sample in shown(analysed(code)):
        for answer in [*sample["ladder"], sample["autoregressive"]]:
            own = code.requests[
                code.requests["cell_id"].str.contains(f"{answer['model'].replace(' ', '_')}-")
                & code.requests["cell_id"].str.endswith("latency-1")
                & (code.requests["doc_id"] == int(sample["document"]))
            ]
            if answer["dial"] is not None:
                own = own[own["nfe"] == answer["dial"]]
            assert answer["timed"]
            assert answer["seconds"] == pytest.approx(own["seconds"].median(), rel=1e-6)


def test_a_request_that_answered_differently_while_timed_lends_no_seconds(
    code: PageFrames,
) -> None:
    timed = code.requests["cell_id"].str.contains("latency")
    other = [[9] if x else y for x, y in zip(timed, code.requests["tokens"], strict=True)]
    analysis = analysed(
        code, code.requests.assign(tokens=pd.Series(other, index=code.requests.index))
    )
    usual = {row.configuration.dial_value: row.latency_s for row in analysis.rows}
    for sample in shown(analysis):
        for answer in sample["ladder"]:
            assert not answer["timed"]
            assert answer["seconds"] == pytest.approx(usual[answer["dial"]], rel=1e-6)


def test_without_latency_no_answer_has_seconds(code: PageFrames) -> None:
    (table,) = task_tables(
        code.cells[code.cells["purpose"] == "quality"], code.requests, code.scores
    )
    answers = [x for sample in shown(analyse(table)) for x in sample["ladder"]]
    assert {x["seconds"] for x in answers} == {None}


def test_documents_that_many_steps_get_right_come_first_and_one_is_wrong(
    code: PageFrames,
) -> None:
    scores = [[x["score"] for x in sample["ladder"]] for sample in shown(analysed(code))]
    assert [(x[0], x[-1]) for x in scores] == [(0.0, 1.0), (0.0, 1.0), (0.0, 0.0)]


def test_a_long_ladder_is_thinned_but_keeps_its_ends_and_its_best() -> None:
    frames = page_frames(suites=(CODE,), batches=(1,), steps=tuple(range(1, 31)), documents=16)
    analysis = analysed(frames)
    dials = [x["dial"] for x in shown(analysis)[0]["ladder"]]
    assert len(dials) <= NUM_DIALS
    best = max(
        (row for row in analysis.rows if row.configuration.kind == "diffusion"),
        key=lambda row: row.quality,
    )
    assert {1, 30, best.configuration.dial_value} <= set(dials)
    assert dials == sorted(dials)


def test_long_answers_are_cut_and_say_how_long_they_were(code: PageFrames) -> None:
    (first, *_) = samples(analysed(code), max_tokens=5)
    ladder: Any = first["ladder"]
    assert [(len(x["pieces"]), x["canvas"], x["last_step"]) for x in ladder] == [
        (5, 12, steps) for steps in (1, 2, 4, 8)
    ]


def test_wrong_answers_are_those_that_scored_nothing(code: PageFrames) -> None:
    found: Any = wrong_answers(analysed(code))
    own = [x for x in found if x["model"] == DIFFUSION]
    # At eight steps documents 5, 7, 13, 15, ... are not known.
    assert [x["document"] for x in own] == ["5", "7", "15"]
    assert {(x["num_wrong"], x["num_documents"]) for x in own} == {(9, 64)}
    rivals = [x for x in found if x["model"] != DIFFUSION]
    assert [(x["document"], x["num_wrong"]) for x in rivals] == [("3", 1)]
    assert all(x["before"].startswith(f"prompt {x['document']} ") for x in found)


def test_seeds_are_read_in_order(code: PageFrames) -> None:
    shuffled = code.requests.sample(frac=1, random_state=np.random.RandomState(1))
    assert shown(analysed(code, shuffled)) == shown(analysed(code))
