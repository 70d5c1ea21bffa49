"""One run of our tasks with any model, and what of it must not depend on where the model runs.

Knows lm-eval's evaluator and the records; knows no server. `tests/api` compares runs by it.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import lm_eval
from lm_eval.tasks import TaskManager

from dllm_eval.records import RequestRecord
from dllm_eval.registry import (
    LM_EVAL_MODELS,
    register_with_lm_eval,
    resolve,
    tasks_folder,
)

MAY_DIFFER = {
    "key": "it names the model, the server and their settings",
    "seed": "in process it is drawn from the prompt's ids, over a server from its text",
    "seconds": "a clock's",
    "repeat_seconds": "a clock's",
    "cpu_seconds": "a server's processor is not ours to read",
    "first_text_s": "of a streamed answer only",
    "tries": "of a server only",
    "served_model": "of a server only",
    "batch_size": "requests in flight, not rows of one forward pass",
    "host_syncs": "a server does not say",
    "cache": "a server does not say",
    "nfe": "a server does not say",
    "positions": "a server does not say",
    "canvas_tokens": "in process all that was decoded, over a server what it says it wrote",
    "tokens": "a server answers with text",
    "pieces": "a server answers with text",
    "reveal_step": "a server answers with text",
    "visible_tokens": "as the server counts, the end token and a stop string's tokens with it",
    "stop_reason": 'a server\'s "stop" is the end of the text or a stop string',
    "infill_length": "a canvas has a length in process; a server is given a limit",
}
"""Fields of a record that depend on where its model runs, and why. All others must be equal."""

SEVERAL_MAY_DIFFER = {
    "prompt_tokens": "several gaps are as many requests, each with all the text before it"
}
"""The same of documents with several gaps."""

Where = tuple[str, int, int]
"""(task, document, request of the document)."""


@dataclass(frozen=True, kw_only=True)
class Run:
    """What came of one run."""

    answers: dict[tuple[str, int, str], Any]
    """(task, document, filter) -> lm-eval's raw and filtered answers."""
    scores: dict[str, dict[str, float]]
    records: dict[Where, list[RequestRecord]]
    """Where a task asks a document several times, in the order of answering."""

    def comparable(self) -> dict[Where, list[dict[str, Any]]]:
        """The records without the fields that may differ."""
        return {
            where: [record.model_dump(exclude=_excluded(record)) for record in records]
            for where, records in self.records.items()
        }


def model_of(name: str, **arguments: Any) -> Any:
    """A model class of ours, by lm-eval's name for it, built as lm-eval builds it."""
    return resolve("model", LM_EVAL_MODELS, name).create_from_arg_obj(arguments)


def run_of(lm: Any, tasks: Sequence[str], limit: int | None = None, **more: Any) -> Run:
    """Evaluates tasks of ours with a model, as `dllm-eval run` does."""
    register_with_lm_eval()
    manager = TaskManager(include_path=str(tasks_folder()), include_defaults=False)
    out = lm_eval.simple_evaluate(
        model=lm,
        tasks=list(tasks),
        limit=limit,
        task_manager=manager,
        confirm_run_unsafe_code=True,
        log_samples=True,
        **{"bootstrap_iters": 0, **more},
    )
    answers = {
        (task, sample["doc_id"], sample["filter"]): (sample["resps"], sample["filtered_resps"])
        for task, samples in out["samples"].items()
        for sample in samples
    }
    return Run(answers=answers, scores=_scores(out["results"]), records=_records(lm.log))


def _excluded(record: RequestRecord) -> set[str]:
    several = "several" in record.task
    return {*MAY_DIFFER, *(SEVERAL_MAY_DIFFER if several else ())}


def _scores(results: Mapping[str, Mapping[str, Any]]) -> dict[str, dict[str, float]]:
    return {
        task: {name: value for name, value in row.items() if isinstance(value, float)}
        for task, row in results.items()
    }


def _records(log: Any) -> dict[Where, list[RequestRecord]]:
    found: dict[Where, list[RequestRecord]] = {}
    for record in log.records.values():
        found.setdefault((record.task, record.doc_id, record.index), []).append(record)
    return found
