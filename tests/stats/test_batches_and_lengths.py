"""Throughput by batch size, latency by length, and where the lead changes, on small tables."""

import dataclasses
from collections.abc import Callable
from importlib import import_module
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from dllm_eval.stats.batching import BatchCurve, batch_curves, throughput_interval
from dllm_eval.stats.crossover import batch_crossovers, length_crossovers
from dllm_eval.stats.device_costs import device_costs
from dllm_eval.stats.lengths import length_curves
from dllm_eval.stats.tables import TaskTable

Records = list[dict[str, Any]]


def record(cell: str, key: int, size: int, seconds: float, visible: int) -> dict[str, Any]:
    return {
        "cell_id": cell,
        "key": f"k{key}",
        "task": "t",
        "doc_id": key,
        "index": 0,
        "request_type": "generate_until",
        "seconds": seconds,
        "visible_tokens": visible,
        "batch_size": size,
    }


@pytest.fixture
def made(monkeypatch: pytest.MonkeyPatch) -> Callable[..., TaskTable]:
    monkeypatch.syspath_prepend(str(Path(__file__).parents[2] / "benchmarks"))
    worlds = import_module("_worlds")

    def table(records: Records, **changes: Any) -> TaskTable:
        """A diffusion row with cells d1 and d4, an AR row with a1 and a4."""
        requests = pd.DataFrame(records)
        world = worlds.World(
            quality=(0.9, 0.9), latency_s=(1.0, 1.0), documents=20, requests=requests
        )
        found: TaskTable = world.table(np.random.default_rng(0))
        own = [
            dataclasses.replace(x, latency_cells=(f"{name}1",), batched_cells=(f"{name}4",))
            for x, name in zip(found.configurations, "da", strict=True)
        ]
        return dataclasses.replace(found, configurations=tuple(own), **changes)

    return table


def batches(cell: str, size: int, walls: list[float], visible: int) -> Records:
    """Full batches of these wall seconds; a share of its batch's time for every request."""
    return [
        record(cell, size * b + i, size, wall / size, visible)
        for b, wall in enumerate(walls)
        for i in range(size)
    ]


def test_throughput_is_tokens_over_the_batches_wall_seconds(
    made: Callable[..., TaskTable],
) -> None:
    records = [
        *batches("d1", 1, [1.0] * 8, 10),
        *batches("d4", 4, [2.0, 2.1], 10),
        *batches("a1", 1, [2.0] * 8, 10),
        *batches("a4", 4, [2.0, 2.2], 10),
        # The rest of a batch of four, which is no batch of four.
        *[record("d4", 8 + i, 2, 0.9, 10) for i in range(2)],
    ]
    diffusion, ar = batch_curves(made(records))
    assert [p.batch_size for p in diffusion.points] == [1, 4]
    assert diffusion.points[0].visible_tokens_per_s == pytest.approx(10.0)
    assert diffusion.points[1].visible_tokens_per_s == pytest.approx(80 / 4.1)
    assert diffusion.points[1].requests_per_s == pytest.approx(8 / 4.1)
    assert [p.num_requests for p in diffusion.points] == [8, 8]
    assert ar.points[1].visible_tokens_per_s == pytest.approx(80 / 4.2)
    assert ar.points[1].interval.low < 80 / 4.2 < ar.points[1].interval.high


def test_the_interval_is_a_jackknife_where_rounds_are_alike() -> None:
    generator = np.random.default_rng(7)
    frame = pd.DataFrame(
        {
            "round": "0",
            "batch": [str(i) for i in range(40)],
            "wall_s": generator.lognormal(0.0, 0.1, 40),
            "visible": generator.lognormal(4.0, 0.2, 40),
        }
    )
    found = throughput_interval(frame)
    rates = [
        np.log(frame["visible"].drop(i).sum() / frame["wall_s"].drop(i).sum()) for i in range(40)
    ]
    error = np.sqrt(39 / 40 * ((np.array(rates) - np.mean(rates)) ** 2).sum())
    assert np.log(found.high / found.low) == pytest.approx(2 * 2.0227 * error, rel=0.02)


def test_one_batch_in_one_round_has_no_interval() -> None:
    frame = pd.DataFrame({"round": ["0"], "batch": ["0"], "wall_s": [1.0], "visible": [9.0]})
    assert np.isnan(throughput_interval(frame).low)
    rounds = pd.concat([frame, frame.assign(round="1", wall_s=1.1)])
    assert throughput_interval(rounds).low < 18 / 2.1 < throughput_interval(rounds).high


def test_ar_overtakes_in_batches_at_matched_quality_alone(made: Callable[..., TaskTable]) -> None:
    records = [
        *batches("d1", 1, [1.0, 1.01] * 4, 10),
        *batches("d4", 4, [4.0, 4.1], 10),
        *batches("a1", 1, [2.0, 2.02] * 4, 10),
        *batches("a4", 4, [2.0, 2.02], 10),
    ]
    table = made(records)
    curves = batch_curves(table)
    (found,) = batch_crossovers(table, curves, np.array([0.9, 0.9]))
    assert (found.row, found.rival) == (0, 1)
    assert (found.at, found.ahead) == ((1.0, 4.0), (True, False))
    assert found.apart == (True, True)
    assert batch_crossovers(table, curves, np.array([0.88, 0.9])) == ()
    assert batch_crossovers(table, curves[:1], np.array([0.9, 0.9])) == ()


def test_without_batches_there_is_no_curve(made: Callable[..., TaskTable]) -> None:
    table = made([*batches("d1", 1, [1.0] * 8, 10), *batches("a1", 1, [1.0] * 8, 10)])
    found: tuple[BatchCurve, ...] = batch_curves(table)
    assert found == ()


def test_long_answers_are_where_ar_falls_behind(made: Callable[..., TaskTable]) -> None:
    lengths = [10, 20, 30, 40, 50] * 8
    records = [
        x
        for key, visible in enumerate(lengths)
        for x in (
            record("d1", key, 1, 0.30 + 0.001 * (key % 3), visible),
            record("a1", key, 1, 0.01 * visible + 0.001 * (key % 3), visible),
        )
    ]
    table = made(records)
    curves = length_curves(table, generator=np.random.default_rng(0), replicates=400)
    assert [[round(p.visible_tokens) for p in curve.points] for curve in curves] == [
        [10, 20, 30, 40, 50]
    ] * 2
    assert [p.num_requests for p in curves[0].points] == [8] * 5
    assert curves[1].points[0].latency_s == pytest.approx(0.101, abs=0.001)
    (found,) = length_crossovers(table, curves, np.array([0.9, 0.9]))
    assert found.ahead[:2] == (False, False)
    assert found.ahead[3:] == (True, True)
    assert found.at == (10.0, 20.0, 30.0, 40.0, 50.0)


def test_a_handful_of_answers_is_no_length(made: Callable[..., TaskTable]) -> None:
    records = [record("d1", key, 1, 0.1, 10 * key) for key in range(9)]
    assert length_curves(made(records), generator=np.random.default_rng(0)) == ()


def test_joules_are_mean_power_times_mean_seconds(made: Callable[..., TaskTable]) -> None:
    energy = {"joules": 300.0, "idle_watts": None, "source": "nvml", "seconds": 10.0}
    scope = "device, this cell"
    done = {
        "d1": {"energy": energy, "peak_memory_bytes": 7, "peak_memory_scope": scope},
        "a1": {
            "energy": None,
            "peak_memory_bytes": 9,
            "peak_memory_scope": "process, resident set since it started",
        },
    }
    table = made(batches("d1", 1, [1.0] * 8, 10), done=done)
    table = dataclasses.replace(table, latencies_s=(np.array([1.0, 3.0]), np.array([1.0])))
    found = device_costs(table, 0)
    assert found.joules == pytest.approx(60.0)
    assert found.peak_memory_bytes == 7
    unknown = device_costs(table, 1)
    assert np.isnan(unknown.joules)
    assert np.isnan(unknown.peak_memory_bytes)
