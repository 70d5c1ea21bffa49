"""Matched-quality speed-up: how much sooner a quality is reached than by the AR model.

No interpolation between settings and no extrapolation: a quality that no setting reaches is "not
reached". Pure arrays; called by `analysis.py`.
"""

from dataclasses import dataclass

import numpy as np

from dllm_eval.stats.resample import UNKNOWN, Floats, Interval

POINT = 0.01
"""One percentage point of a metric between 0 and 1."""


@dataclass(frozen=True, kw_only=True)
class MatchedSpeedup:
    """t_AR(q) / t_dLLM(q) at q = best AR quality - 1 point."""

    quality_floor: float
    autoregressive_s: float
    diffusion_s: float
    """NaN where no setting reaches the floor."""
    ratio: float
    """Above 1 the diffusion model is faster; NaN where not reached."""
    interval: Interval
    """95 % bootstrap; a bound of 0 says that the floor may well not be reached at all. Unknown
    where a point was timed on fewer than two requests."""
    reached_share: float
    """Share of replicates in which the floor is reached; NaN where the interval is unknown."""

    @property
    def reached(self) -> bool:
        """Whether some setting that was run reaches the floor."""
        return bool(np.isfinite(self.ratio))


def least_latency(latency_s: Floats, quality: Floats, floor: Floats) -> Floats:
    """Least seconds among points with at least this quality: (..., points), (...) -> (...).

    inf where no point reaches it.
    """
    reached = (quality >= floor[..., None]) & ~np.isnan(latency_s)
    least: Floats = np.where(reached, latency_s, np.inf).min(axis=-1, initial=np.inf)
    return least


def _ratios(
    latency_s: Floats, quality: Floats, picked: list[int], rival: list[int]
) -> tuple[Floats, Floats, Floats, Floats]:
    """Floor, AR seconds, diffusion seconds and their ratio; the lists choose the points."""
    floor = quality[..., rival].max(axis=-1) - POINT
    # A tolerance far below any quality difference: 1 - 0.01 is not quite 0.99 in floating point.
    slack = floor - 1e-9
    slow = least_latency(latency_s[..., rival], quality[..., rival], slack)
    fast = least_latency(latency_s[..., picked], quality[..., picked], slack)
    return floor, slow, fast, slow / fast


def matched_speedup(
    *,
    latency_s: Floats,
    quality: Floats,
    latency_replicates: Floats,
    quality_replicates: Floats,
    diffusion: list[int],
    autoregressive: list[int],
) -> MatchedSpeedup:
    """The speed-up of one diffusion model, with the floor itself resampled.

    Args:
        latency_s: (points,) p50 seconds.
        quality: (points,).
        latency_replicates: (replicates, points).
        quality_replicates: (replicates, points), paired over documents.
        diffusion: Points of the diffusion model.
        autoregressive: Points of AR models, at least one.
    """
    floor, slow, fast, ratio = _ratios(latency_s, quality, diffusion, autoregressive)
    used = latency_replicates[:, [*diffusion, *autoregressive]]
    interval, share = UNKNOWN, float("nan")
    if not bool(np.isnan(used).any()):
        # Order statistics: a replicate that is not reached sorts as 0 and is averaged with none.
        *_, ratios = _ratios(latency_replicates, quality_replicates, diffusion, autoregressive)
        low, high = np.quantile(ratios, [0.025, 0.975], method="nearest")
        interval = Interval(low=float(low), high=float(high))
        share = float((ratios > 0).mean())  # slow / inf is 0
    is_reached = bool(np.isfinite(fast))
    return MatchedSpeedup(
        quality_floor=float(floor),
        autoregressive_s=float(slow),
        diffusion_s=float(fast) if is_reached else float("nan"),
        ratio=float(ratio) if is_reached else float("nan"),
        interval=interval,
        reached_share=share,
    )
