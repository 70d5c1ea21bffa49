"""One leaderboard row's numbers, typed.

Plain data, filled in by `analysis.py`, read by everything in `report/`. Prompt tokens appear
nowhere in it.
"""

from collections.abc import Sequence
from dataclasses import asdict, dataclass

import pandas as pd

from dllm_eval.stats.bounds import Kind
from dllm_eval.stats.compare import Comparison
from dllm_eval.stats.costs import Costs
from dllm_eval.stats.looseness import Looseness
from dllm_eval.stats.noise import Noise
from dllm_eval.stats.resample import Interval
from dllm_eval.stats.scale import SHARE, Scale
from dllm_eval.stats.tables import Configuration


@dataclass(frozen=True, kw_only=True)
class Row:
    """One setting of one model in one suite. NaN where something was not measured."""

    configuration: Configuration
    num_documents: int
    quality: float
    quality_interval: Interval
    """95 %, over documents, of the scores of the seeds that were run."""
    above_chance: bool
    """Whether that interval lies above the suite's chance level by more than a point."""
    noise: Noise
    looseness: Looseness
    num_timed: int
    """Timed questions or requests."""
    latency_s: float
    """p50 seconds per question or request, one at a time; `costs.unit` says which."""
    latency_interval: Interval
    """95 %, over what was timed; unknown for fewer than two of it, and for two rounds."""
    busy: bool
    """Its seconds were measured while the machine was busy: nothing is claimed from them."""
    on_frontier: bool
    """It is clearly above chance, and no setting of any series on this machine and stack beats
    it."""
    on_own_frontier: bool
    """No setting of the same series on this machine and stack beats it."""
    p_frontier: float
    """Share of bootstrap replicates in which it is above chance and on the frontier, among the rows
    whose seconds have a known spread and come from an idle machine; NaN for the others, and for
    one that is alone."""
    costs: Costs
    comparison: Comparison | None
    """With the best AR row; None at AR rows and where there is no AR row."""
    peak_memory_bytes: float = float("nan")
    """Most memory in use while it was timed; NaN where only the peak since the process began is
    known, which holds earlier settings too."""
    joules: float = float("nan")
    """Per question or request at batch size 1: mean power while it was timed, idle power
    included, times its mean seconds."""
    on_energy_frontier: bool = False
    """It is clearly above chance, and no setting of this machine and stack beats it in joules and
    quality."""
    on_memory_frontier: bool = False
    """The same of peak memory."""
    likelihood: Kind | None = None
    """Of a metric that is a function of log p: whether its values are exact or bounds."""
    scale: Scale = SHARE
    """What `quality` and its interval are of the metric's own numbers; more is better in them."""


def as_frame(rows: Sequence[Row]) -> pd.DataFrame:
    """One line per row, intervals and nested parts spread over columns.

    Quality is in the metric's own numbers, differences of it are as `Row.scale` has them.
    """
    return pd.DataFrame([_flat(row) for row in rows])


def _flat(row: Row) -> dict[str, object]:
    x = row.configuration
    own = row.scale.bounds(row.quality_interval)
    out: dict[str, object] = {
        "config_id": x.config_id,
        "model": x.model,
        "series": x.series,
        "kind": x.kind,
        "dial": x.dial,
        "dial_value": x.dial_value,
        "machine": x.machine,
        "stack": x.stack,
        "num_documents": row.num_documents,
        "quality": row.scale.value(row.quality),
        "quality_low": own.low,
        "quality_high": own.high,
        **({} if row.likelihood is None else {"likelihood": row.likelihood}),
        "score_stderr": row.noise.score,
        "monte_carlo_stderr": row.noise.monte_carlo,
        "document_stderr": row.noise.documents,
        "changed_answers": row.noise.changed_answers,
        "num_timed": row.num_timed,
        "latency_s": row.latency_s,
        "latency_low_s": row.latency_interval.low,
        "latency_high_s": row.latency_interval.high,
        "machine_busy": row.busy,
        "above_chance": row.above_chance,
        "on_frontier": row.on_frontier,
        "p_frontier": row.p_frontier,
        "peak_memory_bytes": row.peak_memory_bytes,
        "joules": row.joules,
        "on_energy_frontier": row.on_energy_frontier,
        "on_memory_frontier": row.on_memory_frontier,
        **asdict(row.costs),
        **{f"elbo_loose_{name}": value for name, value in asdict(row.looseness).items()},
    }
    if row.comparison is not None:
        out |= _flat_comparison(row.comparison)
    return out


def _flat_comparison(comparison: Comparison) -> dict[str, object]:
    return {
        "difference": comparison.difference,
        "difference_low": comparison.difference_interval.low,
        "difference_high": comparison.difference_interval.high,
        "latency_ratio": comparison.latency_ratio,
        "latency_ratio_low": comparison.latency_ratio_interval.low,
        "latency_ratio_high": comparison.latency_ratio_interval.high,
        "mcnemar_p": comparison.mcnemar_p,
        "verdict": comparison.verdict,
    }
