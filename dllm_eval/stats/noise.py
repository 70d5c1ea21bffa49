"""How much of a score's uncertainty another seed would change, and how much other documents would.

Multiple choice only: an answer is the choice of the highest estimate, so Monte-Carlo noise of the
estimates flips answers. Reads the records' win and flip probabilities; knows no estimator. Called
by `analysis.py`, and by `report/run_noise.py` for the result files of lm-eval.
"""

import math
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import pandas as pd
from scipy.special import ndtri, owens_t

from dllm_eval.stats.changes import expected_changes
from dllm_eval.stats.clusters import Clusters, cluster_stderr
from dllm_eval.stats.resample import Flags, Floats
from dllm_eval.stats.tables import Document

PROBABILITIES = {
    "acc": ("win_probability", "flip_probability"),
    "acc_norm": ("win_probability_normalised", "flip_probability_normalised"),
}
"""Metric -> the records' columns that speak of its answers."""

CLEAR = 4.0
"""Standard errors beyond which only a margin's sign shows in its chance: chances may be counts over
a few thousand points."""

FEWEST_DEGREES = 3.0
"""Degrees of freedom below which Student's t overstates the noise many times over."""


@dataclass(frozen=True, kw_only=True)
class Noise:
    """Standard errors of a row's score, shares of 1; NaN where unknown, 0 where nothing is drawn.

    With w the chance of a document's right choice to be the answer under a random seed, n documents
    have Monte-Carlo variance sum w (1 - w) / n^2 and document variance Var(w) / n, and their sum is
    the variance of the score of new documents under a new seed. All of it rests on the standard
    errors in the records and on Student's t, which with few samples a value overstates Monte-Carlo
    noise; where half of the drawn values have less than `FEWEST_DEGREES`, nothing is said of it.
    """

    score: float
    """Documents and Monte Carlo together: from the scores' spread over the documents, which has
    both in it. NaN where all documents scored the same."""
    monte_carlo: float
    """Of the score of these very documents under other seeds."""
    documents: float
    """Of the score's mean over seeds under other documents: what is left of `score`. NaN where
    nothing is left, as happens by chance for few documents."""
    changed_answers: float
    """Share of questions to which another seed would give another answer (`changes.py`)."""


def noise(
    requests: pd.DataFrame,
    scores: Floats,
    gold: Mapping[Document, int],
    metric: str,
    *,
    clusters: Clusters | None = None,
) -> Noise:
    """The noise of one setting's score.

    Args:
        requests: Its records, of every seed; the columns of probabilities may be missing.
        scores: (documents,) NaN where not scored.
        gold: Which choice is right.
        metric: Whose scores they are.
        clusters: (documents,) of documents that are not independent; None where all are.
    """
    known = scores[~np.isnan(scores)]
    n = len(known)
    score = _score_stderr(scores, clusters)
    if _says_nothing(requests, metric) or _too_few_samples(requests):
        nan = math.nan
        return Noise(score=score, monte_carlo=nan, documents=nan, changed_answers=nan)
    asked = _questions(requests, gold, metric)
    variances = np.zeros(len(asked))
    drawn = asked["drawn"].to_numpy(dtype=np.bool_)
    variances[drawn] = answer_variances(asked["gold"].to_numpy(dtype=np.float64)[drawn])
    # A document that several seeds scored has the mean of independent answers.
    runs = asked["drawn"].groupby(level=["task", "doc_id"]).transform("size").to_numpy()
    known_at_all = n > 0 and len(asked) > 0
    monte_carlo = math.sqrt(float((variances / runs**2).sum())) / n if known_at_all else math.nan
    return Noise(
        score=score,
        monte_carlo=monte_carlo,
        documents=math.sqrt(left) if (left := score**2 - monte_carlo**2) > 0 else math.nan,
        changed_answers=_changed(asked["flip"].to_numpy(dtype=np.float64), drawn),
    )


def _changed(flips: Floats, drawn: Flags) -> float:
    """The mean chance of an answer to change; 0 where nothing is drawn."""
    if not len(flips):
        return math.nan
    out = np.zeros(len(flips))
    out[drawn] = expected_changes(flips[drawn])
    return float(out.mean())


def _score_stderr(scores: Floats, clusters: Clusters | None) -> float:
    """Of the mean over documents or clusters; NaN where none differs from another."""
    known = scores[~np.isnan(scores)]
    if clusters is not None:
        return cluster_stderr(scores, clusters)[0] or math.nan
    spread = float(known.std(ddof=1)) if len(known) > 1 else 0.0
    return spread / math.sqrt(len(known)) if spread > 0 else math.nan


def _says_nothing(requests: pd.DataFrame, metric: str) -> bool:
    """Whether no record is exact or knows a chance, as where all of them are generated texts."""
    names = [name for name in ("exact", *PROBABILITIES.get(metric, ())) if name in requests]
    return bool(requests[names].isna().all(axis=None))


def _too_few_samples(requests: pd.DataFrame) -> bool:
    """Whether the median degrees of freedom of drawn values are too few; exact ones have none."""
    if "degrees" not in requests:
        return False
    degrees = pd.to_numeric(requests["degrees"], errors="coerce").dropna()
    return bool(len(degrees) > 0 and degrees.median() < FEWEST_DEGREES)


def _questions(requests: pd.DataFrame, gold: Mapping[Document, int], metric: str) -> pd.DataFrame:
    """One row per question and run: the right choice's chance to win, the answer's to change.

    NaN where the records do not say. `drawn` is False where all choices are exact.
    """
    win, flip = PROBABILITIES.get(metric, ("no chance to win", "no chance to change"))
    # Columns that are not there are filled with NaN.
    own = requests.reindex(columns=["cell_id", "task", "doc_id", "index", "exact", win, flip])
    right = [gold.get(document) for document in zip(own["task"], own["doc_id"], strict=True)]
    drawn = ~(own["exact"].astype("object") == True)  # noqa: E712 - None and NaN are no yes
    marked = own.assign(
        drawn=drawn,
        gold=pd.to_numeric(own[win], errors="coerce").where(own["index"] == right),
        flip=pd.to_numeric(own[flip], errors="coerce"),
    )
    asked = marked.groupby(["cell_id", "task", "doc_id"])[["drawn", "gold", "flip"]].max()
    return asked.assign(flip=asked["flip"].where(asked["drawn"].astype(bool), 0.0))


def answer_variances(chances: Floats) -> Floats:
    """(questions,) estimates of w (1 - w), the variance of "this choice is the answer".

    A record's chance to win speaks of another seed as seen from this seed's estimates, so the noise
    of both is in it: c = Phi(x / sqrt 2), where x is the choice's margin over the others in
    standard errors and x ~ N(margin, 1). c (1 - c) is therefore too large where noise is small:
    by a factor of sqrt 2 on average. Margins are taken as normal over the questions, by their
    median and quartiles; then a margin given x is N(m, v), two seeds win independently given it,
    and E[w (1 - w) | x] = P(one wins, one loses) = 2 T(m / sqrt(1 + v), sqrt(1 / (1 + 2 v))) with
    Owen's T. Simulated, the standard error of the score is right within 6 % where margins are as
    wide as their errors or wider, and up to 15 % too small where they are mostly noise.

    Args:
        chances: (questions,) of one choice each; NaN stays NaN.
    """
    x = math.sqrt(2.0) * ndtri(np.clip(chances, 1e-15, 1.0 - 1e-15))
    middle, kept = _margins(x)
    away = (middle + kept * (x - middle)) / math.sqrt(1.0 + kept)
    variances: Floats = np.asarray(
        2.0 * owens_t(away, 1.0 / math.sqrt(1.0 + 2.0 * kept)), dtype=np.float64
    )
    return variances


def _margins(x: Floats) -> tuple[float, float]:
    """Median of the true margins, and the share of the spread of x that is not noise."""
    x = x[~np.isnan(x)]
    if len(x) < 2:
        return 0.0, 1.0
    low, middle, high = np.quantile(x, [0.25, 0.5, 0.75])
    if max(abs(low), abs(high)) > CLEAR:
        return float(middle), 1.0
    total = ((high - low) / (2.0 * float(ndtri(0.75)))) ** 2
    return float(middle), max(1.0 - 1.0 / total, 0.0) if total else 0.0
