"""The part of `coverage.py` on how loose ELBOs are said to be, where documents come in clusters.

Thirty facts of ten paraphrases with two choices each, gaps between a bound and its ELBO that are
skewed and alike within a fact. Used by `coverage.py`.
"""

from collections.abc import Iterator

import numpy as np
import pandas as pd
from _measured import Measured
from _worlds import Floats
from scipy.special import stdtrit

from dllm_eval.stats.looseness import looseness

FACTS, PARAPHRASES, CHOICES = 30, 10, 2
DOCUMENTS = tuple(("facts", number) for number in range(FACTS * PARAPHRASES))
CLUSTERS = np.repeat(np.arange(FACTS), PARAPHRASES)
MEAN_NATS = 2.0


def loose(simulations: int, generator: np.random.Generator) -> Iterator[Measured]:
    """The mean gap plus and minus Student's t times its standard error."""
    for correlation in (0.0, 0.3, 1.0):
        some = [_gaps(generator, correlation) for _ in range(simulations)]
        for name, clusters in (("clusters", CLUSTERS), ("documents as independent", None)):
            degrees = (FACTS if clusters is not None else len(DOCUMENTS)) - 1
            reach = float(stdtrit(degrees, 0.975))
            held = 0
            for gaps in some:
                found = looseness(_records(gaps), documents=DOCUMENTS, clusters=clusters)
                held += abs(found.at_least - MEAN_NATS) <= reach * found.at_least_stderr
            yield Measured(
                what=f"ELBO looseness, {name}",
                where=f"30 facts x 10, correlation {correlation:g} within a fact",
                stated="95 %",
                held=held,
                simulations=simulations,
            )


def _gaps(generator: np.random.Generator, correlation: float) -> Floats:
    """(documents,) nats: a part of the fact's and a part of the document's own, gamma both."""
    shape = 4.0
    fact = generator.gamma(max(correlation * shape, 1e-9), size=FACTS)
    own = generator.gamma(max((1.0 - correlation) * shape, 1e-9), size=len(DOCUMENTS))
    gaps: Floats = MEAN_NATS * (np.repeat(fact, PARAPHRASES) + own) / shape
    return gaps


def _records(gaps: Floats) -> pd.DataFrame:
    each = np.repeat(gaps, CHOICES)
    numbers = np.repeat(np.arange(len(gaps)), CHOICES)
    return pd.DataFrame(
        {
            "task": "facts",
            "doc_id": numbers,
            "quantity": "elbo",
            "value": -5.0,
            "importance_bound": each - 5.0,
            "upper_bound": each - 4.0,
        }
    )
