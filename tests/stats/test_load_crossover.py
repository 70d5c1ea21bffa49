"""From which load on AR is ahead: levels in common, matched quality, the best tier, one machine."""

import math
from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import pytest
from load_frames import Answered, Speed, add_load, arriving, closed_loop
from served_frames import (
    COMPILED,
    EAGER,
    Placed,
    ServedFrames,
    api_rows,
    engine_autoregressive,
    local_autoregressive,
    local_diffusion,
)

from dllm_eval.stats.analysis import analyse
from dllm_eval.stats.load_crossover import SuiteLoads, load_crossovers, suite_loads
from dllm_eval.stats.tables import task_tables

LEVELS = (1, 2, 4, 8)
FAST_ALONE = Speed(first_s=0.1, each_s=0.08)
GOOD_IN_BATCHES = Speed(first_s=0.3, each_s=0.003)


def loads_of(build: ServedFrames) -> SuiteLoads:
    cells, requests, scores = build.frames
    (found,) = suite_loads(
        [analyse(x) for x in task_tables(cells, requests, scores)], cells, requests
    )
    return found


def built(rows: Sequence[Placed]) -> ServedFrames:
    build = ServedFrames()
    for row in rows:
        build.add(row)
    return build


def closed(build: ServedFrames, row: Placed, speed: Speed, levels: Sequence[int] = LEVELS) -> None:
    draw = np.random.default_rng(3)
    for level in levels:
        ran = closed_loop(speed, level, 96, draw)
        add_load(build, row, ran, in_flight=level, visible_tokens=10)


def matched() -> tuple[Placed, Placed]:
    """A diffusion setting as good as AR, and AR."""
    return local_diffusion((8,))[0], local_autoregressive((EAGER,))[0]


def test_ar_is_ahead_from_the_load_at_which_its_batches_pay() -> None:
    own, rival = matched()
    build = built((own, rival))
    closed(build, own, FAST_ALONE)
    closed(build, rival, GOOD_IN_BATCHES)
    loads = loads_of(build)
    (found,) = loads.crossovers
    assert found.axis == "in_flight"
    assert [x.at for x in found.levels] == [1, 2, 4, 8]
    # Tokens per second of batches of n: 10 n over the batch's seconds.
    for level in found.levels:
        n = int(level.at)
        for point, speed in ((level.own, FAST_ALONE), (level.rival, GOOD_IN_BATCHES)):
            assert point.visible_tokens_per_s == pytest.approx(10 * n / speed.batch_s(n), rel=0.05)
    assert [x.lead for x in found.levels] == ["ahead", "ahead", "behind", "behind"]
    assert found.behind_from == 4
    assert found.first
    own_curve = next(x for x in loads.curves if x is found.curve)
    assert loads.lead(own_curve, own_curve.closed[2]) is found.levels[2]


def test_equally_fast_ones_are_not_separable() -> None:
    own, rival = matched()
    build = built((own, rival))
    closed(build, own, FAST_ALONE)
    closed(build, rival, replace(FAST_ALONE, first_s=0.1003))
    (found,) = loads_of(build).crossovers
    assert {x.lead for x in found.levels} == {"open"}
    assert found.behind_from is None


def test_only_levels_that_both_were_run_at_count() -> None:
    own, rival = matched()
    build = built((own, rival))
    closed(build, own, FAST_ALONE, (1, 2, 4))
    closed(build, rival, GOOD_IN_BATCHES, (2, 4, 16))
    (found,) = loads_of(build).crossovers
    assert [x.at for x in found.levels] == [2, 4]


def test_no_level_in_common_is_no_crossover() -> None:
    own, rival = matched()
    build = built((own, rival))
    closed(build, own, FAST_ALONE, (1,))
    closed(build, rival, GOOD_IN_BATCHES, (2,))
    loads = loads_of(build)
    assert not loads.crossovers
    assert len(loads.curves) == 2


def test_worse_settings_are_not_compared() -> None:
    worse, rival = local_diffusion((2,))[0], local_autoregressive((EAGER,))[0]
    build = built((worse, rival))
    closed(build, worse, FAST_ALONE)
    closed(build, rival, GOOD_IN_BATCHES)
    assert not loads_of(build).crossovers


def test_a_fast_ar_model_that_scores_worse_is_no_rival() -> None:
    own, rival = matched()
    poor = replace(rival, model="Poor AR", quality=0.4)
    build = built((own, rival, poor))
    closed(build, own, FAST_ALONE)
    closed(build, rival, GOOD_IN_BATCHES)
    closed(build, poor, Speed(first_s=0.001, each_s=0.0001))
    loads = loads_of(build)
    (found,) = loads.crossovers
    names = {loads.analysis.rows[x.rival_curve.row].configuration.model for x in found.levels}
    assert names == {rival.model}


def test_the_best_tier_of_each_load_is_the_rival() -> None:
    own = local_diffusion((8,))[0]
    eager, compiled = local_autoregressive((EAGER, COMPILED))
    engine = engine_autoregressive()[0]
    engine = replace(engine, reported=True)
    build = built((own, eager, compiled, engine))
    closed(build, own, FAST_ALONE)
    closed(build, eager, Speed(first_s=0.4, each_s=0.05))
    closed(build, compiled, Speed(first_s=0.2, each_s=0.1))
    closed(build, engine, Speed(first_s=0.25, each_s=0.01))
    (found,) = loads_of(build).crossovers
    tiers = [x.rival_curve.tier for x in found.levels]
    assert tiers == ["compiled, static cache", *["vllm, default flags"] * 3]


def test_servers_not_started_here_are_compared_with_nothing() -> None:
    own, rival = matched()
    api = replace(api_rows(("high",))[0], reported=True, quality=0.9)
    attached = replace(engine_autoregressive(started_here=False)[0], reported=True)
    build = built((own, rival, api, attached))
    for row in (own, api, attached):
        closed(build, row, FAST_ALONE)
    loads = loads_of(build)
    assert len(loads.curves) == 3
    assert not loads.crossovers
    assert loads.machines[0] == "laptop"


def test_an_unsaturated_model_is_ahead_of_a_saturated_one() -> None:
    own, rival = matched()
    build = built((own, rival))
    draw = np.random.default_rng(4)
    slow = [Answered(offered_s=i / 2, answered_s=1.0 * i + 1, batch=1) for i in range(60)]
    add_load(build, own, slow, arrivals_per_s=2.0)
    add_load(build, rival, arriving(GOOD_IN_BATCHES, 2.0, 60, draw), arrivals_per_s=2.0)
    (found,) = loads_of(build).crossovers
    assert found.axis == "arrivals"
    assert found.levels[0].own.saturated
    assert not found.levels[0].rival.saturated
    assert found.levels[0].lead == "behind"
    assert found.behind_from == 2.0


def test_rows_timed_on_a_busy_machine_claim_nothing() -> None:
    own, rival = matched()
    build = built((own, rival))
    closed(build, own, FAST_ALONE)
    closed(build, rival, GOOD_IN_BATCHES)
    loads = loads_of(build)
    for i in range(2):
        rows = [replace(row, busy=j == i) for j, row in enumerate(loads.analysis.rows)]
        busy = replace(loads.analysis, rows=tuple(rows))
        assert not load_crossovers(busy, loads.curves)
    assert load_crossovers(loads.analysis, loads.curves)


def test_long_runs_separate_waits() -> None:
    own, rival = matched()
    build = built((own, rival))
    draw = np.random.default_rng(5)
    fast = arriving(Speed(first_s=0.02, each_s=0.001), 2.0, 400, draw)
    add_load(build, own, fast, arrivals_per_s=2.0)
    add_load(build, rival, arriving(GOOD_IN_BATCHES, 2.0, 400, draw), arrivals_per_s=2.0)
    (found,) = loads_of(build).crossovers
    (level,) = found.levels
    assert math.isfinite(level.own.p90_interval.high)
    assert level.lead == "ahead"


def test_tokens_that_are_not_reported_are_not_compared() -> None:
    own, rival = matched()
    silent = replace(own, reported=False)
    build = built((silent, rival))
    closed(build, silent, FAST_ALONE)
    closed(build, rival, GOOD_IN_BATCHES)
    loads = loads_of(build)
    assert not loads.crossovers
    diffusion = next(x for x in loads.curves if x.placement.kind == "local" and not x.tier)
    assert math.isnan(diffusion.closed[0].visible_tokens_per_s)
    assert diffusion.closed[0].requests_per_s == pytest.approx(10.0, rel=0.05)


def test_without_cells_under_load_there_is_nothing() -> None:
    build = built(matched())
    cells, requests, scores = build.frames
    analyses = [analyse(x) for x in task_tables(cells, requests, scores)]
    assert suite_loads(analyses, cells, requests) == ()
    old = cells.drop(columns=["load_in_flight", "load_arrivals_per_s"])
    assert suite_loads(analyses, old, requests) == ()


def test_a_cell_that_is_not_finished_does_not_count() -> None:
    own, rival = matched()
    build = built((own, rival))
    closed(build, own, FAST_ALONE, (1, 2))
    build.cells[-1]["finished"] = False
    assert [x.in_flight for x in loads_of(build).curves[0].closed] == [1]


def test_load_cells_do_not_change_what_is_said_of_the_suite() -> None:
    own, rival = matched()
    without = built((own, rival))
    build = built((own, rival))
    closed(build, own, FAST_ALONE)
    closed(build, rival, GOOD_IN_BATCHES)
    before, after = (task_tables(*x.frames)[0] for x in (without, build))
    told = [[repr(x) for x in table.configurations] for table in (before, after)]
    assert told[0] == told[1]
    assert len(after.requests) == len(before.requests)
