"""Both of our models through lm-eval, alone or as one of several processes of a run.

`python two_processes.py FOLDER DLLM DLLM_AR` is one process, as a launcher starts it; a test calls
`evaluate_all` for the run of a single process.
"""

import json
import sys
from itertools import islice
from pathlib import Path
from typing import Any
from unittest.mock import patch

from datasets import Dataset
from lm_eval import evaluator
from lm_eval.api.task import ConfigurableTask
from lm_eval.tasks import TaskManager

from dllm_eval.registry import LM_EVAL_MODELS, register_with_lm_eval, resolve

TEXTS = [
    "def add(a, b):\n    return",
    "x",
    "Question: what? Answer:",
    "def sub(a, b):\n    result = a - b\n    return result\n\ndef",
    "The capital of France is",
    "a b",
    "",
]
KINDS: dict[str, dict[str, Any]] = {
    "generate_until": {
        "generation_kwargs": {"until": ["\n"], "max_gen_toks": 6},
        "repeats": 2,
        "metric_list": [{"metric": "exact_match"}],
    },
    "multiple_choice": {"doc_to_choice": ["a", "b c", "C"], "metric_list": [{"metric": "acc"}]},
    "loglikelihood_rolling": {
        "doc_to_target": "{{q}}",
        "metric_list": [{"metric": "bits_per_byte"}],
    },
}
LIMITS = (7, 1)
"""Documents: more than there are processes and not a multiple of them, and fewer."""


def task_of(kind: str) -> Any:
    docs = [{"q": text, "a": number % 3} for number, text in enumerate(TEXTS)]
    config: dict[str, Any] = {
        "task": f"tiny_{kind}",
        "custom_dataset": lambda **_: {"test": Dataset.from_list(docs)},
        "dataset_path": "unused",
        "test_split": "test",
        "output_type": kind,
        "doc_to_text": "{{q}}",
        "doc_to_target": "a",
    }
    return ConfigurableTask(config=config | KINDS[kind])


def model_of(name: str, pretrained: str, records: Path) -> Any:
    arguments: dict[str, Any] = {"pretrained": pretrained, "temperature": 0.7, "device": "cpu"}
    arguments |= {"batch_size": 3, "max_length": 24, "records": str(records)}
    if name == "dllm":
        arguments |= {"gen_length": 6, "steps": 3, "mc_samples": 4, "sampler": "random"}
    return resolve("model", LM_EVAL_MODELS, name).create_from_arg_obj(arguments)


def evaluate_all(folder: Path, checkpoints: dict[str, str]) -> dict[str, Any]:
    """What lm-eval gives for every model, kind of request and number of documents."""
    register_with_lm_eval()
    manager = TaskManager(include_defaults=False)
    found: dict[str, Any] = {}
    for name, pretrained in checkpoints.items():
        for kind in KINDS:
            for limit in LIMITS:
                title = f"{name}-{kind}-{limit}"
                model = model_of(name, pretrained, folder / f"{title}.jsonl")
                # The report on the machine takes seconds.
                with patch.object(evaluator, "add_env_info"):
                    results = evaluator.simple_evaluate(
                        model=model,
                        tasks=[task_of(kind)],
                        task_manager=manager,
                        limit=limit,
                        bootstrap_iters=0,
                    )
                model.log.close()
                found[title] = results and {
                    "results": results["results"],
                    "samples": list(islice(results["samples"].values(), 1)),
                }
    return found


def main() -> None:
    folder = Path(sys.argv[1])
    found = evaluate_all(folder, {"dllm": sys.argv[2], "dllm-ar": sys.argv[3]})
    from dllm_eval.adapters.distributed import launched  # noqa: TID251

    processes = launched()
    path = folder / f"answers{processes.rank}.json"
    path.write_text(json.dumps({"count": processes.count, "found": found}, default=str))


if __name__ == "__main__":
    main()
