"""How loose an ELBO is said to be, from records with bounds beside it, and without."""

import numpy as np
import pandas as pd
import pytest
from quiz import Floats, Quiz, frames

from dllm_eval.stats.looseness import looseness

DOCUMENTS = 12


@pytest.fixture(scope="module")
def gaps() -> Floats:
    """(documents, choices) nats between the ELBO and the tighter bound."""
    return np.random.default_rng(0).gamma(2.0, size=(DOCUMENTS, 3))


@pytest.fixture
def requests(gaps: Floats) -> pd.DataFrame:
    values = np.random.default_rng(1).normal(-9.0, 2.0, size=gaps.shape)
    out = frames(quiz_of(values), values, None)[1]
    lower = out["value"] + gaps.ravel()
    return out.assign(importance_bound=lower, upper_bound=lower + 0.5)


def quiz_of(values: Floats) -> Quiz:
    return Quiz(means=values, errors=np.ones(values.shape), gold=np.zeros(DOCUMENTS, dtype=int))


def test_means_and_errors_are_over_documents(requests: pd.DataFrame, gaps: Floats) -> None:
    out = looseness(requests)
    assert out.at_least == pytest.approx(gaps.mean())
    assert out.at_most == pytest.approx(gaps.mean() + 0.5)
    by_document = [float(np.mean(row)) for row in gaps]
    spread = sum((x - gaps.mean()) ** 2 for x in by_document) / (DOCUMENTS - 1)
    assert out.at_least_stderr == pytest.approx((spread / DOCUMENTS) ** 0.5)
    assert out.at_most_stderr == pytest.approx(out.at_least_stderr)


def test_documents_of_one_fact_are_one_for_the_error(requests: pd.DataFrame, gaps: Floats) -> None:
    clusters = np.array([0, 0, 0, 1, 1, 1, 1, 2, 2, 3, 4, 4])
    task = str(requests["task"].iloc[0])
    documents = [(task, number) for number in range(DOCUMENTS)]
    out = looseness(requests, documents=documents, clusters=clusters)
    means = [float(np.mean(row)) for row in gaps]
    middle = sum(means) / DOCUMENTS
    totals = [
        sum(m - middle for m, c in zip(means, clusters, strict=True) if c == k) for k in range(5)
    ]
    assert out.at_least == pytest.approx(middle)
    assert out.at_least_stderr == pytest.approx(
        (5 / 4 * sum(total**2 for total in totals)) ** 0.5 / DOCUMENTS
    )
    # A document that nothing is known of stands for itself.
    fewer = looseness(requests, documents=documents[:11], clusters=clusters[:11])
    assert fewer.at_least_stderr != pytest.approx(out.at_least_stderr)


@pytest.mark.parametrize("bound", [None, float("inf"), "Infinity"])
def test_one_elbo_without_a_finite_bound_makes_it_unknown(
    requests: pd.DataFrame, bound: float | str | None
) -> None:
    requests["upper_bound"] = requests["upper_bound"].astype("object")
    requests.loc[5, "upper_bound"] = bound
    out = looseness(requests)
    assert out.at_least > 0.0
    assert np.isnan(out.at_most)
    assert np.isnan(out.at_most_stderr)


def test_old_records_have_none(requests: pd.DataFrame) -> None:
    out = looseness(requests.drop(columns=["importance_bound", "upper_bound"]))
    assert np.isnan([out.at_least, out.at_most]).all()


def test_log_likelihoods_are_no_elbos(requests: pd.DataFrame, gaps: Floats) -> None:
    # One-token choices are exact and have no bound; they are left out, not counted as tight.
    exact = requests["index"] == 2
    requests.loc[exact, "quantity"] = "log_likelihood"
    requests.loc[exact, ["importance_bound", "upper_bound"]] = None
    assert looseness(requests).at_least == pytest.approx(gaps[:, :2].mean())
    requests["quantity"] = "log_likelihood"
    assert np.isnan(looseness(requests).at_least)
