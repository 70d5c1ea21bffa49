"""Where the diffusion lead ends beside several AR tiers: the best of them at each place."""

import math

import pandas as pd
import pytest
from served_frames import (
    COMPILED,
    EAGER,
    LOOKUP,
    Placed,
    ServedFrames,
    local_autoregressive,
    local_diffusion,
)

from dllm_eval.report.advantage import batch_sentences
from dllm_eval.stats.analysis import TaskAnalysis, analyse
from dllm_eval.stats.tables import task_tables

SIZES = (1, 4, 16)
SHARE = {LOOKUP: (0.16, 0.15, 0.14), COMPILED: (0.24, 0.08, 0.03), EAGER: (0.40, 0.20, 0.12)}
DIFFUSION = (0.12, 0.10, 0.09)
"""Seconds of a request at each batch size, its share of the batch: speculation helps one alone."""


def batched(*, told: bool) -> TaskAnalysis:
    rows = [local_diffusion((4,))[0], *local_autoregressive((EAGER, COMPILED, LOOKUP), told=told)]
    build = ServedFrames(documents=64, timed=64)
    for row in rows:
        build.add(row)
    cells, requests, scores = build.frames
    timed = cells[cells["purpose"] == "latency"]
    kept_cells = [cells[cells["purpose"] == "quality"]]
    kept = [requests[requests["cell_id"].isin(kept_cells[0]["cell_id"])]]
    for row, (_, cell) in zip(rows, timed.iterrows(), strict=True):
        own = requests[requests["cell_id"] == cell["cell_id"]]
        for place, size in enumerate(SIZES):
            name = f"{cell['cell_id']}-{size}"
            kept_cells.append(pd.DataFrame([{**cell, "cell_id": name, "batch_size": size}]))
            # A batch's requests have the same share, and batches differ a little.
            share = seconds(row)[place] * (1 + 0.01 * (own["doc_id"] // size))
            kept.append(own.assign(cell_id=name, batch_size=size, seconds=share))
    frames = pd.concat(kept_cells), pd.concat(kept), scores
    (table,) = task_tables(*frames)
    return analyse(table, replicates=200)


def seconds(row: Placed) -> tuple[float, ...]:
    """Told by its seconds at batch size 1, as old records name no tier."""
    return next((own for own in SHARE.values() if own[0] == row.seconds), DIFFUSION)


def test_the_rival_at_each_size_is_the_best_tier_there() -> None:
    analysis = batched(told=True)
    (found,) = analysis.batch_crossovers
    assert found.at == tuple(float(size) for size in SIZES)
    best = [min((own[i], tier) for tier, own in SHARE.items())[1] for i in range(len(SIZES))]
    tiers = [analysis.rows[i].configuration.tier for i in found.rivals]
    assert tiers == best == [LOOKUP, COMPILED, COMPILED]
    # Less time for the same tokens is more tokens per second.
    expected = [DIFFUSION[i] < SHARE[best[i]][i] for i in range(len(SIZES))]
    assert list(found.ahead) == expected == [True, False, False]


def test_the_sentence_names_the_tiers() -> None:
    (said,) = batch_sentences(batched(told=True))
    assert said.endswith(f"(the best AR row at each place: {LOOKUP}; {COMPILED}).")
    assert "up to batch size 1; from 4 on AR is ahead" in said


def test_without_tiers_one_row_is_the_rival_throughout() -> None:
    analysis = batched(told=False)
    (found,) = analysis.batch_crossovers
    assert len(set(found.rivals)) == 1
    assert found.rival == found.rivals[0]
    (said,) = batch_sentences(analysis)
    assert "AR row" not in said


@pytest.mark.parametrize("place", [0, 1, 2])
def test_throughput_is_of_the_shares(place: int) -> None:
    analysis = batched(told=True)
    kinds = {c.row: analysis.rows[c.row].configuration.kind for c in analysis.batches}
    (curve,) = [c for c in analysis.batches if kinds[c.row] == "diffusion"]
    size = SIZES[place]
    visible = [6 + doc % 9 for doc in range(64)]
    spent = [DIFFUSION[place] * (1 + 0.01 * (doc // size)) for doc in range(64)]
    assert curve.points[place].visible_tokens_per_s == pytest.approx(sum(visible) / sum(spent))
    assert math.isfinite(curve.points[place].interval.low)
