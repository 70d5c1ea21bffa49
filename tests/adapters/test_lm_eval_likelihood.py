"""Likelihood through lm-eval: choices, rolling windows, truncation, resuming."""

from dataclasses import replace
from itertools import pairwise
from math import inf
from pathlib import Path
from typing import Any

import pytest
import torch

from dllm_eval.errors import UsageError

DOCS = [
    {"q": "The capital of France is", "a": " Paris", "choices": [" Paris", " A", " what? A"]},
    {"q": "Question: what? Answer:", "a": " B", "choices": [" B", " add sub", " C"]},
    {"q": "", "a": " def", "choices": [" def", " return a", " x"]},
]
CHOICE = {"doc_to_choice": "{{choices}}", "doc_to_target": "{{a}}"}


@pytest.fixture(params=["dllm", "dllm-ar"])
def setup(
    request: pytest.FixtureRequest, tiny_llada: Path, tiny_llama: Path
) -> tuple[str, dict[str, Any]]:
    if request.param == "dllm":
        return "dllm", {"pretrained": tiny_llada, "likelihood": "monte_carlo", "mc_samples": 4}
    return "dllm-ar", {"pretrained": tiny_llama}


def instances(tasks: Any) -> list[Any]:
    task = tasks("multiple_choice", DOCS, **CHOICE)
    task.build_all_requests()
    found: list[Any] = task.instances
    return found


def test_batch_size_and_order_change_nothing(setup: Any, make_model: Any, tasks: Any) -> None:
    name, arguments = setup
    asked = instances(tasks)
    one, four = make_model(name, **arguments), make_model(name, batch_size=4, **arguments)
    scores = [value for value, _ in one.loglikelihood(asked, disable_tqdm=True)]
    batched = [value for value, _ in four.loglikelihood(asked[::-1], disable_tqdm=True)][::-1]
    assert batched == pytest.approx(scores, abs=1e-4)
    assert len(set(scores)) == len(asked)


def test_lm_eval_scores_the_choices(setup: Any, make_model: Any, evaluate: Any, tasks: Any) -> None:
    name, arguments = setup
    model = make_model(name, **arguments)
    samples = evaluate(model, tasks("multiple_choice", DOCS, **CHOICE))
    for sample in samples:
        values = [response[0][0] for response in sample["resps"]]
        best = DOCS[sample["doc_id"]]["choices"][values.index(max(values))]
        assert sample["acc"] == float(best == DOCS[sample["doc_id"]]["a"])
    assert {(r.doc_id, r.index) for r in model.log.records.values()} == {
        (doc, choice) for doc in range(3) for choice in range(3)
    }


def test_autoregressive_scores_are_the_chain_rule(
    tiny_llama: Path, make_model: Any, tasks: Any, records_of: Any
) -> None:
    model = make_model("dllm-ar", pretrained=tiny_llama, batch_size=4)
    asked = instances(tasks)
    answers = model.loglikelihood(asked, disable_tqdm=True)
    given = set()
    for request, (value, greedy) in zip(asked, answers, strict=True):
        context, target = request.args
        before = model.tok_encode(context) or [model.prefix_token_id]
        ids = [*before, *model.tok_encode(target)]
        expected, best = 0.0, True
        for end in range(len(before), len(ids)):
            with torch.inference_mode():
                logits = model.model(torch.tensor([ids[:end]])).logits[0, -1].double()
            expected += float(logits.log_softmax(dim=0)[ids[end]])
            best &= int(logits.argmax()) == ids[end]
        assert value == pytest.approx(expected, abs=1e-4)
        assert greedy == best
        record = records_of(model)[request.doc_id, request.idx]
        # What an earlier choice of the question was given already costs nothing again.
        own = (request.doc_id, *ids[:-1])
        assert (record.nfe, record.positions) == ((0, 0) if own in given else (1, len(ids) - 1))
        given.add(own)
        assert (record.exact, record.stderr, record.quantity) == (True, 0.0, "log_likelihood")


def test_a_single_token_is_exact_for_diffusion(
    tiny_llada: Path, make_model: Any, tasks: Any, records_of: Any
) -> None:
    model = make_model("dllm", pretrained=tiny_llada)
    docs = [{"q": "The capital of France is", "a": "x", "choices": ["x", "y", "z"]}]
    task = tasks("multiple_choice", docs, doc_to_choice="{{choices}}", target_delimiter="")
    task.build_all_requests()
    answers = model.loglikelihood(task.instances, disable_tqdm=True)
    before = model.tok_encode("The capital of France is")
    canvas = torch.tensor([[*before, model.denoiser.family.mask_id]])
    expected = model.denoiser.logits(canvas)[0, -1].double().log_softmax(dim=0)
    for (value, _), letter in zip(answers, "xyz", strict=True):
        assert value == pytest.approx(float(expected[model.tok_encode(letter)[0]]), abs=1e-4)
    assert all(r.exact and r.visible_tokens == 1 for r in records_of(model).values())


def test_rolling_scores_every_token_once(
    setup: Any, make_model: Any, tasks: Any, records_of: Any
) -> None:
    name, arguments = setup
    model = make_model(name, max_length=16, **arguments)
    text = "def add(a, b):\n    return a + b\n" * 4
    task = tasks("loglikelihood_rolling", [{"q": "", "a": text}], doc_to_target="{{a}}")
    task.build_all_requests()
    (total,) = model.loglikelihood_rolling(task.instances, disable_tqdm=True)
    (record,) = records_of(model).values()
    ids = model.tok_encode(text)
    assert record.visible_tokens == len(ids)
    assert record.request_type == "loglikelihood_rolling"
    assert record.value == total < 0

    windows = model.rolling.windows(ids, model.prefix_token_id)
    assert [token for _, target in windows for token in target] == ids
    longest = 16 + (name == "dllm-ar")
    assert all(len(context) + len(target) <= longest for context, target in windows)
    assert all(a[1][-1] == b[0][-1] for a, b in pairwise(windows))
    identity = model._identities(task.instances)[0]
    salts = model._rolling_job(identity, text).salts
    parts = model._score(windows, salts, ())
    assert total == pytest.approx(sum(part.value for part in parts), abs=1e-3)


def test_rolling_windows_share_no_noise_and_choices_share_all(
    tiny_llada: Path, make_model: Any, tasks: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Equal texts in three documents, each of many windows: every window draws for itself."""
    arguments = {"pretrained": tiny_llada, "likelihood": "monte_carlo", "mc_samples": 4}
    model = make_model("dllm", max_length=16, batch_size=2, **arguments)
    text = "x" * 42
    docs: list[dict[str, Any]] = [{"q": "", "a": text}] * 3
    task = tasks("loglikelihood_rolling", docs, doc_to_target="{{a}}")
    task.build_all_requests()
    parts = scores_of(model, monkeypatch)
    values = model.loglikelihood_rolling(task.instances, disable_tqdm=True)
    ids = model.tok_encode(text)
    windows = len(model.rolling.windows(ids, model.prefix_token_id))
    assert windows > 2
    assert len({part.value for part in parts}) == len(parts) == 3 * windows
    assert len(set(values)) == 3
    by_document = [parts[start : start + windows] for start in range(0, len(parts), windows)]
    for record, own in zip(model.log.records.values(), by_document, strict=True):
        assert record.stderr == pytest.approx(sum(part.stderr**2 for part in own) ** 0.5)

    parts.clear()
    docs = [{"q": "x", "a": " def add", "choices": [" def add", " def add"]}]
    task = tasks("multiple_choice", docs, **CHOICE)
    task.build_all_requests()
    model.loglikelihood(task.instances, disable_tqdm=True)
    assert parts[0].value == parts[1].value


def scores_of(model: Any, monkeypatch: pytest.MonkeyPatch) -> list[Any]:
    """Every likelihood that the model computes from now on."""
    seen: list[Any] = []
    original = model._score

    def keeping(pairs: Any, salts: Any, questions: Any) -> Any:
        found = original(pairs, salts, questions)
        seen.extend(found)
        return found

    monkeypatch.setattr(model, "_score", keeping)
    return seen


@pytest.mark.parametrize("blank", [" ", "\n", "  "])
def test_a_context_of_blanks_asks_what_an_empty_one_asks(
    setup: Any, make_model: Any, blank: str, tasks: Any
) -> None:
    """lm-eval moves the blanks into the continuation, behind the token that begins a text."""
    name, arguments = setup
    model = make_model(name, **arguments)
    assert model._pair(blank, "A") == model._pair("", blank + "A")
    request = replace(instances(tasks)[0], arguments=(blank, "A"))
    (answer,) = model.loglikelihood([request], disable_tqdm=True)
    assert answer[0] < 0


@pytest.mark.parametrize("value", [-inf, -3.25])
def test_an_impossible_answer_stays_impossible_after_resuming(
    setup: Any,
    make_model: Any,
    tasks: Any,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    value: float,
) -> None:
    name, arguments = setup
    arguments = arguments | {"records": tmp_path / "requests.jsonl"}
    asked = instances(tasks)[:1]
    first = make_model(name, **arguments)
    original = first._score

    def scored(pairs: Any, salts: Any, questions: Any) -> Any:
        parts = original(pairs, salts, questions)
        return [replace(part, value=value, stderr=inf) for part in parts]

    monkeypatch.setattr(first, "_score", scored)
    assert first.loglikelihood(asked, disable_tqdm=True)[0][0] == value
    first.log.close()
    again = make_model(name, **arguments)
    assert again.loglikelihood(asked, disable_tqdm=True)[0][0] == value
    assert [record.stderr for record in again.log.records()] == [inf]
    again.log.close()


def test_a_logged_score_without_its_value_is_refused(
    setup: Any, make_model: Any, tasks: Any
) -> None:
    name, arguments = setup
    model = make_model(name, **arguments)
    asked = instances(tasks)[:1]
    model.loglikelihood(asked, disable_tqdm=True)
    (record,) = model.log.records.values()
    model.log.put(record.model_copy(update={"value": None}))
    with pytest.raises(UsageError, match=f"record {record.key} has no value"):
        model.loglikelihood(asked, disable_tqdm=True)


def test_an_autoregressive_score_that_is_no_number_is_refused(
    tiny_llama: Path, make_model: Any, tasks: Any
) -> None:
    model = make_model("dllm-ar", pretrained=tiny_llama)

    def spoil(_module: Any, _arguments: Any, out: Any) -> None:
        out.logits.fill_(torch.nan)

    hook = model.model.register_forward_hook(spoil)
    try:
        with pytest.raises(UsageError, match="logits are NaN"):
            model.loglikelihood(instances(tasks)[:1], disable_tqdm=True)
    finally:
        hook.remove()


def test_long_contexts_are_cut_and_long_targets_refused(
    setup: Any, make_model: Any, tasks: Any, records_of: Any
) -> None:
    name, arguments = setup
    model = make_model(name, max_length=12, **arguments)
    room = 12 + (name == "dllm-ar")
    docs = [{"q": "def add(a, b): " * 9, "a": " A", "choices": [" A", " B"]}]
    task = tasks("multiple_choice", docs, **CHOICE)
    task.build_all_requests()
    model.loglikelihood(task.instances, disable_tqdm=True)
    for record in records_of(model).values():
        assert record.prompt_tokens + record.visible_tokens == room
    docs = [{"q": "x", "a": " A", "choices": [" A", " def add(a, b):" * 9]}]
    task = tasks("multiple_choice", docs, **CHOICE)
    task.build_all_requests()
    with pytest.raises(UsageError, match="does not fit into 12"):
        model.loglikelihood(task.instances, disable_tqdm=True)


def test_resuming_scores_nothing_twice(
    setup: Any, make_model: Any, tasks: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    name, arguments = setup
    log = tmp_path / "requests.jsonl"
    asked = instances(tasks)
    first = make_model(name, records=log, **arguments)
    early = first.loglikelihood(asked[:4], disable_tqdm=True)
    first.log.close()
    again = make_model(name, records=log, **arguments)
    scored = []
    original = again._score

    def counting(pairs: Any, salts: Any, questions: Any) -> Any:
        scored.extend(pairs)
        return original(pairs, salts, questions)

    monkeypatch.setattr(again, "_score", counting)
    answers = again.loglikelihood(asked, disable_tqdm=True)
    again.log.close()
    assert answers[:4] == early
    # The second question had one of its three choices in the log, and is a whole again.
    assert len(scored) == len(asked) - 3
    assert scored[:3] == [again._pair(*request.args) for request in asked[3:6]]
