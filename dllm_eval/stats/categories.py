"""A suite's score by category: its groups, its subjects, and both ways of putting them together.

A document's category is a path, the widest first: "stem/astronomy" is the subject astronomy of the
group stem. A group's score is the mean over its documents, so that a large subject counts for more,
as lm-eval weighs its mmlu groups (`aggregate_metric_list`, `weight_by_size: true`). Arrays; called
by `report/category_table.py` and `protocol_scores.py`.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from dllm_eval.stats.clusters import Clusters
from dllm_eval.stats.resample import (
    REPLICATES,
    Flags,
    Floats,
    Interval,
    quality_interval,
    resampled_means,
)
from dllm_eval.stats.score_index import ScoreIndex
from dllm_eval.stats.tables import TaskTable


@dataclass(frozen=True, kw_only=True)
class CategoryScore:
    """One setting's score of the documents of one category."""

    quality: float
    interval: Interval
    num_documents: int


@dataclass(frozen=True, kw_only=True)
class CategoryRow:
    """One setting."""

    row: int
    """Its number in the suite's table."""
    whole: CategoryScore
    """Of all documents that have a category, by size."""
    mean_of_subjects: float
    """Every subject counting the same."""
    groups: Mapping[str, CategoryScore]
    subjects: Mapping[str, CategoryScore]
    """By full path."""


@dataclass(frozen=True, kw_only=True)
class CategoryTable:
    """One suite."""

    groups: tuple[str, ...]
    subjects: tuple[str, ...]
    """Full paths; the groups where there is nothing below them."""
    rows: tuple[CategoryRow, ...]


def category_table(
    table: TaskTable, index: ScoreIndex, rows: Sequence[int], *, seed: int = 0
) -> CategoryTable | None:
    """The suite's settings by category; None where no document has one.

    Args:
        table: The suite.
        index: Of all scores.
        rows: The settings that are asked for.
        seed: Of the resamples, which scores outside 0 to 1 need.
    """
    paths = paths_of(table, index)
    subjects = sorted({path for path in paths if path})
    if not subjects:
        return None
    of_group = np.array([path.partition("/")[0] for path in paths])
    of_subject, known = np.array(paths), np.array([bool(path) for path in paths])
    groups = sorted({path.partition("/")[0] for path in subjects})
    generator = np.random.default_rng(seed)

    def scored(i: int, where: Flags) -> CategoryScore:
        clusters = None if table.clusters is None else table.clusters[where]
        return score_of(table.quality[i][where], clusters, generator)

    found = []
    for i in rows:
        own = {path: scored(i, of_subject == path) for path in subjects}
        qualities = [x.quality for x in own.values() if x.num_documents]
        found.append(
            CategoryRow(
                row=i,
                whole=scored(i, known),
                mean_of_subjects=float(np.mean(qualities)) if qualities else float("nan"),
                groups={name: scored(i, known & (of_group == name)) for name in groups},
                subjects=own,
            )
        )
    return CategoryTable(groups=tuple(groups), subjects=tuple(subjects), rows=tuple(found))


def paths_of(table: TaskTable, index: ScoreIndex) -> list[str]:
    """(documents,) the category of each of the table's documents, "" without one."""
    if not index.has("category"):
        return [""] * len(table.documents)
    cells = [cell for x in table.configurations for cell in x.quality_cells]
    scores = index.rows(cells, table.metric, [table.filter])
    known = scores[scores["category"].notna()].drop_duplicates(["task", "doc_id"])
    rows = zip(known["task"], known["doc_id"], known["category"], strict=True)
    paths = {(str(task), int(doc)): str(path) for task, doc, path in rows}
    return [paths.get(doc, "") for doc in table.documents]


def score_of(
    values: Floats, clusters: Clusters | None, generator: np.random.Generator
) -> CategoryScore:
    """The mean score of some documents and its 95 % interval.

    Args:
        values: (documents,) NaN where not scored.
        clusters: (documents,) or None.
        generator: Of the resamples, which scores outside 0 to 1 need.
    """
    seen = ~np.isnan(values)
    known = values[seen]
    if clusters is not None:
        clusters = np.unique(clusters[seen], return_inverse=True)[1].astype(np.int64)
    # Wilson's interval needs no resamples, and a suite may have a hundred subjects.
    shares = bool(((known >= 0.0) & (known <= 1.0)).all())
    drawn = np.empty(0)
    if not shares:
        drawn = resampled_means(
            known[None], replicates=REPLICATES, generator=generator, clusters=clusters
        )[:, 0]
    return CategoryScore(
        quality=float(known.mean()) if len(known) else float("nan"),
        interval=quality_interval(known, drawn, clusters),
        num_documents=len(known),
    )
