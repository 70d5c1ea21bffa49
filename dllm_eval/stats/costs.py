"""What each setting costs besides seconds: tokens, forwards, positions, and its estimator.

Means over a setting's records; no resampling. Called by `analysis.py`. Prompt tokens are in no
field. What a server does not report of an answer is NaN here, never 0.
"""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import pandas as pd

from dllm_eval.stats.tables import Configuration
from dllm_eval.stats.units import Unit, mean_per_unit

USED = [
    "index",
    "visible_tokens",
    "canvas_tokens",
    "nfe",
    "positions",
    "seconds",
    "stderr",
    "estimator",
    "quantity",
    "infill",
    "infill_length",
]
"""The columns read here."""


@dataclass(frozen=True, kw_only=True)
class Costs:
    """Means per unit over the quality cells; speeds over the batch-1 latency cells."""

    unit: Unit
    visible_tokens: float
    canvas_tokens: float
    nfe: float
    """Forward passes; of a likelihood, the canvases scored. One that several choices of a question
    share was evaluated and is counted once."""
    positions: float
    visible_tokens_per_s: float
    """Sum of visible tokens over sum of seconds; NaN where latency was not measured or the tokens
    are not reported."""
    forward_s: float
    """Seconds per forward; NaN where latency was not measured or forwards are not reported, and for
    likelihood requests, whose canvases share forwards."""
    estimator: str
    """Of likelihood requests, else ""."""
    quantity: str
    """Of likelihood requests, the names of `api.Quantity` that occur, else ""."""
    value_stderr: float
    """Mean Monte-Carlo standard error of a request's value, in nats; NaN for generation, and where
    one is unknown."""
    request: str
    """How gaps were put to the model, for example "native, oracle length"; "" without gaps."""


def costs(configuration: Configuration, by_cell: Mapping[str, pd.DataFrame], unit: Unit) -> Costs:
    """The costs of one configuration, from its suite's requests by cell."""
    own = _together(configuration.quality_cells, by_cell)
    timed = _together(configuration.latency_cells, by_cell)
    seconds, forwards = float(timed["seconds"].sum()), float(timed["nfe"].sum(skipna=False))
    visible = float(timed["visible_tokens"].sum(skipna=False))
    estimator = _names(own["estimator"])
    scored = own[own["estimator"].notna()]
    return Costs(
        unit=unit,
        visible_tokens=mean_per_unit(own, "visible_tokens", unit),
        canvas_tokens=mean_per_unit(own, "canvas_tokens", unit),
        nfe=mean_per_unit(own, "nfe", unit),
        positions=mean_per_unit(own, "positions", unit),
        visible_tokens_per_s=visible / seconds if seconds else np.nan,
        forward_s=seconds / forwards if forwards and not estimator else np.nan,
        estimator=estimator,
        quantity=_names(own["quantity"]),
        value_stderr=_known_mean(pd.to_numeric(scored["stderr"], errors="coerce")),
        request=_requests(own),
    )


def _together(cells: tuple[str, ...], by_cell: Mapping[str, pd.DataFrame]) -> pd.DataFrame:
    found = [by_cell[cell] for cell in cells if cell in by_cell]
    return pd.concat(found) if found else pd.DataFrame(columns=USED)


def _known_mean(column: "pd.Series[float]") -> float:
    """The mean, unknown where one value is: infinite for a single Monte-Carlo sample."""
    values = column.to_numpy(dtype=np.float64)
    return float(values.mean()) if len(values) and bool(np.isfinite(values).all()) else np.nan


_INFILL = {"fim": "FIM", "prefix_only": "prefix alone"}


def _requests(own: pd.DataFrame) -> str:
    gaps = own[own["infill"].notna()]
    pairs = {(str(a), str(b)) for a, b in zip(gaps["infill"], gaps["infill_length"], strict=True)}
    return " + ".join(sorted({_INFILL.get(kind) or _native(length) for kind, length in pairs}))


def _native(length: str) -> str:
    policy, _, count = length.partition(":")
    if policy == "fixed":
        return f"native, {count} token{'' if count == '1' else 's'}"
    return f"native, {'model-chosen' if policy == 'model' else policy} length"


def _names(column: "pd.Series[str]") -> str:
    return " + ".join(sorted({name for x in column.dropna() for name in str(x).split("+")}))
