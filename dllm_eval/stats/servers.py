"""What servers said and took: tries, time to first text, time to answer, tokens, dollars, flags.

One entry per setting that an API or an engine answered, from its records and its provenance. What
a server does not report is NaN, never guessed. Called by the report.
"""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

from dllm_eval.stats.configuration import Configuration
from dllm_eval.stats.resample import UNKNOWN, Floats, Interval, t_interval
from dllm_eval.stats.tables import TaskTable

ANSWERS = 1000
"""Dollars are counted per so many."""


@dataclass(frozen=True, kw_only=True)
class Prices:
    """Dollars per million tokens."""

    input_usd_per_million: float
    output_usd_per_million: float
    source: str


@dataclass(frozen=True, kw_only=True)
class Origin:
    """Where a setting was answered; "" where it is not known."""

    host: str
    engine: str
    """With its version, of an engine."""
    stack: str
    """What ran the model, the route included."""
    served_model: str
    """What the server says has answered."""
    fingerprint: str
    prices: Prices | None


@dataclass(frozen=True, kw_only=True)
class Server:
    """One setting that a server answered, in one suite."""

    row: int
    """Of the suite's table."""
    origin: Origin
    answers: int
    """Of its quality cells: cost, tokens, tries and flags are of these."""
    tries: float
    """Per answer; NaN where it is not known."""
    timed: int
    """Answers that its seconds are of: those of latency cells, where there are any."""
    in_flight: int
    """At most, while these were timed."""
    first_text_p50_s: float
    """To the first visible text; of streamed answers, over those that had text."""
    first_text_p90_s: float
    answer_p50_s: float
    answer_p90_s: float
    visible_tokens: float
    """Per answer."""
    reasoning_tokens: float
    """Per answer."""
    usd: float
    """Per thousand answers; NaN without prices or without the tokens of every answer."""
    usd_interval: Interval
    """95 %, over documents."""
    flags: Mapping[str, int]
    """Flag -> answers that have it."""
    not_reported: tuple[str, ...]
    """Columns of records of which no answer has a number."""


REPORTED = ("prompt_tokens", "visible_tokens", "reasoning_tokens", "nfe", "first_text_s")
"""What servers may leave out and a reader may look for."""


def servers(table: TaskTable) -> tuple[Server, ...]:
    """The settings of a suite that a server answered, in the order of its rows."""
    return tuple(
        _server(table, i, x)
        for i, x in enumerate(table.configurations)
        if x.placement.served and not x.imported
    )


def flags_of(own: pd.DataFrame) -> dict[str, int]:
    """Flag -> how many requests have it; {} where none has one."""
    if "flag" not in own:
        return {}
    counts = own["flag"].dropna().astype(str).value_counts()
    return {str(name): int(count) for name, count in sorted(counts.items()) if str(name)}


def _server(table: TaskTable, row: int, x: Configuration) -> Server:
    own = table.requests_of(x.quality_cells)
    timed = table.requests_of(x.latency_cells) if x.latency_cells else own
    origin = _origin(x)
    first, seconds = _known(timed, "first_text_s"), _known(timed, "seconds")
    usd, interval = _dollars(own, origin.prices)
    return Server(
        row=row,
        origin=origin,
        answers=len(own),
        tries=_mean(own, "tries"),
        timed=len(timed),
        in_flight=int(timed["batch_size"].max()) if len(timed) else 0,
        first_text_p50_s=_quantile(first, 0.5),
        first_text_p90_s=_quantile(first, 0.9),
        answer_p50_s=_quantile(seconds, 0.5),
        answer_p90_s=_quantile(seconds, 0.9),
        visible_tokens=_mean(own, "visible_tokens"),
        reasoning_tokens=_mean(own, "reasoning_tokens"),
        usd=usd,
        usd_interval=interval,
        flags=flags_of(own),
        not_reported=tuple(name for name in REPORTED if not len(_known(own, name))),
    )


def _origin(x: Configuration) -> Origin:
    told: Mapping[str, Any] = x.provenance
    placed = told.get("placement") or {}
    prices = told.get("prices")
    return Origin(
        host=str(placed.get("host") or x.machine),
        engine=str(placed.get("engine") or ""),
        stack=x.stack,
        served_model=_text(told.get("served_model")),
        fingerprint=_text(told.get("fingerprint")),
        prices=Prices(**{key: prices[key] for key in Prices.__dataclass_fields__})
        if prices
        else None,
    )


def _text(told: object) -> str:
    """A word, or several of them where a server changed while it answered."""
    if isinstance(told, list | tuple):
        return ", ".join(str(one) for one in told)
    return str(told or "")


def _dollars(own: pd.DataFrame, prices: Prices | None) -> tuple[float, Interval]:
    """Per `ANSWERS` answers; reasoning is billed as completion, tries that failed as nothing.

    The interval is Student's t over documents, a document's answers one cluster.
    """
    if prices is None or not len(own):
        return math.nan, UNKNOWN
    prompt, wrote = _column(own, "prompt_tokens"), _column(own, "canvas_tokens")
    # A server's canvas is what it wrote, and is paid for, before the answer was cut here.
    wrote = np.where(np.isnan(wrote), _column(own, "visible_tokens"), wrote)
    # Where a server does not count reasoning apart, it is in what it wrote.
    paid = wrote + np.nan_to_num(_column(own, "reasoning_tokens"))
    each = prompt * prices.input_usd_per_million + paid * prices.output_usd_per_million
    each *= ANSWERS / 1e6
    if bool(np.isnan(each).any()):
        return math.nan, UNKNOWN
    documents = np.asarray(own.groupby(["task", "doc_id"], sort=True).ngroup(), dtype=np.int64)
    return float(each.mean()), t_interval(each, documents)


def _column(own: pd.DataFrame, name: str) -> Floats:
    if name not in own:
        return np.full(len(own), np.nan)
    return np.asarray(pd.to_numeric(own[name], errors="coerce").to_numpy(dtype=np.float64))


def _known(own: pd.DataFrame, name: str) -> Floats:
    values = _column(own, name)
    return np.asarray(values[~np.isnan(values)])


def _mean(own: pd.DataFrame, name: str) -> float:
    """Over all answers; NaN where one does not say."""
    values = _column(own, name)
    return float(values.mean()) if len(values) else math.nan


def _quantile(values: Floats, level: float) -> float:
    return float(np.quantile(values, level)) if len(values) else math.nan
