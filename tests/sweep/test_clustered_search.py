"""A search counts documents that ask for one fact once, by their mean."""

import json
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from dllm_eval.sweep.knees import scores_in


def found(tmp_path: Path, rows: list[dict[str, Any]]) -> dict[tuple[str, int], float]:
    path = tmp_path / "scores.jsonl"
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    files = SimpleNamespace(finished=True, scores=path, provenance=tmp_path / "none.json")
    folder: Any = SimpleNamespace(cell=lambda _: files)
    cell: Any = SimpleNamespace(cell_id="c", metric="exact_match", filter=None)
    scores = scores_in(folder)(cell)
    assert scores is not None
    return dict(scores)


def row(number: int, value: float, cluster: str | None) -> dict[str, Any]:
    told = {"task": "t", "doc_id": number, "metric": "exact_match", "filter": "none"}
    return {**told, "value": value, "cluster": cluster}


def test_paraphrases_of_a_fact_are_one_unit(tmp_path: Path) -> None:
    rows = [row(0, 1.0, "p/0"), row(1, 0.0, "p/0"), row(2, 1.0, "p/1"), row(3, 1.0, None)]
    scores = found(tmp_path, rows)
    assert sorted(scores.values()) == pytest.approx([0.5, 1.0, 1.0])
    assert scores["t", 3] == 1.0


def test_documents_without_a_cluster_stay_as_they_are(tmp_path: Path) -> None:
    rows = [row(number, float(number % 2), None) for number in range(4)]
    for one in rows:
        del one["cluster"]  # records from before there were clusters
    assert found(tmp_path, rows) == {("t", i): float(i % 2) for i in range(4)}
