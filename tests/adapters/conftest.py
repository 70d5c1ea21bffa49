"""Tiny tasks built in place, run through lm-eval's own evaluator."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from datasets import Dataset
from lm_eval.api.task import ConfigurableTask
from lm_eval.evaluator import evaluate as lm_eval_evaluate

from dllm_eval.records import RequestRecord
from dllm_eval.registry import LM_EVAL_MODELS, register_with_lm_eval, resolve

QUESTIONS = [
    "The capital of France is",
    "def add(a, b):\n    return",
    "Question: what? Answer:",
    "x",
    "def sub(a, b):\n    result = a - b\n    return result\n\ndef",
]
ANSWERS = [" Paris", " a + b", " A", " B C", " add"]

Models = Callable[..., Any]
Evaluate = Callable[..., list[dict[str, Any]]]


def make_task(kind: str, docs: list[dict[str, Any]] | None = None, **config: Any) -> Any:
    rows = docs or [{"q": q, "a": a} for q, a in zip(QUESTIONS, ANSWERS, strict=True)]
    settings: dict[str, Any] = {
        "task": f"tiny_{kind}",
        "custom_dataset": lambda **_: {"test": Dataset.from_list(rows)},
        "dataset_path": "unused",
        "test_split": "test",
        "output_type": kind,
        "doc_to_text": "{{q}}",
        "doc_to_target": "{{a}}",
    }
    return ConfigurableTask(config=settings | config)


@pytest.fixture
def make_model() -> Models:
    """`make_model("dllm", pretrained=..., ...)`, through the registry."""

    def make(name: str, **arguments: Any) -> Any:
        named = {k: str(v) if isinstance(v, Path) else v for k, v in arguments.items()}
        return resolve("model", LM_EVAL_MODELS, name).create_from_arg_obj({"device": "cpu"} | named)

    return make


@pytest.fixture
def evaluate() -> Evaluate:
    """`evaluate(model, task)`: lm-eval's samples, by document."""
    register_with_lm_eval()

    def run(model: Any, task: Any, **options: Any) -> list[dict[str, Any]]:
        # simple_evaluate would spend seconds on a report about this machine.
        out = lm_eval_evaluate(
            model, {task.config.task: task}, log_samples=True, bootstrap_iters=0, **options
        )
        samples: list[dict[str, Any]] = next(iter(out["samples"].values()))
        return sorted(samples, key=lambda sample: int(sample["doc_id"]))

    return run


@pytest.fixture
def tasks() -> Callable[..., Any]:
    """`tasks("generate_until", docs, **config)`: a task over a few documents."""
    return make_task


@pytest.fixture
def records_of() -> Callable[[Any], dict[tuple[int, int], RequestRecord]]:
    """The records of a model with an in-memory log, by document and index."""

    def read(model: Any) -> dict[tuple[int, int], RequestRecord]:
        return {(r.doc_id, r.index): r for r in model.log.records.values()}

    return read
