"""Which requests are sent, in which order, and what is written down when: without a network."""

from collections.abc import Callable, Sequence
from importlib import import_module
from typing import Any

import pytest

from dllm_eval.endpoint.ask import Ask, Reply
from dllm_eval.errors import UsageError
from dllm_eval.load import Load

answering: Any = import_module("dllm_eval.adapters.api_answering")
records: Any = import_module("dllm_eval.adapters.api_records")
requests: Any = import_module("dllm_eval.adapters.api_requests")
jobs: Any = import_module("dllm_eval.adapters.jobs")
MemoryLog: Any = import_module("dllm_eval.adapters.records").MemoryLog


class Backwards:
    """A server in this process that answers the last request first."""

    def __init__(self, log: Any) -> None:
        self.log = log
        self.calls: list[tuple[list[Ask], dict[str, Any]]] = []
        self.known_before: list[int] = []

    def __call__(self, asks: Sequence[Ask], done: Callable[[int, Reply], None], **how: Any) -> None:
        self.calls.append((list(asks), how))
        starts = how.get("starts_s") or [0.0] * len(asks)
        for number in reversed(range(len(asks))):
            self.known_before.append(len(self.log.records))
            text = f"<{asks[number].prompt[-6:]}>"
            done(
                number,
                Reply(
                    text=text,
                    finish_reason="stop",
                    seconds=1.0 + number,
                    offered_s=starts[number],
                    whole_s=10.0 + number,
                ),
            )


def job(name: str, texts: tuple[str, ...] | None = None) -> Any:
    identity = jobs.Identity(key=name, task="quiz", doc_id=0, index=0, repeat=0)
    return requests.ApiJob(
        identity=identity,
        route="completions",
        texts=texts or (name,),
        ends=("",) * len(texts or ()),
        until=(),
        stop=(),
        max_tokens=8,
        temperature=0.0,
        seed=1,
        sent_seed=1,
        more={},
    )


def ready(repeats: int = 1) -> tuple[Any, Backwards]:
    log = MemoryLog()
    server = Backwards(log)
    asked = records.Asked(model="diffusion", in_flight=3)
    return answering.Answering(answered=server, asked=asked, log=log, repeats=repeats), server


def test_each_answer_is_written_down_at_once() -> None:
    made, server = ready()
    made.run([job("a"), job("b"), job("c")], total=3, hidden=True)
    assert server.known_before == [0, 1, 2]
    assert {key: r.response for key, r in made.log.records.items()} == {
        name: f"<{name}>" for name in "abc"
    }
    assert server.calls[0][1] == {"in_flight": 3}


def test_a_repeated_request_is_written_down_after_its_last_repetition() -> None:
    made, server = ready(repeats=2)
    made.run([job("a"), job("b")], total=2, hidden=True)
    assert [ask.prompt for ask in server.calls[0][0]] == ["a", "a", "b", "b"]
    assert server.known_before == [0, 0, 1, 1]
    assert made.log.records["a"].repeat_seconds == [1.0, 2.0]
    assert made.log.records["b"].repeat_seconds == [3.0, 4.0]


def test_gaps_are_asked_round_by_round() -> None:
    made, server = ready()
    made.run(
        [job("one"), job("two", ("x", "y", "z")), job("three", ("p", "q", "r", "s"))],
        total=3,
        hidden=True,
    )
    assert [[ask.prompt for ask in asks] for asks, _ in server.calls] == [
        ["one", "x", "p"],
        ["x<x>y", "p<p>q"],
        ["p<p>q<p<p>q>r"],
    ]
    assert made.log.records["one"].response == "<one>"
    assert made.log.records["two"].response == '["<x>", "<x<x>y>"]'
    assert made.log.records["three"].seconds == 1.0 + 2 + 1 + 1 + 1


def test_a_closed_loop_offers_so_many_at_a_time() -> None:
    made, server = ready()
    load = Load(in_flight=2, seconds=30.0, requests=3)
    made.offer([job(name) for name in "abcde"], load)
    asks, how = server.calls[0]
    assert [ask.prompt for ask in asks] == ["a", "b", "c"]
    assert how == {"in_flight": 2, "starts_s": None, "until_s": 30.0}
    record = made.log.records["b"]
    assert (record.seconds, record.offered_s, record.batch_size) == (11.0, 0.0, 2)


def test_arrivals_are_offered_when_they_come() -> None:
    made, server = ready()
    load = Load(arrivals_per_s=2.0, seconds=2.0, requests=50, seed=4)
    starts = load.arrivals_s() or []
    assert 1 < len(starts) < 50
    made.offer([job(f"j{n}") for n in range(50)], load)
    asks, how = server.calls[0]
    assert len(asks) == len(starts) == len(made.log.records)
    assert how == {"in_flight": len(starts), "starts_s": starts, "until_s": 2.0}
    by_offer = sorted(r.offered_s for r in made.log.records.values())
    assert by_offer == starts
    # Nothing is answered before all have come: the first answer has all of them in flight.
    assert sorted(r.batch_size for r in made.log.records.values()) == [*range(1, len(starts) + 1)]


def test_fewer_documents_than_arrivals_are_offered_as_far_as_they_go() -> None:
    made, server = ready()
    load = Load(arrivals_per_s=100.0, seconds=2.0, requests=50)
    made.offer([job("a"), job("b")], load)
    asks, how = server.calls[0]
    assert len(asks) == len(how["starts_s"]) == 2


def test_gaps_that_wait_for_each_other_are_no_load() -> None:
    made, server = ready()
    with pytest.raises(UsageError, match=r"several gaps.*cannot be offered as a load"):
        made.offer([job("a", ("x", "y", "z"))], Load(in_flight=1, seconds=1.0, requests=1))
    assert server.calls == []
