"""How far ELBOs lie below log p, as far as the same forwards can tell.

Reads the bounds that records carry beside their values; knows no estimator. Called by
`analysis.py`.
"""

from dataclasses import dataclass

import numpy as np
import pandas as pd


@dataclass(frozen=True, kw_only=True)
class Looseness:
    """Means over a row's ELBOs, in nats each, documents alike; NaN where one has no finite bound.

    Each is an estimate with a standard error over documents, which holds the spread between
    documents and the Monte-Carlo noise of both numbers.
    """

    at_least: float
    """A tighter lower bound of log p less the ELBO."""
    at_least_stderr: float
    at_most: float
    """An estimate of an upper bound of log p less the ELBO."""
    at_most_stderr: float


def looseness(requests: pd.DataFrame) -> Looseness:
    """That of one setting's records, which may lack the columns."""
    own = requests.reindex(
        columns=["task", "doc_id", "quantity", "value", "importance_bound", "upper_bound"]
    )
    # Sums over windows or blocks join what their parts are.
    with_elbo = [x for x in own["quantity"].dropna().unique() if "elbo" in str(x).split("+")]
    elbos = own[own["quantity"].isin(with_elbo)]
    at_least, at_least_stderr = _gap(elbos, "importance_bound")
    at_most, at_most_stderr = _gap(elbos, "upper_bound")
    return Looseness(
        at_least=at_least,
        at_least_stderr=at_least_stderr,
        at_most=at_most,
        at_most_stderr=at_most_stderr,
    )


def _gap(elbos: pd.DataFrame, bound: str) -> tuple[float, float]:
    gaps = pd.to_numeric(elbos[bound], errors="coerce") - pd.to_numeric(elbos["value"])
    if gaps.empty or not bool(np.isfinite(gaps).all()):
        return np.nan, np.nan
    # The choices of one document share random numbers, documents do not.
    of_documents = gaps.groupby([elbos["task"], elbos["doc_id"]]).mean()
    return float(of_documents.mean()), float(of_documents.std(ddof=1) / np.sqrt(len(of_documents)))
