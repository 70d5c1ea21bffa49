"""Choices of one question: which requests they are, how long, in which batch, what is written."""

from dataclasses import replace
from importlib import import_module
from math import inf
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from dllm_eval.api import Likelihood
from dllm_eval.records import RequestRecord

questions = import_module("dllm_eval.adapters.questions")
batches = import_module("dllm_eval.adapters.batches")
jobs = import_module("dllm_eval.adapters.jobs")
records = import_module("dllm_eval.adapters.records")

DOCS: list[dict[str, Any]] = [
    {"q": "The capital of France is", "a": 0, "choices": ["Paris", "A", "what? A"]},
    {"q": "Question: what? Answer:", "a": 1, "choices": ["B", "add sub", "C"]},
    {"q": "def add(a, b):", "a": 2, "choices": ["return", "x", "return a + b"]},
]
CHOICE = {"doc_to_choice": "choices", "doc_to_target": "a", "target_delimiter": " "}


def requests_of(task: Any) -> list[Any]:
    task.build_all_requests()
    return [copy for request in task.instances for copy in [request] * request.repeats]


def units_of(requests: list[Any]) -> list[Any]:
    asked = [
        jobs.ScoringJob(identity=identity, windows=(((1,), (2, 3)),), seed=0)
        for identity in jobs.identities(requests, "settings")
    ]
    found: list[Any] = questions.scoring_units(requests, asked)
    return found


def indices(unit: Any) -> list[tuple[int, int, int]]:
    return [(job.identity.doc_id, job.identity.repeat, job.identity.index) for job in unit.jobs]


@pytest.mark.parametrize(
    ("doc", "config"),
    [
        ({"choices": ["Paris", "New York"]}, {"doc_to_choice": "choices"}),
        ({"choices": [" Paris", " X"]}, {"doc_to_choice": "choices", "target_delimiter": ""}),
        ({"choices": [" Paris", " X"]}, {"doc_to_choice": "choices"}),
        ({"choices": ["Paris", "X"]}, {"doc_to_choice": "choices", "target_delimiter": "\n"}),
        ({"choices": ["Paris", "X"]}, {"doc_to_choice": "choices", "target_delimiter": ""}),
        ({"choices": {"text": ["né", "no"], "label": ["A", "B"]}}, {}),
        ({"sol1": "go away", "sol2": "stay"}, {"doc_to_choice": "{{[sol1, sol2]}}"}),
        ({"choices": ["first", "second"]}, {"doc_to_choice": ["A", "B"]}),
        ({"choices": ["Paris", "X"]}, {"doc_to_choice": ["no", "maybe"], "target_delimiter": ""}),
    ],
)
def test_divisors_are_what_acc_norm_divides_by(doc: Any, config: Any, tasks: Any) -> None:
    """lm-eval 0.4.13, `ConfigurableTask.process_results`: len(choice), for every delimiter."""
    settings = {"doc_to_choice": "{{choices.text}}", "doc_to_target": "{{a}}"} | config
    task = tasks("multiple_choice", [{"q": "What?", "a": 0, **doc}], **settings)
    (unit,) = units_of(requests_of(task))
    lengths = tuple(float(len(choice)) for choice in task.doc_to_choice(task.eval_docs[0]))
    assert unit.divisors == lengths


def test_an_empty_choice_has_no_normalised_score(tasks: Any) -> None:
    """As in MMLU, where some texts are; lm-eval divides by 0 there."""
    docs = [*DOCS[:1], {"q": "What?", "a": 0, "choices": ["", "x", "y"]}]
    _, unit = units_of(requests_of(tasks("multiple_choice", docs, **CHOICE)))
    assert unit.divisors is None


def test_a_document_is_a_question_and_a_repeat_another(tasks: Any) -> None:
    found = units_of(requests_of(tasks("multiple_choice", DOCS, repeats=2, **CHOICE))[::-1])
    assert sorted(indices(unit) for unit in found) == [
        [(doc, repeat, index) for index in range(3)] for doc in range(3) for repeat in range(2)
    ]


def test_contexts_that_differ_are_choices_of_unknown_length(tasks: Any) -> None:
    """Winogrande's form: each choice stands in its context, the continuation is one."""
    asked = requests_of(tasks("multiple_choice", DOCS[:1], **CHOICE))[:2]
    contexts = ("The box did not fit because the box", "... because the bag")
    asked = [
        replace(request, arguments=(context, " was big"))
        for request, context in zip(asked, contexts, strict=True)
    ]
    (unit,) = units_of(asked)
    assert indices(unit) == [(0, 0, 0), (0, 0, 1)]
    assert unit.divisors is None


def test_requests_that_are_no_choices_are_scored_alone(tasks: Any) -> None:
    config = CHOICE | {"metric_list": [{"metric": "acc_mutual_info", "aggregation": "mean"}]}
    asked = requests_of(tasks("multiple_choice", DOCS[:1], **config))
    assert [request.args[0] for request in asked] == [DOCS[0]["q"]] * 3 + [""] * 3
    assert [len(unit.jobs) for unit in units_of(asked)] == [1] * 6
    single = requests_of(tasks("loglikelihood", [{"q": "x", "a": "y"}] * 2))
    assert [len(unit.jobs) for unit in units_of(single)] == [1, 1]
    nameless = [replace(request, metadata=("t", None, 1)) for request in asked[:3]]
    assert [len(unit.jobs) for unit in units_of(nameless)] == [1] * 3


@pytest.mark.parametrize(
    ("size", "expected"), [(1, [3, 3, 3]), (3, [3, 3, 3]), (5, [3, 3, 3]), (6, [6, 3]), (99, [9])]
)
def test_a_question_is_never_cut(size: int, expected: list[int], tasks: Any) -> None:
    units = units_of(requests_of(tasks("multiple_choice", DOCS, **CHOICE)))
    found = list(batches.scoring_batches(units, size))
    assert [sum(len(unit.jobs) for unit in batch) for batch in found] == expected
    assert [unit for batch in found for unit in batch] == units


def test_questions_name_their_pairs_behind_one_another(tasks: Any) -> None:
    two, three = units_of(requests_of(tasks("multiple_choice", DOCS, **CHOICE)))[:2]
    alone = jobs.ScoringUnit(jobs=(replace(two.jobs[0], windows=(((1,), (2,)),) * 4),))
    first, second = questions.numbered([two, alone, three])
    assert (first.pairs, first.divisors) == ((0, 1, 2), (5.0, 1.0, 7.0))
    assert (second.pairs, second.divisors) == ((7, 8, 9), (1.0, 7.0, 1.0))


def likelihood(value: float, **more: Any) -> Likelihood:
    facts: dict[str, Any] = {"stderr": 0.5, "nfe": 8, "positions": 80, "exact": False}
    facts |= {"quantity": "elbo"}
    return Likelihood(value=value, **(facts | {"estimator": "monte_carlo", "samples": 8} | more))


def written(unit: Any, parts: list[Likelihood]) -> list[RequestRecord]:
    facts = records.BatchFacts(model="diffusion", batch_size=3, shares_s=[0.25], cpu_share_s=None)
    found: list[RequestRecord] = records.scoring_records(unit, parts, "loglikelihood", facts)
    return found


def test_records_say_how_likely_the_answer_flips(tasks: Any) -> None:
    unit = units_of(requests_of(tasks("multiple_choice", DOCS, **CHOICE)))[0]
    parts = [
        likelihood(-6.0, win_probability=0.25, win_probability_normalised=0.875, degrees=4.0),
        likelihood(-3.0, win_probability=0.75, win_probability_normalised=0.0),
        likelihood(-inf, win_probability=0.0, win_probability_normalised=0.125),
    ]
    rows = written(unit, parts)
    assert [row.flip_probability for row in rows] == [0.25] * 3
    assert [row.flip_probability_normalised for row in rows] == [0.125] * 3  # -6 / 5 > -3 / 1
    assert [row.win_probability for row in rows] == [0.25, 0.75, 0.0]
    assert [row.value for row in rows] == [-6.0, -3.0, -inf]
    assert [row.degrees for row in rows] == [4.0, None, None]
    assert [row.seconds for row in rows] == [0.25] * 3
    assert RequestRecord.model_validate_json(rows[2].model_dump_json()) == rows[2]


def test_what_is_unknown_stays_unknown(tasks: Any) -> None:
    unit = units_of(requests_of(tasks("multiple_choice", DOCS, **CHOICE)))[0]
    rows = written(replace(unit, divisors=None), [likelihood(-1.0)] * 3)
    assert [(r.flip_probability, r.flip_probability_normalised) for r in rows] == [(None, None)] * 3
    alone = jobs.ScoringUnit(jobs=unit.jobs[:1])
    (row,) = written(alone, [likelihood(-1.0, win_probability=1.0, importance_bound=-0.5)])
    assert (row.flip_probability, row.importance_bound, row.upper_bound) == (None, -0.5, None)
    assert (row.windows, row.window_tokens, row.target_bytes) == (None, None, None)


def test_a_record_from_before_is_still_read() -> None:
    old = {
        "key": "k", "task": "t", "doc_id": 0, "index": 0, "request_type": "loglikelihood",
        "model": "diffusion", "prompt_tokens": 3, "visible_tokens": 2, "canvas_tokens": 2, "nfe": 1,
        "positions": 5, "seconds": 0.5, "batch_size": 1, "seed": 0, "value": -2.0, "stderr": 0.0,
    }  # fmt: skip
    row = RequestRecord.model_validate(old)
    assert (row.flip_probability, row.degrees, row.bits_per_byte) == (None, None, None)
    assert row.nats_per_token == 1.0


@pytest.mark.parametrize("name", ["dllm", "dllm-ar"])
def test_the_models_answers_are_lm_evals(
    name: str, tiny_llada: Path, tiny_llama: Path, make_model: Any, evaluate: Any, tasks: Any,
    records_of: Any,
) -> None:  # fmt: skip
    """As acc and acc_norm have it, the highest value and the highest value per character."""
    folder = tiny_llada if name == "dllm" else tiny_llama
    model = make_model(name, pretrained=folder, batch_size=4)
    metrics = [{"metric": "acc"}, {"metric": "acc_norm"}]
    task = tasks("multiple_choice", DOCS, metric_list=metrics, **CHOICE)
    samples = evaluate(model, task)
    rows = records_of(model)
    for sample, doc in zip(samples, DOCS, strict=True):
        values = np.array([rows[sample["doc_id"], choice].value for choice in range(3)])
        lengths = [len(choice) for choice in doc["choices"]]
        assert sample["acc"] == float(values.argmax() == doc["a"])
        assert sample["acc_norm"] == float((values / lengths).argmax() == doc["a"])


@pytest.mark.parametrize("name", ["dllm", "dllm-ar"])
def test_a_run_cut_off_at_any_record_ends_as_if_it_had_not_been(
    name: str, tiny_llada: Path, tiny_llama: Path, make_model: Any, tasks: Any, tmp_path: Path
) -> None:
    race = {"likelihood": "monte_carlo", "mc_samples": 32, "race": 0.05}
    arguments: dict[str, Any] = {"pretrained": tiny_llada, **race} if name == "dllm" else {}
    arguments = {"pretrained": tiny_llama, "batch_size": 6, **arguments}
    asked = requests_of(tasks("multiple_choice", DOCS, **CHOICE))
    log = tmp_path / "whole.jsonl"
    model = make_model(name, records=log, **arguments)
    whole = [value for value, _ in model.loglikelihood(asked, disable_tqdm=True)]
    model.log.close()
    lines = log.read_text().splitlines(keepends=True)
    assert len(lines) == len(asked)
    for kept in range(len(lines)):
        cut = tmp_path / f"{kept}.jsonl"
        cut.write_text("".join(lines[:kept]) + lines[kept][:40])
        again = make_model(name, records=cut, **arguments)
        answers = again.loglikelihood(asked, disable_tqdm=True)
        again.log.close()
        assert [value for value, _ in answers] == pytest.approx(whole, abs=1e-5)
        after = cut.read_text().splitlines(keepends=True)
        assert after[:kept] == lines[:kept]
        same = ("key", "index", "nfe", "samples", "positions", "estimator", "visible_tokens")
        assert [facts(line, same) for line in after] == [facts(line, same) for line in lines]


def facts(line: str, names: tuple[str, ...]) -> list[object]:
    row = RequestRecord.model_validate_json(line)
    return [getattr(row, name) for name in names]
