"""From the three data frames of a results folder to one table per suite.

Knows the columns of cells, requests and scores; computes no statistic. Called by `analysis.py`
and, through it, by `report/`.
"""

from collections.abc import Hashable, Iterable, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from dllm_eval.errors import UsageError
from dllm_eval.stats.by_cell import CellRows, split_by_cell, together
from dllm_eval.stats.configuration import Configuration as Configuration
from dllm_eval.stats.configuration import configurations_of
from dllm_eval.stats.configuration import place as place
from dllm_eval.stats.documents import Document as Document
from dllm_eval.stats.documents import clusters_of, quality_of
from dllm_eval.stats.length_kinds import by_kind, cell_kinds, in_words
from dllm_eval.stats.protocols import Protocol, protocols_of
from dllm_eval.stats.resample import Floats
from dllm_eval.stats.scale import SHARE, Scale, scale_of
from dllm_eval.stats.texts import FrameTexts, Texts
from dllm_eval.stats.units import Unit, per_round, per_unit, unit_of


@dataclass(frozen=True, kw_only=True, eq=False)
class TaskTable:
    """Every finished setting of one suite, on one grid of documents."""

    task: str
    suite: str
    """The title; the protocol stands in it where it is not the task's own, and the kind of length
    policy where the suite was infilled under several."""
    protocol: str
    """How the documents were put to the models, for example "5-shot, no chat template"."""
    metric: str
    filter: str
    chance: float
    """A quality; minus infinity where there is none."""
    configurations: tuple[Configuration, ...]
    documents: tuple[Document, ...]
    quality: Floats
    """(configurations, documents), more is better (`scale`), NaN where a document was not
    scored."""
    unit: Unit
    latencies_s: tuple[Floats, ...]
    """Seconds of each timed question or request, one array per configuration, maybe empty.

    A question's seconds are the sum over its choices, which are scored together and so never are
    two samples. Runs of one unit under several seeds or in several rounds are one sample, their
    median.
    """
    requests: pd.DataFrame
    """The suite's finished requests, all cells; those of one cell by `requests_of`."""
    texts: Texts
    """The whole records of the few requests that are shown."""
    gold: Mapping[Document, int]
    """Which choice is right, of the documents whose scores say so."""
    rounds_s: tuple[Floats, ...] = ()
    """(units, rounds) seconds behind `latencies_s`, one column per latency cell, in the order of
    `latency_cells`; NaN where a cell did not time a unit. One array per configuration."""
    done: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    """Cell id -> what stands in its done.json: peak memory, energy."""
    length_policy: str = ""
    """The kind of length policy of its diffusion models: "oracle", "fixed", "model"; "" where
    nothing was infilled."""
    apart: str = ""
    """`length_policy` where the suite was infilled under several, which share no table; else ""."""
    rules: tuple[str, ...] = ()
    """The filters of lm-eval under which the metric was scored, in lm-eval's order."""
    protocols: tuple[Protocol, ...] = ()
    """What decided each configuration's score."""
    ended: pd.DataFrame | None = None
    """`cell_id`, `task`, `doc_id` and `verdict` of the programs that did not pass; None where no
    program was run."""
    clusters: NDArray[np.int64] | None = None
    """(documents,) number of the cluster that each document is of, one of its own where it stands
    for itself; None where no document has a cluster."""
    scale: Scale = SHARE
    """What the qualities are of the metric's own numbers."""

    @property
    def whole_suite(self) -> str:
        """The title without the length policy that tells the suite's tables apart."""
        return self.suite.removesuffix(f", {in_words(self.apart)}") if self.apart else self.suite

    @cached_property
    def by_cell(self) -> dict[str, pd.DataFrame]:
        """Cell id -> its requests; cells without any are not in it."""
        return split_by_cell(self.requests)

    def requests_of(self, cells: Iterable[str]) -> pd.DataFrame:
        """The requests of these cells."""
        return together(self.by_cell, cells, self.requests)


def task_tables(
    cells: pd.DataFrame,
    requests: pd.DataFrame,
    scores: pd.DataFrame,
    texts: Texts | None = None,
) -> list[TaskTable]:
    """One table per task, metric, filter, protocol and kind of length policy; sorted by task.

    Each has a finished, scored quality cell.

    Args:
        cells: One row per cell; unfinished ones are left out. Without `num_fewshot` and
            `apply_chat_template`, the protocol is the task's own.
        requests: One row per request, with `cell_id`.
        scores: One row per document, metric and filter, with `cell_id`.
        texts: Of the requests; None where their frame has every column.

    Raises:
        UsageError: If two of the folders hold a cell of the same id, or nothing is finished.
    """
    _refuse_duplicates(cells)
    done = cells[cells["finished"].astype(bool)] if len(cells) else cells
    tables = []
    judged = done[done["purpose"] == "quality"]
    judged = judged.assign(protocol=[_protocol(row) for row in judged.to_dict("records")])
    identity = ["task", "metric", "filter", "protocol"]
    of_requests, of_scores = CellRows(requests), CellRows(scores)
    kinds = cell_kinds(judged, requests)
    for (task, metric, kind, _), quality in judged.groupby(identity, sort=True):
        own = of_scores.of(quality["cell_id"])
        own = own[own["metric"] == metric]
        rules = tuple(str(name) for name in own["filter"].unique())
        own = own[own["filter"] == kind]
        scored = quality[quality["cell_id"].isin(own["cell_id"].unique())]
        policies = by_kind(scored, kinds) if len(scored) else []
        for policy, part in policies:
            # Latency cells need no scores, so their filter may be unknown: the setting joins them.
            timed = done[(done["purpose"] == "latency") & done["config_id"].isin(part["config_id"])]
            ran = pd.concat([part, timed])
            asked = of_requests.of(ran["cell_id"])
            found = _Found(
                scores=own if len(policies) == 1 else own[own["cell_id"].isin(part["cell_id"])],
                requests=asked,
                done=_done(ran),
                texts=texts or FrameTexts(requests),
                length_policy=policy,
                apart=policy if len(policies) > 1 else "",
                rules=rules,
            )
            tables.append(_table(str(task), part, configurations_of(ran, asked), found))
    if not tables:
        raise UsageError(
            f"nothing to report: none of {len(cells)} cells is finished and scored; "
            "run `dllm-eval sweep` to the end of at least one quality cell"
        )
    return tables


OWN_PROTOCOL = "the task's own shots, no chat template"


def _protocol(cell: Mapping[Hashable, Any]) -> str:
    shots = cell.get("num_fewshot")
    asked = "the task's own shots" if pd.isna(shots) else f"{int(shots)}-shot"
    template = f"{'' if cell.get('apply_chat_template') else 'no '}chat template"
    # What an imported run was put to differently; such cells stay apart.
    variant = str(cell.get("variant") or "")
    return ", ".join(part for part in (asked, template, variant) if part)


def _title(suite: str, protocol: str, apart: str) -> str:
    asked = suite if protocol == OWN_PROTOCOL else f"{suite} ({protocol})"
    return f"{asked}, {in_words(apart)}" if apart else asked


def _refuse_duplicates(cells: pd.DataFrame) -> None:
    twice = cells[cells.duplicated("cell_id", keep=False)] if len(cells) else cells
    if len(twice):
        first = twice["cell_id"].iloc[0]
        folders = ", ".join(str(f) for f in twice[twice["cell_id"] == first]["folder"])
        raise UsageError(f"cell {first} is in several folders ({folders}); report one of them")


@dataclass(frozen=True, kw_only=True, eq=False)
class _Found:
    """What the cells of one suite left behind."""

    scores: pd.DataFrame
    requests: pd.DataFrame
    done: Mapping[str, Mapping[str, Any]]
    texts: Texts
    length_policy: str
    apart: str
    rules: tuple[str, ...]


def _table(
    task: str, part: pd.DataFrame, configurations: tuple[Configuration, ...], found: _Found
) -> TaskTable:
    own = part[part["kind"] != "autoregressive"]
    first = (own if len(own) else part).iloc[0]
    metric = str(first["metric"])
    scale = scale_of(metric, lower_is_better=_says_lower(part))
    documents, quality = quality_of(configurations, found.scores, scale)
    unit = unit_of(found.requests)
    by_cell = split_by_cell(found.requests)
    timed = [together(by_cell, x.latency_cells, found.requests) for x in configurations]
    rounds = zip(configurations, timed, strict=True)
    return TaskTable(
        task=task,
        suite=_title(str(first["suite"]), str(first["protocol"]), found.apart),
        protocol=str(first["protocol"]),
        metric=metric,
        filter=str(first["filter"]),
        chance=scale.floor(float(first["chance"])),
        configurations=configurations,
        documents=documents,
        quality=quality,
        unit=unit,
        latencies_s=tuple(per_unit(own, "seconds", unit) for own in timed),
        requests=found.requests,
        texts=found.texts,
        gold=_gold(found.scores),
        rounds_s=tuple(per_round(own, "seconds", unit, x.latency_cells) for x, own in rounds),
        done=found.done,
        length_policy=found.length_policy,
        apart=found.apart,
        rules=found.rules,
        protocols=protocols_of(part, configurations, by_cell, found.scores),
        ended=_ended(found.scores),
        clusters=clusters_of(found.scores, documents),
        scale=scale,
    )


def _says_lower(cells: pd.DataFrame) -> bool:
    return "lower_is_better" in cells and bool((cells["lower_is_better"] == True).any())  # noqa: E712


def _ended(scores: pd.DataFrame) -> pd.DataFrame | None:
    if "verdict" not in scores or not bool(scores["verdict"].notna().any()):
        return None
    wrong = scores["verdict"].notna() & (scores["value"] < 1.0)
    return scores.loc[wrong, ["cell_id", "task", "doc_id", "verdict"]]


def _done(cells: pd.DataFrame) -> dict[str, Mapping[str, Any]]:
    told = cells["done"] if "done" in cells else pd.Series([{}] * len(cells), index=cells.index)
    pairs = zip(cells["cell_id"], told, strict=True)
    return {str(cell): x if isinstance(x, dict) else {} for cell, x in pairs}


def _gold(scores: pd.DataFrame) -> dict[Document, int]:
    if "gold" not in scores:
        return {}
    known = scores[scores["gold"].notna()].drop_duplicates(["task", "doc_id"], keep="last")
    rows = zip(known["task"], known["doc_id"], known["gold"], strict=True)
    return {(str(name), int(number)): int(choice) for name, number, choice in rows}
