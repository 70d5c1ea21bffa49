"""Hypervolume in (log latency, quality): one number for a whole frontier.

It moves with its reference point, so the point travels with the number and only relative
comparisons mean anything. Pure arrays; called by `analysis.py`.
"""

from dataclasses import dataclass

import numpy as np

from dllm_eval.stats.resample import Floats


@dataclass(frozen=True, kw_only=True)
class ReferencePoint:
    """The worst corner: points slower or worse than it add nothing."""

    latency_s: float
    quality: float


def hypervolume(latency_s: Floats, quality: Floats, reference: ReferencePoint) -> Floats:
    """Area between the frontier and the reference point, in nats of latency times quality.

    Args:
        latency_s: (..., points) seconds.
        quality: (..., points).
        reference: Where the area ends.

    Returns:
        (...) areas; 0 where no point beats the reference in both.
    """
    known = ~(np.isnan(latency_s) | np.isnan(quality))
    inside = known & (latency_s < reference.latency_s) & (quality > reference.quality)
    edge = np.log(reference.latency_s)
    start = np.where(inside, np.log(np.where(inside, latency_s, 1.0)), edge)
    gain = np.where(inside, quality - reference.quality, 0.0)
    order = np.argsort(start, axis=-1, kind="stable")
    start = np.take_along_axis(start, order, axis=-1)
    best = np.maximum.accumulate(np.take_along_axis(gain, order, axis=-1), axis=-1)
    ends = np.concatenate([start[..., 1:], np.full((*start.shape[:-1], 1), edge)], axis=-1)
    area: Floats = ((ends - start) * best).sum(axis=-1)
    return area
