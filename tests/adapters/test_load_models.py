"""An offered load, answered by tiny real models: the same answers, in batches of what waits."""

import logging
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

from dllm_eval.errors import UsageError
from dllm_eval.load import Load

TEXTS = ["x", "def add(a, b):\n    return", "Question: what? Answer:", "a b c d e f g", "The"]
GENERATE = {"generation_kwargs": {"until": ["\n"], "max_gen_toks": 6}}


@pytest.fixture(params=["dllm", "dllm-ar"])
def make(
    request: pytest.FixtureRequest, make_model: Any, tiny_llada: Path, tiny_llama: Path
) -> Any:
    """`make(**arguments)`: one of our models."""
    if request.param == "dllm":
        fixed: dict[str, Any] = {"pretrained": tiny_llada, "gen_length": 6, "steps": 3}
    else:
        fixed = {"pretrained": tiny_llama}
    return lambda **more: make_model(request.param, **(fixed | more))


@pytest.fixture
def requests(tasks: Any) -> list[Any]:
    docs = [{"q": f"{text} {number}", "a": ""} for number in range(3) for text in TEXTS]
    task = tasks("generate_until", docs, **GENERATE)
    task.build_all_requests()
    found: list[Any] = task.instances
    return found


def batches_of(model: Any) -> list[int]:
    """How many requests each call of its decoding has; filled while it answers."""
    sizes: list[int] = []
    decode = model._decode

    def look(batch: Sequence[Any]) -> Any:
        sizes.append(len(batch))
        return decode(batch)

    model._decode = look
    return sizes


def test_a_models_answers_are_those_without_a_load(make: Any, requests: list[Any]) -> None:
    plain = make(batch_size=1)
    answers = plain.generate_until(requests, disable_tqdm=True)
    assert len(set(answers)) > 3
    model = make(batch_size=4)
    sizes = batches_of(model)
    model.load = Load(in_flight=4, seconds=60, requests=10, warmup=2)
    told = model.generate_until(requests, disable_tqdm=True)
    assert told == answers[:10] + [""] * 5
    assert sizes == [4, 4, 4, 4, 2]  # the first two leave no record
    same = ("tokens", "nfe", "visible_tokens", "prompt_tokens", "response", "seed", "doc_id")
    assert len(model.log.records) == 10
    for key, record in model.log.records.items():
        one = plain.log.records[key]
        assert [getattr(record, name) for name in same] == [getattr(one, name) for name in same]
        assert record.offered_s is not None
        assert record.seconds > 0
        assert record.repeat_seconds == [record.seconds]
        assert record.cpu_seconds is None
    records = list(model.log.records.values())
    assert [record.batch_size for record in records] == [4] * 8 + [2] * 2
    first, later = records[:4], records[4:8]
    assert {record.seconds + (record.offered_s or 0.0) for record in first} == {
        record.offered_s for record in later
    }


def test_under_arrivals_those_that_wait_share_a_batch(make: Any, requests: list[Any]) -> None:
    model = make(batch_size=3)
    sizes = batches_of(model)
    model.load = Load(arrivals_per_s=1e6, seconds=60, requests=13, warmup=1)
    told = model.generate_until(requests, disable_tqdm=True)
    assert sizes[:2] == [3, 1]  # warm-up: a full batch, and one alone
    assert sum(sizes[2:]) == 13
    assert set(sizes[3:-1]) == {3}
    records = list(model.log.records.values())
    assert [record.doc_id for record in records] == list(range(13))
    assert told[13:] == [""] * 2
    assert [record.offered_s for record in records] == model.load.arrivals_s()
    assert records[-1].seconds > records[0].seconds  # it waited for all the others


def test_memory_that_does_not_suffice_halves_the_batch(
    make: Any, requests: list[Any], caplog: pytest.LogCaptureFixture
) -> None:
    model = make(batch_size=4)
    decode, asked = model._decode, []

    def narrow(batch: Sequence[Any]) -> Any:
        asked.append(len(batch))
        if len(batch) > 2:
            raise MemoryError
        return decode(batch)

    model._decode = narrow
    model.load = Load(in_flight=4, seconds=60, requests=8, warmup=1)
    with caplog.at_level(logging.WARNING):
        model.generate_until(requests, disable_tqdm=True)
    assert asked == [4, 2, 2, 2, 2, 2, 2]  # found out while warming up, once
    assert {record.batch_size for record in model.log.records.values()} == {2}
    assert len(model.log.records) == 8
    assert "4 requests of up to" in caplog.text


def test_a_load_in_which_a_shape_was_compiled_is_offered_anew(
    make: Any, requests: list[Any]
) -> None:
    model = make(batch_size=4)
    sizes = batches_of(model)
    model.stopwatch.compiled = lambda: len({*sizes})  # a shape is compiled when it is met first
    model.load = Load(in_flight=4, seconds=60, requests=6, warmup=1)
    model.generate_until(requests, disable_tqdm=True)
    assert sizes == [4, 4, 2, 4, 2]  # warm-up; with a new shape, 2; without
    assert len(model.log.records) == 6


def test_likelihoods_are_refused_before_anything_is_scored(make: Any, tasks: Any) -> None:
    model = make(batch_size=4)
    model.load = Load(in_flight=2, seconds=60, requests=4)
    task = tasks("loglikelihood")
    task.build_all_requests()
    with pytest.raises(UsageError, match="2 in flight is offered, and the task asks for logli"):
        model.loglikelihood(task.instances, disable_tqdm=True)
    assert not model.log.records
