"""Perplexity of whole texts: which texts they are, and the units, through lm-eval."""

import csv
import json
from importlib import import_module
from math import exp, log
from pathlib import Path
from typing import Any

import lm_eval
import pytest
from lm_eval.tasks import TaskManager

from dllm_eval.errors import UsageError
from dllm_eval.reference import DATA_DIR
from dllm_eval.registry import LM_EVAL_MODELS, resolve, tasks_folder

perplexity = import_module("dllm_eval.tasks.perplexity")

STORIES = "text_infilling_fairytaleqa/data-by-train-split/sentence-stories/test"
HEADER = ["document_id", "text"]


def write_story(root: Path, name: str, rows: list[list[str]]) -> Path:
    path = root / STORIES / f"{name}.csv"
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("w", newline="") as file:
        csv.writer(file).writerows(rows)
    return path


def test_a_program_is_its_prompt_and_its_solution() -> None:
    source = {"file": "humaneval.jsonl", "embedded": True}
    docs = perplexity.load_programs(data=source)["test"]
    first = json.loads((DATA_DIR / "humaneval.jsonl").read_text().splitlines()[0])
    assert len(docs) == 164
    assert docs[0]["text"] == first["prompt"] + first["canonical_solution"]
    compile(docs[0]["text"], "program", "exec")


def test_a_story_is_its_sentences(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DLLM_EVAL_DATA", str(tmp_path))
    write_story(tmp_path, "b-story", [HEADER, ["b", "One, two. "], ["b", ' "Three" is\nit.']])
    write_story(tmp_path, "a-story", [HEADER, ["a", "Alone."]])
    docs = perplexity.load_stories(data={"file": STORIES})["test"]
    assert docs.to_list() == [
        {"title": "a-story", "text": "Alone."},
        {"title": "b-story", "text": 'One, two. "Three" is\nit.'},
    ]


def test_faults_get_one_line(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("DLLM_EVAL_DATA", raising=False)
    with pytest.raises(UsageError, match="is on no hub: set DLLM_EVAL_DATA to a folder"):
        perplexity.load_stories(data={"file": STORIES})
    monkeypatch.setenv("DLLM_EVAL_DATA", str(tmp_path))
    (tmp_path / STORIES).mkdir(parents=True)
    with pytest.raises(UsageError, match="holds no rows"):
        perplexity.load_stories(data={"file": STORIES})
    path = write_story(tmp_path, "a", [["id", "sentence"], ["a", "Alone."]])
    with pytest.raises(UsageError, match=r"a\.csv, row 1: expected the columns \['document_id', "):
        perplexity.load_stories(data={"file": STORIES})
    path.write_text("document_id,text\na\n")
    with pytest.raises(UsageError, match=r"a\.csv, row 2: expected 2 columns, got 1"):
        perplexity.load_stories(data={"file": STORIES})


@pytest.mark.parametrize("name", ["dllm", "dllm-ar"])
def test_the_reference_pair_from_end_to_end(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Windows of 24 positions; lm-eval's three numbers follow from the records by hand."""
    monkeypatch.setattr("lm_eval.evaluator.add_env_info", lambda _: None)
    folder = "reference-diffusion" if name == "dllm" else "reference-ar"
    given: dict[str, Any] = {"pretrained": folder, "device": "cpu", "max_length": 24}
    given |= {"rolling_context": 4, **({"mc_samples": 8} if name == "dllm" else {})}
    model: Any = resolve("model", LM_EVAL_MODELS, name).create_from_arg_obj(given)
    out: Any = lm_eval.simple_evaluate(
        model=model,
        tasks=["ref_perplexity"],
        task_manager=TaskManager(include_path=str(tasks_folder()), include_defaults=False),
        limit=4,
        bootstrap_iters=0,
    )
    rows = list(model.log.records.values())
    lines = (DATA_DIR / "humaneval.jsonl").read_text().splitlines()[:4]
    texts = [row["prompt"] + row["canonical_solution"] for row in map(json.loads, lines)]
    nats = -sum(row.value for row in rows)
    num_bytes = sum(len(text.encode()) for text in texts)
    results = out["results"]["ref_perplexity"]
    assert results["bits_per_byte,none"] == pytest.approx(nats / log(2) / num_bytes)
    assert results["byte_perplexity,none"] == pytest.approx(exp(nats / num_bytes))
    words = sum(len(text.split()) + text[-1].isspace() for text in texts)
    assert results["word_perplexity,none"] == pytest.approx(exp(nats / words))
    assert [row.target_bytes for row in rows] == [len(text.encode()) for text in texts]
    assert min(row.windows for row in rows) > 1
    assert {row.window_tokens for row in rows} == {24}
    assert {row.quantity for row in rows} == {"log_likelihood" if name == "dllm-ar" else "elbo"}
