"""Memory that does not suffice for a batch: it is halved, said once, remembered, recorded."""

import logging
import weakref
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pytest
import torch

from dllm_eval.errors import UsageError
from dllm_eval.records import RequestRecord

TIMES = {"seconds", "repeat_seconds", "cpu_seconds"}
TEXTS = [f"def add(a, b): return {'a ' * count}" for count in range(11)]
GENERATE = {"generation_kwargs": {"until": [], "max_gen_toks": 6}}
ERRORS: dict[str, Callable[[], Exception]] = {
    "cuda": lambda: torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB."),
    "cpu": lambda: RuntimeError("[enforce fail] DefaultCPUAllocator: can't allocate memory"),
    "python": MemoryError,
}


class Narrow:
    """A model's decoding that has room for a few requests, keeps count and watches its scraps."""

    def __init__(self, model: Any, most: int, error: Callable[[], Exception]) -> None:
        self.decode = model._decode
        self.most = most
        self.error = error
        self.asked: list[int] = []
        self.watched: list[weakref.ref[torch.Tensor]] = []
        model._decode = self

    def __call__(self, batch: Sequence[Any]) -> Any:
        self.asked.append(len(batch))
        assert all(each() is None for each in self.watched), "a failed pass is still in memory"
        if len(batch) > self.most:
            scratch = torch.zeros(3)
            self.watched.append(weakref.ref(scratch))
            raise self.error()
        return self.decode(batch)


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
    task = tasks("generate_until", [{"q": text, "a": ""} for text in TEXTS], **GENERATE)
    task.build_all_requests()
    found: list[Any] = task.instances
    return found


def lines(records: dict[str, RequestRecord], *without: str) -> list[str]:
    hidden = TIMES | set(without)
    return [records[key].model_dump_json(exclude=hidden) for key in sorted(records)]


@pytest.mark.parametrize("error", ERRORS)
def test_a_batch_is_halved_until_it_fits(
    error: str, make: Any, requests: list[Any], caplog: pytest.LogCaptureFixture
) -> None:
    plain = make(batch_size=4)
    answers = plain.generate_until(requests, disable_tqdm=True)
    model = make(batch_size=4)
    narrow = Narrow(model, 1, ERRORS[error])
    with caplog.at_level(logging.WARNING):
        assert model.generate_until(requests, disable_tqdm=True) == answers
    # Two batches of four, where the second remembers what the first found out, and one of three.
    assert narrow.asked == [4, 2, *[1] * 4, *[1] * 4, 3, *[1] * 3]
    assert {record.batch_size for record in model.log.records.values()} == {1}
    assert lines(model.log.records, "batch_size", "host_syncs") == lines(
        plain.log.records, "batch_size", "host_syncs"
    )
    (said,) = [record for record in caplog.records if "do not fit into memory" in record.message]
    assert "4 requests of up to" in said.message
    assert "going on with 2 at a time" in said.message


def test_the_record_says_what_was_run(make: Any, requests: list[Any]) -> None:
    model = make(batch_size=8, warmup=1, timing_repeats=2)
    narrow = Narrow(model, 5, ERRORS["cuda"])
    model.generate_until(requests, disable_tqdm=True)
    # A warm-up and two repetitions of each size; the failed attempt is neither.
    assert narrow.asked == [8, 4, 4, 4, 4, 4, 3, 3, 3]
    sizes = sorted(record.batch_size for record in model.log.records.values())
    assert sizes == [3] * 3 + [4] * 8
    assert all(len(record.repeat_seconds) == 2 for record in model.log.records.values())


@pytest.mark.parametrize("most", [1, 3, 5])
def test_a_run_that_is_taken_up_again_halves_alike(
    most: int, make: Any, requests: list[Any]
) -> None:
    whole = make(batch_size=6)
    Narrow(whole, most, ERRORS["cuda"])
    whole.generate_until(requests, disable_tqdm=True)
    keys = list(whole.log.records)
    for kept in range(len(keys)):
        model = make(batch_size=6)
        Narrow(model, most, ERRORS["cuda"])
        model.log.records = {key: whole.log.records[key] for key in keys[:kept]}
        model.generate_until(requests, disable_tqdm=True)
        assert lines(model.log.records) == lines(whole.log.records)


def test_one_request_that_does_not_fit(make: Any, requests: list[Any]) -> None:
    model = make(batch_size=4)
    narrow = Narrow(model, 0, ERRORS["cuda"])
    with pytest.raises(
        UsageError, match=r"does not fit into memory at batch_size 1; .* gen_length"
    ):
        model.generate_until(requests, disable_tqdm=True)
    assert narrow.asked == [4, 2, 1]


def test_any_other_error_is_not_about_memory(make: Any, requests: list[Any]) -> None:
    model = make(batch_size=4)
    Narrow(model, 0, lambda: RuntimeError("shape mismatch"))
    with pytest.raises(RuntimeError, match="shape mismatch"):
        model.generate_until(requests, disable_tqdm=True)
