"""What servers took and cost, against sums made by hand."""

import math
from dataclasses import replace
from typing import Any

import numpy as np
import pandas as pd
import pytest
from scipy.stats import t as student
from served_frames import (
    EAGER,
    Placed,
    ServedFrames,
    api_rows,
    engine_autoregressive,
    local_autoregressive,
    local_diffusion,
)

from dllm_eval.stats.servers import Server, flags_of, servers
from dllm_eval.stats.tables import task_tables


def mercury(*, timed: bool = True, reported: bool = True) -> Placed:
    return replace(api_rows(("low",), timed=timed)[0], reported=reported)


def found_in(build: ServedFrames, edit: dict[str, Any] | None = None) -> tuple[Server, ...]:
    cells, requests, scores = build.frames
    (table,) = task_tables(cells, requests.assign(**(edit or {})), scores)
    return servers(table)


def built(*rows: Placed) -> ServedFrames:
    build = ServedFrames()
    for row in rows:
        build.add(row)
    return build


def paid(build: ServedFrames) -> None:
    """Of every answer the server wrote two tokens more than are visible."""
    for x in build.requests:
        x["canvas_tokens"] = x["visible_tokens"] + 2


def test_dollars_are_prompt_and_completion_times_the_prices() -> None:
    build = built(mercury())
    paid(build)
    (one,) = found_in(build)
    own = [x for x in build.requests if x["cell_id"].endswith("-quality")]
    each = [
        1000
        * (x["prompt_tokens"] * 0.25 + (x["canvas_tokens"] + x["reasoning_tokens"]) * 0.75)
        / 1e6
        for x in own
    ]
    assert one.usd == pytest.approx(sum(each) / len(each))
    half = student.ppf(0.975, len(each) - 1) * np.std(each, ddof=1) / math.sqrt(len(each))
    assert one.usd_interval.low == pytest.approx(one.usd - half)
    assert one.usd_interval.high == pytest.approx(one.usd + half)


def test_reasoning_that_is_not_counted_apart_is_in_the_visible_tokens() -> None:
    (one,) = found_in(built(mercury()), {"reasoning_tokens": math.nan})
    (with_reasoning,) = found_in(built(mercury()))
    assert one.usd == pytest.approx(with_reasoning.usd - 1000 * 40 * 0.75 / 1e6)
    assert math.isnan(one.reasoning_tokens)


def test_answers_that_were_cut_here_are_paid_as_they_were_written() -> None:
    """Where only the visible tokens are known they are taken."""
    build = built(mercury())
    for x in build.requests:
        x |= {"canvas_tokens": 20, "visible_tokens": None}
    (cut,) = found_in(build)
    assert cut.usd == pytest.approx(1000 * (9 * 0.25 + (20 + 40) * 0.75) / 1e6)
    assert math.isnan(cut.visible_tokens)
    for x in build.requests:
        x |= {"canvas_tokens": None, "visible_tokens": 10}
    (visible,) = found_in(build)
    assert visible.usd == pytest.approx(1000 * (9 * 0.25 + (10 + 40) * 0.75) / 1e6)


def test_no_dollars_without_prices_or_with_a_token_count_missing() -> None:
    build = built(mercury())
    for cell in build.cells:
        cell["provenance"] = {**cell["provenance"], "prices": None}
    (one,) = found_in(build)
    assert math.isnan(one.usd)
    assert one.origin.prices is None
    holes = built(mercury())
    holes.requests[3] |= {"canvas_tokens": None, "visible_tokens": None}
    (other,) = found_in(holes)
    assert math.isnan(other.usd)
    assert math.isnan(other.usd_interval.low)


def test_several_answers_of_a_document_are_one_cluster() -> None:
    build = built(mercury())
    paid(build)
    doubled = [{**x, "key": f"{x['key']}-again", "index": 1} for x in build.requests]
    build.requests += doubled
    single = built(mercury())
    paid(single)
    (twice,), (once,) = found_in(build), found_in(single)
    assert once.usd_interval.low < once.usd < once.usd_interval.high
    assert twice.answers == 2 * once.answers
    assert twice.usd_interval.high == pytest.approx(once.usd_interval.high)


def test_seconds_are_of_the_latency_cells_where_there_are_any() -> None:
    build = built(mercury())
    (one,) = found_in(build)
    timed = sorted(x["seconds"] for x in build.requests if x["cell_id"].endswith("-latency"))
    assert (one.timed, one.in_flight) == (len(timed), 1)
    assert one.answer_p50_s == pytest.approx((timed[14] + timed[15]) / 2)
    assert one.answer_p90_s == pytest.approx(timed[26] + 0.1 * (timed[27] - timed[26]))
    assert one.first_text_p50_s == pytest.approx(0.4 * 0.002)


def test_without_latency_cells_they_are_of_the_quality_cells_with_more_in_flight() -> None:
    (one,) = found_in(built(mercury(timed=False)))
    assert (one.timed, one.in_flight) == (60, 8)


def test_tries_flags_and_what_was_not_reported() -> None:
    (one,) = found_in(built(mercury(reported=False)))
    assert one.answers == 60
    assert one.tries == pytest.approx(1.1)
    assert one.flags == {"reasoning_limit": 3}
    assert one.not_reported == ("prompt_tokens", "visible_tokens", "nfe")
    assert one.origin.served_model == "mercury-2"
    assert one.origin.fingerprint == "fp_made_up"
    assert one.origin.host == "api.example.ai"


def test_a_served_model_that_changed_is_named_with_both_names() -> None:
    build = built(mercury())
    for cell in build.cells:
        cell["provenance"] = {**cell["provenance"], "served_model": ["a", "b"]}
    (one,) = found_in(build)
    assert one.origin.served_model == "a, b"


def test_only_what_a_server_answered_is_listed() -> None:
    rows = (*local_diffusion((4,)), *local_autoregressive((EAGER,)), mercury())
    found = found_in(built(*rows, *engine_autoregressive()))
    assert len(found) == 2
    engine = next(x for x in found if x.origin.engine)
    assert engine.origin.engine == "vllm 0.33.0"
    assert engine.flags == {}
    assert math.isnan(engine.usd)
    assert found_in(built(*local_diffusion((4,)))) == ()


def test_records_without_the_columns_of_servers_have_no_flags() -> None:
    assert flags_of(pd.DataFrame({"seconds": [1.0]})) == {}
