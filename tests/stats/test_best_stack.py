"""Stacks of one machine side by side, and nothing else: against medians taken in plain loops."""

from collections.abc import Sequence
from dataclasses import replace
from statistics import median

import numpy as np
import pandas as pd
import pytest
from served_frames import (
    API,
    COMPILED,
    EAGER,
    LAPTOP,
    LOOKUP,
    STATIC,
    VLLM_STACK,
    Placed,
    api_rows,
    engine_autoregressive,
    engine_diffusion,
    everything,
    local_autoregressive,
    local_diffusion,
    served_frames,
)

from dllm_eval.stats.analysis import TaskAnalysis, analyse
from dllm_eval.stats.tables import task_tables

Frames = tuple[pd.DataFrame, pd.DataFrame, pd.DataFrame]


def analysed(frames: Frames) -> TaskAnalysis:
    (table,) = task_tables(*frames)
    return analyse(table, replicates=400)


def slow_medians(frames: Frames, machine: str) -> list[tuple[str, str, float, float]]:
    """(kind, stack, quality, p50 seconds) of every setting that the machine itself ran."""
    cells, requests, scores = (x.to_dict("records") for x in frames)
    out = []
    for timed in cells:
        started = timed["provenance"]["placement"].get("started_here", True)
        if timed["purpose"] != "latency" or timed["machine"] != machine or not started:
            continue
        judged = [
            c["cell_id"]
            for c in cells
            if c["config_id"] == timed["config_id"] and c["purpose"] == "quality"
        ]
        values = [s["value"] for s in scores if s["cell_id"] in judged]
        seconds = [r["seconds"] for r in requests if r["cell_id"] == timed["cell_id"]]
        out.append((timed["kind"], timed["stack"], sum(values) / len(values), median(seconds)))
    return out


def slow_speedup(frames: Frames, machine: str, stack: str | None = None) -> float:
    """Seconds of the soonest AR row that reaches the floor over those of the soonest dLLM row."""
    found = [x for x in slow_medians(frames, machine) if stack in (None, x[1])]
    floor = max(q for kind, _, q, _ in found if kind == "autoregressive") - 0.01 - 1e-9
    reach = {
        kind: min(s for k, _, q, s in found if k == kind and q >= floor)
        for kind in ("autoregressive", "diffusion")
    }
    return reach["autoregressive"] / reach["diffusion"]


def test_the_best_stack_takes_every_model_where_it_is_soonest() -> None:
    frames = served_frames(everything())
    analysis = analysed(frames)
    (found,) = analysis.best_stacks
    (speedup,) = found.group.speedups.values()
    assert found.group.machine == LAPTOP
    assert speedup.ratio == pytest.approx(slow_speedup(frames, LAPTOP))
    assert speedup.interval.low < speedup.ratio < speedup.interval.high
    # Seconds are spread by 5 % at most: so is their ratio, twice over.
    assert speedup.interval.high / speedup.interval.low < 1.1**2


def test_the_matched_stack_stays_beside_it() -> None:
    frames = served_frames(everything())
    analysis = analysed(frames)
    local = next(g for g in analysis.groups if g.stack.startswith("transformers"))
    (speedup,) = local.speedups.values()
    assert speedup.ratio == pytest.approx(slow_speedup(frames, LAPTOP, local.stack))
    (best,) = analysis.best_stacks[0].group.speedups.values()
    assert best.ratio < 1 < speedup.ratio  # the engine turns the claim round


def test_no_api_and_no_server_that_was_there_has_a_part() -> None:
    attached = engine_autoregressive(started_here=False)
    here = [*local_diffusion(), *local_autoregressive(), *engine_diffusion()]
    alone = analysed(served_frames(here))
    analysis = analysed(served_frames([*here, *attached, *api_rows()]))
    (found,) = analysis.best_stacks
    machines = {analysis.rows[i].configuration.machine for i in found.group.members}
    kinds = {analysis.rows[i].configuration.placement.kind for i in found.group.members}
    assert machines == {LAPTOP}
    assert kinds == {"local", "engine"}
    assert len(found.group.members) == len(alone.best_stacks[0].group.members)


def test_a_server_under_the_machines_own_name_is_still_none_of_its_stacks() -> None:
    attached = [replace(x, machine=LAPTOP) for x in engine_autoregressive(started_here=False)]
    rows = [*local_diffusion(), *local_autoregressive(), *attached]
    assert analysed(served_frames(rows)).best_stacks == ()


@pytest.mark.parametrize(
    "rows",
    [
        [*local_diffusion(), *local_autoregressive()],
        [*local_diffusion(), *engine_diffusion()],
        [*local_autoregressive(), *engine_autoregressive()],
        [*local_diffusion(), *api_rows()],
    ],
    ids=["one stack", "no AR", "no diffusion", "an API"],
)
def test_there_is_none_without_several_stacks_and_both_kinds(rows: Sequence[Placed]) -> None:
    assert analysed(served_frames(rows)).best_stacks == ()


def test_imported_rows_are_no_stack_of_the_machine() -> None:
    cells, requests, scores = served_frames(
        [*local_diffusion(), *local_autoregressive(), *engine_autoregressive()]
    )
    cells = cells.assign(imported=cells["stack"] == VLLM_STACK, placement="local")
    assert analysed((cells, requests, scores)).best_stacks == ()


def test_every_diffusion_row_is_held_against_the_machines_best_ar_row() -> None:
    frames = served_frames(everything())
    analysis = analysed(frames)
    (found,) = analysis.best_stacks
    fastest = min(s for k, _, _, s in slow_medians(frames, LAPTOP) if k == "autoregressive")
    rows = [analysis.rows[i] for i in found.comparisons]
    assert {row.configuration.kind for row in rows} == {"diffusion"}
    assert len(rows) == 5
    for i, compared in found.comparisons.items():
        row, rival = analysis.rows[i], analysis.rows[compared.rival]
        assert rival.configuration.stack == VLLM_STACK
        assert compared.latency_ratio == pytest.approx(fastest / row.latency_s)
        assert compared.difference == pytest.approx(row.quality - rival.quality)


def test_the_suite_seen_on_best_stacks_keeps_the_other_rows() -> None:
    analysis = analysed(served_frames(everything()))
    (found,) = analysis.best_stacks
    seen = analysis.on_best_stack(found)
    for i, (before, after) in enumerate(zip(analysis.rows, seen.rows, strict=True)):
        if i not in found.comparisons:
            assert after.quality == before.quality
            assert i in found.group.members or after is before
        else:
            assert after.comparison is found.comparisons[i]
    assert [group.place for group in seen.groups] == [found.group.place]


def test_seconds_never_compare_with_those_of_an_api() -> None:
    analysis = analysed(served_frames(everything()))
    far = [row for row in analysis.rows if row.configuration.machine == API]
    assert len(far) == 4
    for row in far:
        assert row.comparison is not None
        assert np.isnan(row.comparison.latency_ratio)
        assert np.isnan(row.comparison.latency_ratio_interval.low)
        assert "faster" not in row.comparison.verdict
        assert "slower" not in row.comparison.verdict
        assert row.comparison.difference == pytest.approx(row.quality - 0.9)
    (group,) = [g for g in analysis.groups if g.machine == API]
    assert group.speedups == {}
    assert group.reference is None
    # Absurdly fast rows of the API leave the frontier of the laptop as it was.
    without = analysed(served_frames([x for x in everything() if x.placement != "api"]))
    on_it = [
        {
            (r.configuration.series, r.configuration.dial_value)
            for r in a.rows
            if r.on_frontier and r.configuration.machine == LAPTOP
        }
        for a in (analysis, without)
    ]
    assert str(sorted(on_it[0], key=str)) == str(sorted(on_it[1], key=str))


def test_groups_come_in_process_first_then_engines_then_apis() -> None:
    analysis = analysed(served_frames(everything()))
    first = [analysis.rows[g.members[0]].configuration.placement.kind for g in analysis.groups]
    assert first == ["local", "engine", "engine", "api"]


def test_the_best_tier_is_the_fastest_that_scores_within_a_point() -> None:
    # 200 documents: one more right is half a point, and must not bring the slow tier in.
    tiers = local_autoregressive((EAGER, STATIC, COMPILED, LOOKUP))
    lucky = [replace(x, quality=0.905 if x.tier == EAGER else 0.9) for x in tiers]
    analysis = analysed(served_frames([*local_diffusion(), *lucky], documents=200))
    held = {
        analysis.rows[r.comparison.rival].configuration.tier for r in analysis.rows if r.comparison
    }
    assert held == {LOOKUP}
    worse = [replace(x, quality=0.9 if x.tier != LOOKUP else 0.88) for x in tiers]
    analysis = analysed(served_frames([*local_diffusion(), *worse], documents=200))
    held = {
        analysis.rows[r.comparison.rival].configuration.tier for r in analysis.rows if r.comparison
    }
    assert held == {COMPILED}


def test_rows_without_a_tier_are_chosen_as_before_by_quality_first() -> None:
    told = local_autoregressive((EAGER, LOOKUP), told=False)
    lucky = [replace(x, quality=0.905 if x.seconds > 0.3 else 0.9) for x in told]
    analysis = analysed(served_frames([*local_diffusion(), *lucky], documents=200))
    held = {analysis.rows[r.comparison.rival].latency_s for r in analysis.rows if r.comparison}
    assert held == {max(r.latency_s for r in analysis.rows if r.comparison is None)}


def test_the_frontier_of_all_stacks_is_that_of_no_row_beaten() -> None:
    analysis = analysed(served_frames(everything()))
    (found,) = analysis.best_stacks
    rows = {i: analysis.rows[i] for i in found.group.members}
    expected = {
        i
        for i, row in rows.items()
        if not any(
            other.quality >= row.quality
            and other.latency_s <= row.latency_s
            and (other.quality, other.latency_s) != (row.quality, row.latency_s)
            for other in rows.values()
        )
    }
    assert found.frontier == expected
    seen = analysis.on_best_stack(found)
    assert {i for i in rows if seen.rows[i].on_frontier} == expected
    # On its own stack the fastest local AR row is beaten by no engine.
    kinds = {seen.rows[i].configuration.placement.kind for i in expected}
    assert kinds == {"local", "engine"}


def test_curves_of_all_stacks_have_every_timed_row_of_the_machine_once() -> None:
    analysis = analysed(served_frames(everything()))
    (found,) = analysis.best_stacks
    drawn = [i for curve in found.group.curves for i in curve.members]
    assert sorted(drawn) == sorted(found.group.members)
