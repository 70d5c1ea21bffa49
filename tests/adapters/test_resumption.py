"""A run that is cut off at any record and taken up again ends byte for byte as if it went on."""

from collections.abc import Callable
from typing import Any

import pytest

from dllm_eval.records import RequestRecord

TIMES = {"seconds", "repeat_seconds", "cpu_seconds"}
PROMPTS = [
    "def add(a, b):\n    return",
    "x",
    "def sub(a, b):\n    result = a - b\n    return result\n\n\ndef add",
    "def double(number):\n",
    "return",
    "for item in items:\n    total",
    "if a",
    "def add(a, b):\n    return",
    "while left < right:\n    middle",
    "a = b",
    "def last(items):\n    return items[",
]
CHOICES: list[dict[str, Any]] = [
    {"q": "def add(a, b):\n    return", "a": 0, "choices": ["a + b", "a", "b - a - b"]},
    {"q": "x =", "a": 1, "choices": ["1", "1 + 2", "sorted(items)"]},
    {"q": "for item in", "a": 2, "choices": ["range(4):", "x", "items:\n    print(item)"]},
    {"q": "def sub(a, b):", "a": 0, "choices": ["\n    return a - b", "pass", ""]},
    {"q": "if a", "a": 1, "choices": ["== b:", "> 0 and b:", ":"]},
]
CHOICE = {"doc_to_choice": "choices", "doc_to_target": "a", "target_delimiter": " "}
TEXT = "def add(a, b):\n    return a + b\n\n\n"
SAMPLED = {"temperature": 0.7, "gen_length": 8}
RACE = {"likelihood": "monte_carlo", "mc_samples": 24, "race": 0.05}


class KilledError(Exception):
    """What ends a run early."""


class CutLog:
    """A log in memory whose process dies right after its n-th record."""

    def __init__(self, records: dict[str, RequestRecord], dies_after: int | None = None) -> None:
        self.records = records
        self.left = dies_after

    def get(self, key: str) -> RequestRecord | None:
        return self.records.get(key)

    def put(self, record: RequestRecord) -> None:
        assert record.key not in self.records, "a record was written twice"
        self.records[record.key] = record
        if self.left is not None:
            self.left -= 1
            if self.left == 0:
                raise KilledError


def generation(tasks: Any) -> Any:
    docs = [{"q": text, "a": ""} for text in PROMPTS]
    asked = {"until": ["\n\n"], "max_gen_toks": 8}
    return tasks("generate_until", docs, generation_kwargs=asked, repeats=2)


def questions(tasks: Any) -> Any:
    """Their `acc_mutual_info` also asks the continuations alone, as requests of their own."""
    metrics = [{"metric": "acc_mutual_info", "aggregation": "mean"}]
    return tasks("multiple_choice", CHOICES, metric_list=metrics, **CHOICE)


def rolling(tasks: Any) -> Any:
    docs = [{"q": "", "a": TEXT * count} for count in (1, 3, 2, 1, 4)] + [{"q": "", "a": ""}]
    return tasks("loglikelihood_rolling", docs, doc_to_target="{{a}}")


WINDOWS = {"max_length": 24}

CALLS: dict[str, tuple[str, Callable[[Any], Any], dict[str, Any], dict[str, Any]]] = {
    "generation": (
        *("generate_until", generation),
        *({"steps": 3, "sampler": "random", **SAMPLED}, SAMPLED),
    ),
    "questions": ("loglikelihood", questions, {"max_enumeration": 1, "mc_samples": 4}, {}),
    "races": ("loglikelihood", questions, RACE, {}),
    "rolling": ("loglikelihood_rolling", rolling, {"mc_samples": 4, **WINDOWS}, WINDOWS),
}
"""The method, the task, and the arguments of `dllm` and `dllm-ar`."""


def requests_of(task: Any) -> list[Any]:
    task.build_all_requests()
    return [copy for request in task.instances for copy in [request] * request.repeats]


def lines(records: dict[str, RequestRecord]) -> list[str]:
    return [records[key].model_dump_json(exclude=TIMES) for key in sorted(records)]


@pytest.mark.parametrize("name", ["dllm", "dllm-ar"])
@pytest.mark.parametrize("call", CALLS)
def test_killed_after_any_record(name: str, call: str, make_model: Any, tasks: Any) -> None:
    method, make_task, of_diffusion, of_autoregressive = CALLS[call]
    if name == "dllm":
        arguments = {"pretrained": "reference-diffusion", **of_diffusion}
    else:
        arguments = {"pretrained": "reference-ar", **of_autoregressive}
    asked = requests_of(make_task(tasks))

    def run(log: CutLog) -> list[Any]:
        model = make_model(name, batch_size=4, **arguments)
        model.log = log
        answers: list[Any] = getattr(model, method)(asked, disable_tqdm=True)
        return answers

    whole = CutLog({})
    answers = run(whole)
    assert len(whole.records) == len(asked) == len(answers)
    assert len({record.batch_size for record in whole.records.values()}) > 1
    for kept in range(1, len(asked), 1 if call in ("generation", "rolling") else 2):
        records: dict[str, RequestRecord] = {}
        with pytest.raises(KilledError):
            run(CutLog(records, dies_after=kept))
        assert len(records) == kept
        assert run(CutLog(records)) == answers
        assert lines(records) == lines(whole.records)
