"""Hypervolume against counting the cells of a fine grid, and against moocore."""

import moocore
import numpy as np
import pytest

from dllm_eval.stats.hypervolume import ReferencePoint, hypervolume


def counted(latency: np.ndarray, quality: np.ndarray, reference: ReferencePoint) -> float:
    steps = 500
    start = np.log(latency[~np.isnan(latency)].min()) - 0.01
    edge = np.log(reference.latency_s)
    if start >= edge:
        return 0.0
    xs = start + (np.arange(steps) + 0.5) * (edge - start) / steps
    ys = reference.quality + (np.arange(steps) + 0.5) * (1.0 - reference.quality) / steps
    covered = np.zeros((steps, steps), dtype=bool)
    for t, q in zip(latency, quality, strict=True):
        if not (np.isnan(t) or np.isnan(q)):
            covered |= (xs[:, None] >= np.log(t)) & (ys[None, :] <= q)
    return float(covered.mean() * (edge - start) * (1.0 - reference.quality))


@pytest.mark.parametrize("seed", range(12))
def test_agrees_with_counting(seed: int) -> None:
    generator = np.random.default_rng(seed)
    latency = generator.lognormal(size=7)
    quality = generator.random(7)
    quality[0] = quality[1]
    if seed % 3 == 0:
        latency[2] = np.nan
    reference = ReferencePoint(latency_s=2.0, quality=0.25)
    assert float(hypervolume(latency, quality, reference)) == pytest.approx(
        counted(latency, quality, reference), abs=0.02
    )


def test_points_worse_than_the_reference_add_nothing() -> None:
    reference = ReferencePoint(latency_s=1.0, quality=0.5)
    slow_and_bad = np.array([2.0, 0.5]), np.array([0.9, 0.4])
    assert float(hypervolume(*slow_and_bad, reference)) == 0.0


def test_one_point_is_a_rectangle() -> None:
    reference = ReferencePoint(latency_s=np.e, quality=0.0)
    assert float(hypervolume(np.array([1.0]), np.array([0.8]), reference)) == pytest.approx(0.8)


def test_replicates_are_rows() -> None:
    generator = np.random.default_rng(9)
    latency, quality = generator.lognormal(size=(5, 4)), generator.random((5, 4))
    reference = ReferencePoint(latency_s=3.0, quality=0.1)
    together = hypervolume(latency, quality, reference)
    alone = [float(hypervolume(latency[r], quality[r], reference)) for r in range(5)]
    assert together.tolist() == pytest.approx(alone)


@pytest.mark.parametrize("seed", range(10))
def test_agrees_with_moocore(seed: int) -> None:
    generator = np.random.default_rng(seed)
    latency, quality = generator.lognormal(size=12), generator.random(12)
    reference = ReferencePoint(latency_s=2.5, quality=0.2)
    known = moocore.hypervolume(
        np.column_stack([np.log(latency), -quality]), ref=[np.log(2.5), -0.2]
    )
    assert float(hypervolume(latency, quality, reference)) == pytest.approx(known)
