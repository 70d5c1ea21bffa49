"""The documents of a suite, their qualities under every setting, and which belong together.

Knows the columns of scores; computes no statistic. Called by `tables.py`.
"""

from collections.abc import Sequence

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from dllm_eval.stats.by_cell import split_by_cell, together
from dllm_eval.stats.configuration import Configuration
from dllm_eval.stats.resample import Floats
from dllm_eval.stats.scale import Scale, weighted

Document = tuple[str, int]
"""Task and doc_id: the tasks of a group number their documents alike."""


def quality_of(
    configurations: Sequence[Configuration], scores: pd.DataFrame, scale: Scale
) -> tuple[tuple[Document, ...], Floats]:
    """The documents that were scored, and (configurations, documents) their mean over seeds.

    Where documents have weights, numbers whose plain mean is the weighted one.
    """
    grid = scores[["task", "doc_id"]].drop_duplicates().sort_values(["task", "doc_id"])
    rows = zip(grid["task"], grid["doc_id"], strict=True)
    documents = tuple((str(name), int(number)) for name, number in rows)
    placed = scores.assign(document=scores.groupby(["task", "doc_id"], sort=True).ngroup())
    by_cell = split_by_cell(placed)
    weights = _weights(placed, len(documents))
    quality = np.full((len(configurations), len(documents)), np.nan)
    for i, configuration in enumerate(configurations):
        own = together(by_cell, configuration.quality_cells, placed)
        own = own[own["value"].notna()]
        at = own["document"].to_numpy(dtype=np.int64)
        values = scale.quality(own["value"].to_numpy(dtype=np.float64))
        total = np.bincount(at, values, len(documents))
        count = np.bincount(at, minlength=len(documents))
        np.divide(total, count, out=quality[i], where=count > 0)
        if weights is not None:
            quality[i] = weighted(quality[i], weights)
    return documents, quality


def _weights(placed: pd.DataFrame, count: int) -> Floats | None:
    """(documents,) what each weighs; None where all weigh the same."""
    if "weight" not in placed or not bool(placed["weight"].notna().any()):
        return None
    out = np.ones(count)
    known = placed[placed["weight"].notna()]
    out[known["document"].to_numpy(dtype=np.int64)] = known["weight"].to_numpy(dtype=np.float64)
    return out


def clusters_of(scores: pd.DataFrame, documents: Sequence[Document]) -> NDArray[np.int64] | None:
    """(documents,) the number of each one's cluster, see `TaskTable.clusters`."""
    if "cluster" not in scores or not bool(scores["cluster"].notna().any()):
        return None
    known = scores[scores["cluster"].notna()].drop_duplicates(["task", "doc_id"])
    rows = zip(known["task"], known["doc_id"], known["cluster"], strict=True)
    names = {(str(task), int(number)): ("", str(name)) for task, number, name in rows}
    codes, _ = pd.factorize(pd.Series([names.get(doc, doc) for doc in documents], dtype=object))
    return codes.astype(np.int64)
