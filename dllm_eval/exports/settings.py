"""One model under one setting: what goes into one leaderboard file or one model card.

Puts together the suites of a report that were run with the same settings and protocol on the same
machine. Means and their standard errors only. Called by `leaderboard.py` and `model_card.py`.
"""

import hashlib
import json
import re
from collections import defaultdict
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import PurePath
from typing import Any

import numpy as np

from dllm_eval.stats.bounds import Kind, kind_of
from dllm_eval.stats.clusters import cluster_stderr
from dllm_eval.stats.contention import busy_rows
from dllm_eval.stats.tables import Configuration, TaskTable, task_tables
from dllm_eval.sweep.store import Results


@dataclass(frozen=True, kw_only=True)
class Score:
    """One suite's score, and what a request cost there."""

    task: str
    suite: str
    metric: str
    filter: str
    value: float
    """The mean over documents."""
    stderr: float
    """Of that mean, over documents; NaN for fewer than two."""
    num_documents: int
    version: str
    latency_s: float
    """p50 of requests, or questions, one at a time; NaN where it was not measured."""
    busy: bool
    """Whether the machine was busy meanwhile, so that nothing may be claimed of the seconds."""
    unit: str
    """What the latency is of: a question or a request."""
    likelihood: Kind | None
    """Of a metric that is a function of log p: whether its values are exact or bounds."""
    request_type: str
    """What the model was asked for: lm-eval's request type; "" where records do not say."""
    facts: Mapping[str, str]
    """How it was asked and judged: keys of `stats.protocols.FIELDS`."""

    @property
    def metric_name(self) -> str:
        """The metric, and behind it the filter where it is not lm-eval's plain one."""
        return self.metric if self.filter == "none" else f"{self.metric},{self.filter}"


@dataclass(frozen=True, kw_only=True)
class ModelSetting:
    """A model, how it decoded, where it ran, and its scores."""

    model: str
    """Display name."""
    checkpoint: str
    """A hub id, or the last part of a local path; the display name where none is known."""
    revision: str
    weights: str
    dtype: str
    kind: str
    settings: Mapping[str, Any]
    protocol: str
    machine: str
    stack: str
    placement: str
    """"local", "engine" or "api": seconds compare within one machine and stack alone."""
    tier: str
    """How hard the stack was driven; "" where nobody said."""
    scores: tuple[Score, ...]

    @property
    def file_name(self) -> str:
        """A name that tells settings apart and is fit for any disk, without an ending."""
        told = [self.model, *(f"{k}={v}" for k, v in sorted(self.settings.items()))]
        text = " ".join([*told, self.protocol, self.machine, self.stack])
        return f"{plain(self.model)}_{_short_hash(text)}"


def plain(name: str) -> str:
    """A name without what some disks do not take."""
    return re.sub(r"[^\w.-]+", "_", name).strip("_")


def model_settings(results: Results) -> list[ModelSetting]:
    """Every model and setting with a finished score, by name.

    Raises:
        UsageError: Nothing is finished.
    """
    found: dict[tuple[str, ...], list[tuple[TaskTable, int]]] = defaultdict(list)
    seen: set[tuple[str, ...]] = set()
    for table in task_tables(results.cells, results.requests, results.scores, results.texts):
        for i, x in enumerate(table.configurations):
            # An AR model stands in the table of every length policy, and is one score.
            one = (table.task, table.metric, table.filter, table.protocol, x.config_id, x.group)
            if one in seen:
                continue
            seen.add(one)
            settings = json.dumps(x.settings, sort_keys=True, default=str)
            found[x.model, settings, table.protocol, x.machine, x.stack].append((table, i))
    return [_setting(places) for _, places in sorted(found.items())]


def _setting(places: list[tuple[TaskTable, int]]) -> ModelSetting:
    table, i = places[0]
    x = table.configurations[i]
    told = x.provenance.get("model") or {}
    arguments = told.get("arguments") or {}
    return ModelSetting(
        model=x.model,
        checkpoint=_checkpoint(arguments.get("pretrained"), x.model),
        revision=str(arguments.get("revision") or ""),
        weights=str(x.provenance.get("weights") or ""),
        dtype=str(x.provenance.get("dtype") or ""),
        kind=x.kind,
        settings=x.settings,
        protocol=table.protocol,
        machine=x.machine,
        stack=x.stack,
        placement=x.placement.kind,
        tier=x.tier,
        scores=tuple(_score(table, i) for table, i in places),
    )


def _checkpoint(pretrained: object, model: str) -> str:
    """Hub ids have at most one slash; anything else is a path of some machine."""
    if not isinstance(pretrained, str) or not pretrained:
        return model
    is_id = re.fullmatch(r"[\w.-]+(/[\w.-]+)?", pretrained) and pretrained[0] not in "./"
    return pretrained if is_id else PurePath(pretrained).name


def _score(table: TaskTable, i: int) -> Score:
    known = table.quality[i][~np.isnan(table.quality[i])]
    mean = float(known.mean()) if len(known) else float("nan")
    seconds, own = table.latencies_s[i], table.configurations[i]
    asked = table.requests_of(own.quality_cells)["request_type"]
    spread = known.std(ddof=1) / np.sqrt(len(known)) if len(known) > 1 else np.nan
    if table.clusters is not None:
        spread = cluster_stderr(table.quality[i], table.clusters)[0]
    autoregressive = own.kind == "autoregressive"
    return Score(
        task=table.task,
        suite=table.whole_suite if autoregressive else table.suite,
        metric=table.metric,
        filter=table.filter,
        value=table.scale.value(mean),
        stderr=table.scale.value_stderr(mean, float(spread)),
        num_documents=len(known),
        version=_version(own),
        latency_s=float(np.median(seconds)) if len(seconds) else float("nan"),
        busy=i in busy_rows(table),
        unit=table.unit,
        likelihood=kind_of(table, i) if table.scale.of_likelihood else None,
        request_type=str(asked.iloc[0]) if len(asked) else "",
        facts=dict(table.protocols[i].values) if table.protocols else {},
    )


def _version(configuration: Configuration) -> str:
    """The versions of its tasks; "" where nobody wrote them down."""
    facts = configuration.provenance.get("tasks") or {}
    return ", ".join(sorted({str(x["version"]) for x in facts.values() if x.get("version")}))


def _short_hash(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()[:8]
