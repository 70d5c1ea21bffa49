"""Made-up multiple choice with known truth: values, their errors, and records as a run leaves them.

Nothing here calls the package's statistics; tests compare them with it.
"""

from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

Floats = NDArray[np.float64]
CELL = {
    "config_id": "config",
    "folder": "results",
    "model": "diffusion",
    "kind": "diffusion",
    "task": "quiz",
    "suite": "Quiz",
    "metric": "acc",
    "filter": "none",
    "chance": 0.25,
    "purpose": "quality",
    "dial": "samples",
    "dial_value": 8.0,
    "settings": {"mc_samples": 8},
    "batch_size": 16,
    "machine": "here",
    "stack": "",
    "provenance": {},
    "finished": True,
}


@dataclass(frozen=True, kw_only=True)
class Quiz:
    """Questions whose choices' values are known only up to Gaussian errors of known size."""

    means: Floats
    """(questions, choices)."""
    errors: Floats
    """(questions, choices) standard errors."""
    gold: NDArray[np.int64]
    """(questions,)."""

    @classmethod
    def drawn(
        cls, *, num: int, choices: int, spread: float, generator: np.random.Generator
    ) -> "Quiz":
        """Means that differ by about `spread` standard errors, the right choice somewhat ahead."""
        means = generator.normal(0.0, spread, (num, choices))
        gold = generator.integers(0, choices, num)
        means[np.arange(num), gold] += spread
        errors = np.exp(generator.normal(0.0, 0.4, (num, choices)))
        return cls(means=means, errors=errors, gold=gold)

    def run(self, generator: np.random.Generator) -> Floats:
        """(questions, choices) values that one seed finds."""
        values: Floats = self.means + self.errors * generator.normal(size=self.means.shape)
        return values

    def scores(self, values: Floats) -> Floats:
        """(questions,) 1 where the highest value is the right choice's."""
        right: Floats = (values.argmax(axis=1) == self.gold).astype(np.float64)
        return right

    def chances(self, values: Floats, generator: np.random.Generator) -> Floats:
        """(questions, choices) to win under another seed, as seen from one: 4096 tries of it."""
        wins = np.zeros(values.shape)
        for _ in range(4096):
            noise = np.sqrt(2.0) * self.errors * generator.normal(size=values.shape)
            wins[np.arange(len(values)), (values + noise).argmax(axis=1)] += 1.0
        return wins / 4096


def frames(
    quiz: Quiz, values: Floats, chances: Floats | None, *, cell_id: str = "cell"
) -> tuple[pd.DataFrame, pd.DataFrame, pd.DataFrame]:
    """Cells, requests and scores of one run; without chances they are those of an old version."""
    requests: list[dict[str, Any]] = []
    for doc, choice in np.ndindex(values.shape):
        row: dict[str, Any] = {
            "cell_id": cell_id,
            "key": f"{doc}-{choice}",
            "task": "quiz",
            "doc_id": doc,
            "index": choice,
            "request_type": "loglikelihood",
            "visible_tokens": 0,
            "canvas_tokens": 0,
            "nfe": 8 if choice == 0 else 5,
            "positions": 100,
            "seconds": 0.5,
            "estimator": "monte_carlo",
            "quantity": "elbo",
            "infill": None,
            "infill_length": None,
            "value": values[doc, choice],
            "stderr": quiz.errors[doc, choice],
            "exact": False,
        }
        if chances is not None:
            row["win_probability"] = chances[doc, choice]
            row["flip_probability"] = 1.0 - chances[doc, values[doc].argmax()]
        requests.append(row)
    scores = [
        {
            "cell_id": cell_id,
            "task": "quiz",
            "doc_id": doc,
            "metric": "acc",
            "filter": "none",
            "value": score,
            **({} if chances is None else {"gold": int(quiz.gold[doc])}),
        }
        for doc, score in enumerate(quiz.scores(values))
    ]
    cells = pd.DataFrame([{**CELL, "cell_id": cell_id}])
    return cells, pd.DataFrame(requests), pd.DataFrame(scores)
