"""A search over a dial whose metric is better where it is lower."""

import json
import math
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from scipy import stats

from dllm_eval.sweep.folder import ResultsFolder
from dllm_eval.sweep.knees import scores_in
from dllm_eval.sweep.search import is_within, means

WORDS = [10.0, 30.0, 20.0, 40.0]


def cell_of(tmp_path: Path, metric: str, values: list[float]) -> Any:
    """A finished cell with these scores, and its folder."""
    folder = ResultsFolder(tmp_path)
    files = folder.cell("cell")
    files.scores.parent.mkdir(parents=True)
    rows = [
        {
            "task": "t",
            "doc_id": number,
            "metric": metric,
            "filter": "none",
            "value": value,
            "weight": weight,
        }
        for number, (value, weight) in enumerate(zip(values, WORDS, strict=True))
    ]
    files.scores.write_text("".join(json.dumps(row) + "\n" for row in rows))
    files.done.write_text("{}")
    files.provenance.write_text("{}")
    named = {"cell_id": "cell", "metric": metric, "filter": None, "label": "cell"}
    return SimpleNamespace(**named), folder


def test_a_lower_perplexity_is_a_higher_score(tmp_path: Path) -> None:
    values = [5.0, 7.0, 6.0, 9.0]
    cell, folder = cell_of(tmp_path, "word_perplexity", values)
    found = means([cell], scores_in(folder))
    assert found is not None
    nats = [math.log(value) * words for value, words in zip(values, WORDS, strict=True)]
    assert np.mean(list(found.values())) == pytest.approx(-sum(nats) / sum(WORDS))


@pytest.mark.parametrize(("shift", "within"), [(-0.001, True), (-0.02, False), (0.05, True)])
def test_near_is_one_percent_by_students_t(shift: float, within: bool) -> None:
    generator = np.random.default_rng(3)
    rival = {("t", n): -2.0 + float(generator.normal()) for n in range(40)}
    own = {key: value + shift + 0.01 * float(generator.normal()) for key, value in rival.items()}
    gaps = np.array([own[key] - rival[key] for key in own])
    p = stats.t.sf((gaps.mean() + 0.01) / (gaps.std(ddof=1) / 40**0.5), 39)
    assert is_within(own, rival, 0.01, 0.05) == (p <= 0.05) == within
