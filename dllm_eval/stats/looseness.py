"""How far ELBOs lie below log p, as far as the same forwards can tell.

Reads the bounds that records carry beside their values; knows no estimator. Called by
`analysis.py`.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd

from dllm_eval.stats.clusters import Clusters, cluster_stderr
from dllm_eval.stats.documents import Document


@dataclass(frozen=True, kw_only=True)
class Looseness:
    """Means over a row's ELBOs, in nats each, documents alike; NaN where one has no finite bound.

    Each is an estimate with a standard error over documents, or over clusters of them, which holds
    the spread between documents and the Monte-Carlo noise of both numbers. NaN of fewer than two.
    """

    at_least: float
    """A tighter lower bound of log p less the ELBO."""
    at_least_stderr: float
    at_most: float
    """An estimate of an upper bound of log p less the ELBO."""
    at_most_stderr: float


def looseness(
    requests: pd.DataFrame,
    *,
    documents: Sequence[Document] = (),
    clusters: Clusters | None = None,
) -> Looseness:
    """That of one setting's records, which may lack the columns.

    Args:
        requests: The records.
        documents: Task and doc_id of each entry of `clusters`.
        clusters: (documents,) of documents that are not independent; None where all are.
    """
    own = requests.reindex(
        columns=["task", "doc_id", "quantity", "value", "importance_bound", "upper_bound"]
    )
    # Sums over windows or blocks join what their parts are.
    with_elbo = [x for x in own["quantity"].dropna().unique() if "elbo" in str(x).split("+")]
    elbos = own[own["quantity"].isin(with_elbo)]
    of = {} if clusters is None else dict(zip(documents, clusters.tolist(), strict=True))
    at_least, at_least_stderr = _gap(elbos, "importance_bound", of)
    at_most, at_most_stderr = _gap(elbos, "upper_bound", of)
    return Looseness(
        at_least=at_least,
        at_least_stderr=at_least_stderr,
        at_most=at_most,
        at_most_stderr=at_most_stderr,
    )


def _gap(elbos: pd.DataFrame, bound: str, of: Mapping[Document, int]) -> tuple[float, float]:
    """Mean and standard error; documents that no cluster names stand for themselves."""
    gaps = pd.to_numeric(elbos[bound], errors="coerce") - pd.to_numeric(elbos["value"])
    if gaps.empty or not bool(np.isfinite(gaps).all()):
        return np.nan, np.nan
    # The choices of one document share random numbers, documents do not.
    means = gaps.groupby([elbos["task"], elbos["doc_id"]]).mean()
    named = [("", of[x]) if (x := (str(task), int(doc))) in of else x for task, doc in means.index]
    codes, _ = pd.factorize(pd.Series(named, dtype=object))
    stderr, _ = cluster_stderr(means.to_numpy(dtype=np.float64), codes.astype(np.int64))
    return float(means.mean()), stderr
