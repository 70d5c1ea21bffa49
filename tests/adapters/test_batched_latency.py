"""Batches above one in latency cells: what is warmed up, what is timed, what the records tell."""

from pathlib import Path
from typing import Any

import pytest

from dllm_eval.packing import Packing

GENERATE = {"generation_kwargs": {"until": ["\n"], "max_gen_toks": 8}}
TEXTS = ["x", "def add(a, b):\n    return", "Question: what? Answer:", "a b c d e f g", "The"]
TEXTS += ["def sub(a, b):\n    result = a - b\n    return result\n\ndef", "add", "while a > b"]
CHECKPOINTS = {"dllm": "tiny_llada", "dllm-ar": "tiny_llama"}


class Clock:
    """A timer of which the n-th measurement takes n seconds."""

    count = 0

    def __init__(self, device: object) -> None:
        del device
        self.cpu_seconds: float | None = None

    def __enter__(self) -> "Clock":
        type(self).count += 1
        self.seconds = float(type(self).count)
        return self

    def __exit__(self, *error: object) -> None:
        pass


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> type[Clock]:
    monkeypatch.setattr("dllm_eval.adapters.timing.Timer", Clock)
    monkeypatch.setattr(Clock, "count", 0)
    return Clock


@pytest.fixture(params=CHECKPOINTS)
def make(request: pytest.FixtureRequest, make_model: Any) -> Any:
    """`make(**arguments)`: one of our models."""
    fixed = {"pretrained": request.getfixturevalue(CHECKPOINTS[request.param])}
    if request.param == "dllm":
        fixed |= {"gen_length": 8, "steps": 4}
    return lambda **more: make_model(request.param, **(fixed | more))


@pytest.fixture
def requests(tasks: Any) -> list[Any]:
    task = tasks("generate_until", [{"q": text, "a": ""} for text in TEXTS], **GENERATE)
    task.build_all_requests()
    found: list[Any] = task.instances
    return found


def passes(model: Any, requests: list[Any]) -> list[tuple[int, int]]:
    """(rows, positions) of every forward pass of the network while it answers."""
    seen: list[tuple[int, int]] = []

    def look(_: object, positional: Any, named: Any) -> None:
        ids, mask = positional[0] if positional else named["input_ids"], named.get("mask")
        rows = len(mask.lengths) if isinstance(mask, Packing) else ids.shape[0]
        seen.append((rows, ids.numel() // rows))

    network = model.denoiser.body if hasattr(model, "denoiser") else model.model
    hook = network.register_forward_pre_hook(look, with_kwargs=True)
    model.generate_until(requests, disable_tqdm=True)
    hook.remove()
    return seen


def test_a_batchs_time_is_shared_equally(make: Any, requests: list[Any], clock: Any) -> None:
    model = make(batch_size=3, warmup=2, timing_repeats=3)
    model.generate_until(requests, disable_tqdm=True)
    rows = list(model.log.records.values())
    assert clock.count == 9
    # Batches of 3, 3 and 2; of each batch's seconds 1, 2, 3 (then 4, 5, 6 ...) the middle counts.
    assert [row.batch_size for row in rows] == [3, 3, 3, 3, 3, 3, 2, 2]
    assert [row.seconds * row.batch_size for row in rows] == [2.0] * 3 + [5.0] * 3 + [8.0] * 2
    for row in rows:
        middle = round(row.seconds * row.batch_size)
        expected = [(middle + shift) / row.batch_size for shift in (-1, 0, 1)]
        assert row.repeat_seconds == expected
    # What a throughput is made of: the shares add up to what the clock saw.
    for size, seconds in ((3, 7.0), (2, 8.0)):
        own = [row for row in rows if row.batch_size == size]
        assert sum(row.seconds for row in own) == pytest.approx(seconds)


@pytest.mark.parametrize("size", [1, 3, 8])
def test_a_batch_is_one_pass_and_warm_before_it_is_timed(
    size: int, make: Any, requests: list[Any]
) -> None:
    """Every shape runs as often as its batches are repeated, and once more for each warm-up."""
    plain = make(batch_size=size)
    once = passes(plain, requests)
    seen = passes(make(batch_size=size, warmup=2, timing_repeats=3), requests)
    assert {rows for rows, _ in once} == {min(size, len(requests)), len(requests) % size} - {0}
    shapes = {rows for rows, _ in once}
    extra = len(seen) - 3 * len(once)
    assert extra == 2 * sum(_passes_of_first_batch(plain, rows) for rows in shapes)


def _passes_of_first_batch(model: Any, rows: int) -> int:
    """Forward passes of the first batch that had so many rows: those of its longest answer."""
    own = [record for record in model.log.records.values() if record.batch_size == rows][:rows]
    return max(int(record.nfe) for record in own)


def test_passes_are_shared_by_the_rows(make: Any, requests: list[Any]) -> None:
    """A batch takes as many passes as its longest answer, not as all of them together."""
    model = make(batch_size=8)
    seen = passes(model, requests)
    rows = list(model.log.records.values())
    assert {row.batch_size for row in rows} == {8}
    assert len(seen) == max(row.nfe for row in rows)
    assert {count for count, _ in seen} == {8}


@pytest.mark.parametrize("size", [2, 3, 8])
def test_an_answer_does_not_depend_on_its_neighbours(
    size: int, make: Any, requests: list[Any]
) -> None:
    alone, together = make(batch_size=1), make(batch_size=size)
    answers = alone.generate_until(requests, disable_tqdm=True)
    assert together.generate_until(requests, disable_tqdm=True) == answers
    assert len(set(answers)) > 2
    same = ("tokens", "nfe", "positions", "visible_tokens", "stop_reason", "reveal_step")
    for key, row in together.log.records.items():
        one = alone.log.records[key]
        assert [getattr(row, name) for name in same] == [getattr(one, name) for name in same]


@pytest.mark.parametrize("size", [1, 8])
def test_both_caches_of_the_autoregressive_model_give_one_answer(
    size: int, tiny_llama: Path, make_model: Any, requests: list[Any]
) -> None:
    """`cache` as a sweep's axis: another cost, another key, the same tokens."""
    models = {
        cache: make_model("dllm-ar", pretrained=tiny_llama, cache=cache, batch_size=size)
        for cache in ("dynamic", "static")
    }
    answers = [each.generate_until(requests, disable_tqdm=True) for each in models.values()]
    assert answers[0] == answers[1]
    dynamic, static = (each.log.records for each in models.values())
    assert not dynamic.keys() & static.keys()
    for one, other in zip(dynamic.values(), static.values(), strict=True):
        assert (one.tokens, one.positions, one.cache) == (other.tokens, other.positions, "exact")
        assert other.cache == "exact"
