"""An offered load, answered in static batches: against a slow simulation, theory and the clock.

The queue is run on a clock of the test's own with service times that are known.
"""

import math
import time
from collections.abc import Callable, Iterator, Sequence
from importlib import import_module
from itertools import pairwise
from statistics import mean
from typing import Any

import pytest

from dllm_eval.errors import UsageError
from dllm_eval.load import Load

offering: Any = import_module("dllm_eval.adapters.load")

Service = Callable[[Sequence[int]], float]
"""Requests of a batch -> seconds."""


def one_shape(number: int) -> int:
    del number
    return 0


def always(seconds: float) -> Service:
    def service(batch: Sequence[int]) -> float:
        del batch
        return seconds

    return service


class Pretended:
    """A clock that only sleeping and serving move on."""

    def __init__(self) -> None:
        self.now = 1000.0

    def sleep(self, seconds: float) -> None:
        assert seconds >= 0
        # A sleep too short for this clock's digits passes all the same.
        self.now = max(self.now + seconds, math.nextafter(self.now, math.inf))

    @property
    def clock(self) -> Any:
        return offering.Clock(now_s=lambda: self.now, sleep=self.sleep)


def offered(
    load: Load,
    count: int,
    *,
    most: int,
    service: Service,
    shape: Callable[[int], int] = one_shape,
    pieces: int | None = None,
) -> list[Any]:
    """Offers the requests 0, 1, 2 ... and answers each with its own number, negative."""
    pretended = Pretended()

    def run(batch: Sequence[int]) -> Iterator[tuple[Sequence[int], Sequence[int]]]:
        size = pieces or len(batch)
        for start in range(0, len(batch), size):
            some = batch[start : start + size]
            pretended.now += service(some)
            yield some, [-number for number in some]

    offer = offering.Offer(
        load=load,
        jobs=range(count),
        most=most,
        company=shape,
        run=run,
        clock=pretended.clock,
    )
    found: list[Any] = offer.answers()
    return found


def simulated(
    load: Load,
    count: int,
    *,
    most: int,
    service: Service,
    shape: Callable[[int], int] = one_shape,
) -> dict[int, tuple[float, float, int]]:
    """The same, written down the slow way: request -> (offered, answered, batch size).

    Time goes from one moment at which the server is free to the next. A closed loop is a bag of
    places, each with the moment from which it is free; arrivals are a list of moments.
    """
    arrivals = load.arrivals_s()
    places = [0.0] * (load.in_flight or 0)
    bound = min(count, load.requests, len(arrivals) if arrivals is not None else count)
    offers: dict[int, float] = dict(enumerate(arrivals[:bound])) if arrivals is not None else {}
    answers: dict[int, tuple[float, float, int]] = {}
    free = 0.0
    while True:
        while arrivals is None and len(offers) < bound and places and min(places) <= load.seconds:
            offers[len(offers)] = min(places)
            places.remove(min(places))
        left = [number for number in sorted(offers) if number not in answers]
        if not left:
            return answers
        begin = max(free, offers[left[0]])
        there = [number for number in left if offers[number] <= begin]
        batch = [number for number in there if shape(number) == shape(there[0])][:most]
        free = begin + service(batch)
        for number in batch:
            answers[number] = (offers[number], free, len(batch))
            places.append(free)


LOADS = [
    Load(in_flight=1, seconds=100, requests=40),
    Load(in_flight=4, seconds=100, requests=42),
    Load(in_flight=7, seconds=9, requests=1000),
    Load(arrivals_per_s=0.7, seconds=100, requests=60, seed=3),
    Load(arrivals_per_s=3.0, seconds=40, requests=200, seed=4),
    Load(arrivals_per_s=20.0, seconds=5, requests=70, seed=5),
]


@pytest.mark.parametrize("load", LOADS, ids=lambda load: load.words)
@pytest.mark.parametrize("shapes", [1, 3])
@pytest.mark.parametrize("most", [1, 4, 16])
def test_every_request_waits_as_the_slow_simulation_says(
    load: Load, shapes: int, most: int
) -> None:
    def service(batch: Sequence[int]) -> float:
        return 0.4 + 0.07 * len(batch) + 0.01 * (max(batch) % 5)

    def shape(number: int) -> int:
        return (number * number) % shapes

    found = offered(load, 300, most=most, service=service, shape=shape)
    expected = simulated(load, 300, most=most, service=service, shape=shape)
    assert sorted(each.job for each in found) == sorted(expected)
    assert len(found) > 8
    for each in found:
        at, answered, size = expected[each.job]
        assert each.result == -each.job
        assert each.offered_s == pytest.approx(at, abs=1e-9)
        assert each.offered_s + each.seconds == pytest.approx(answered, abs=1e-9)
        assert each.batch_size == size


def test_one_at_a_time_waits_as_long_as_theory_says() -> None:
    """M/D/1, Pollaczek-Khinchine: the mean wait is rho S / (2 (1 - rho))."""
    service_s, rho = 0.02, 0.6
    count = 60_000
    load = Load(arrivals_per_s=rho / service_s, seconds=1e9, requests=count, seed=1)
    found = offered(load, count, most=1, service=always(service_s))
    waits = [each.seconds - service_s for each in found]
    assert min(waits) > -1e-9
    assert mean(waits) == pytest.approx(rho * service_s / (2 * (1 - rho)), rel=0.04)
    # PASTA: an arrival finds the server free as often as it is.
    assert mean(wait < 1e-6 for wait in waits) == pytest.approx(1 - rho, abs=0.01)


def test_in_a_closed_loop_latency_and_throughput_are_one_number() -> None:
    """Little's law with N in flight: N = throughput x latency."""
    found = offered(Load(in_flight=8, seconds=1e9, requests=800), 800, most=8, service=always(0.5))
    assert {each.batch_size for each in found} == {8}
    assert [each.seconds for each in found] == pytest.approx([0.5] * 800)
    window = max(each.offered_s + each.seconds for each in found)
    assert len(found) / window * 0.5 == pytest.approx(8)


def test_arrivals_are_a_poisson_process() -> None:
    load = Load(arrivals_per_s=4.0, seconds=1e9, requests=40_000, seed=7)
    arrivals = load.arrivals_s()
    assert arrivals is not None
    gaps = [after - before for before, after in pairwise([0.0, *arrivals])]
    assert mean(gaps) == pytest.approx(0.25, rel=0.02)
    assert mean(gap > 0.5 for gap in gaps) == pytest.approx(math.exp(-2), abs=0.01)
    assert arrivals == load.arrivals_s()


@pytest.mark.parametrize(
    ("load", "count", "why"),
    [
        (Load(in_flight=2, seconds=100, requests=6), 50, "requests"),
        (Load(in_flight=2, seconds=2.5, requests=600), 50, "time"),
        (Load(in_flight=2, seconds=100, requests=600), 5, "documents"),
        (Load(arrivals_per_s=1, seconds=1000, requests=6), 50, "requests"),
        (Load(arrivals_per_s=1, seconds=8, requests=600), 50, "time"),
        (Load(arrivals_per_s=1, seconds=1000, requests=600), 5, "documents"),
    ],
)
def test_nothing_is_offered_after_its_bounds(load: Load, count: int, why: str) -> None:
    found = offered(load, count, most=4, service=always(1.0))
    assert load.stopped_by(len(found), count) == why
    assert max(each.offered_s for each in found) <= load.seconds
    assert len(found) <= min(load.requests, count)
    if why != "time":
        assert len(found) == min(load.requests, count)
    # What was offered is answered, however late.
    ends = [each.offered_s + each.seconds for each in found]
    assert all(end > each.offered_s for end, each in zip(ends, found, strict=True))


def test_a_place_that_a_piece_of_a_batch_leaves_is_taken_at_once() -> None:
    """Memory for two of four: each pair is answered by itself, and two new ones come at once."""
    found = offered(
        Load(in_flight=4, seconds=100, requests=8), 8, most=4, service=always(1.0), pieces=2
    )
    told = [(each.job, each.offered_s, each.seconds, each.batch_size) for each in found]
    assert told == [
        (0, 0.0, 1.0, 2),
        (1, 0.0, 1.0, 2),
        (2, 0.0, 2.0, 2),
        (3, 0.0, 2.0, 2),
        (4, 1.0, 2.0, 2),
        (5, 1.0, 2.0, 2),
        (6, 2.0, 2.0, 2),
        (7, 2.0, 2.0, 2),
    ]


def test_on_the_real_clock_it_sleeps_until_the_next_arrival() -> None:
    slept: list[float] = []

    def sleep(seconds: float) -> None:
        slept.append(seconds)
        time.sleep(seconds)

    load = Load(arrivals_per_s=40.0, seconds=10, requests=8, seed=2)
    offer = offering.Offer(
        load=load,
        jobs=range(8),
        most=1,
        company=one_shape,
        run=lambda batch: [(batch, [0])],
        clock=offering.Clock(sleep=sleep),
    )
    began = time.monotonic()
    found = offer.answers()
    arrivals = load.arrivals_s()
    assert arrivals is not None
    assert time.monotonic() - began >= arrivals[-1]
    assert [each.offered_s for each in found] == arrivals
    assert all(0 <= each.seconds < 5 for each in found)
    assert 0.5 * arrivals[-1] < sum(slept) <= arrivals[-1] + 0.001


def test_a_load_is_one_of_two_kinds() -> None:
    for wrong in ({}, {"in_flight": 1, "arrivals_per_s": 1.0}):
        with pytest.raises(UsageError, match="a load is either in_flight or arrivals_per_s"):
            Load(**wrong, seconds=1, requests=1)  # type: ignore[arg-type]
