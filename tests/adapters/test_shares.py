"""A call's batches dealt out over shares: together their logs are the log of one run."""

from collections.abc import Callable
from importlib import import_module
from typing import Any

import pytest

from dllm_eval.errors import UsageError
from dllm_eval.records import RequestRecord

batches = import_module("dllm_eval.adapters.batches")

TIMES = {"seconds", "repeat_seconds", "cpu_seconds"}
GENERATE = {"generation_kwargs": {"until": ["\n"], "max_gen_toks": 6}, "repeats": 2}
TEXTS = ["x", "def add(a, b):\n    return", "Question: what? Answer:", "a b c d e f g", "The"]
CHOICES = {"doc_to_choice": ["a", "b c", "C"], "doc_to_target": "a"}
CALLS: dict[str, tuple[str, dict[str, Any], object]] = {
    "generate_until": ("generate_until", GENERATE, ""),
    "loglikelihood": ("multiple_choice", CHOICES, (0.0, False)),
    "loglikelihood_rolling": ("loglikelihood_rolling", {"doc_to_target": "{{q}}"}, 0.0),
}


@pytest.fixture(params=CALLS)
def asked(request: pytest.FixtureRequest, tasks: Any) -> tuple[str, list[Any], object]:
    """A method, its requests, and the answer to those of other shares."""
    kind, config, dummy = CALLS[request.param]
    task = tasks(kind, [{"q": text, "a": 0} for text in TEXTS], **config)
    task.build_all_requests()
    requests = [copy for each in task.instances for copy in [each] * each.repeats]
    return request.param, requests, dummy


@pytest.fixture(params=["dllm", "dllm-ar"])
def make(request: pytest.FixtureRequest, make_model: Any, tiny_llada: Any, tiny_llama: Any) -> Any:
    """`make(share)`: one of our models with that share."""

    def with_share(share: tuple[int, int] | None) -> Any:
        arguments: dict[str, Any] = {"pretrained": tiny_llama, "temperature": 0.7}
        if request.param == "dllm":
            arguments |= {"pretrained": tiny_llada, "gen_length": 6, "steps": 3, "mc_samples": 4}
        model = make_model(request.param, batch_size=3, max_length=24, **arguments)
        model.share = share
        return model

    return with_share


class Remembered:
    """What lm-eval's answer cache would keep."""

    def __init__(self) -> None:
        self.answers: list[object] = []

    def add_partial(self, method: str, arguments: object, answer: object) -> None:
        self.answers.append((method, arguments, answer))


def lines(records: dict[str, RequestRecord]) -> list[str]:
    return [records[key].model_dump_json(exclude=TIMES) for key in sorted(records)]


@pytest.mark.parametrize("count", [1, 2, 3, 20])
def test_the_shares_together_are_the_whole(
    count: int, asked: tuple[str, list[Any], object], make: Callable[..., Any]
) -> None:
    method, requests, dummy = asked
    whole = make(None)
    answers = getattr(whole, method)(requests, disable_tqdm=True)
    united: dict[str, RequestRecord] = {}
    answered_by = [0] * len(requests)
    for index in range(count):
        model = make((index, count))
        model.cache_hook = hook = Remembered()
        own = getattr(model, method)(requests, disable_tqdm=True)
        assert not hook.answers, "lm-eval was to remember the answers of a share"
        keys = [identity.key for identity in model._identities(requests)]
        for number, (key, answer) in enumerate(zip(keys, own, strict=True)):
            mine = key in model.log.records
            assert answer == (answers[number] if mine else dummy)
            answered_by[number] += mine
        assert not united.keys() & model.log.records.keys()
        united |= model.log.records
    assert answered_by == [1] * len(requests)
    assert lines(united) == lines(whole.log.records)
    after = make(None)
    after.log.records = united
    assert getattr(after, method)(requests, disable_tqdm=True) == answers


@pytest.mark.parametrize("share", [(2, 2), (-1, 2), (0, 0)])
def test_a_share_that_there_is_none_of(share: tuple[int, int]) -> None:
    with pytest.raises(UsageError, match=r"accepted: \(index, count\) with 0 <= index < count"):
        batches.of_share([[1], [2]], share)


def test_every_batch_is_of_one_share() -> None:
    numbered = [[number] for number in range(7)]
    assert batches.of_share(numbered, (1, 3)) == [[1], [4]]
    assert batches.of_share(numbered, None) == numbered
