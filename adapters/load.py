"""Offers a load to a model of ours and answers it in static batches, as one simple server would.

The model takes what waits and can share a batch with the oldest request, oldest first, up to so
many; nothing joins a batch that runs, and all of a batch is answered when it ends. Seconds count
from the moment at which a request was offered (of arrivals: was to arrive, as MLPerf's rules count
from the scheduled issue) to its answer, waiting included. Texts are made, and records written, when
the load is over: both would make waiting requests wait longer.

Knows jobs and the real clock; knows no decoding, which is given to it. `base.py` calls it.
"""

import time
from collections import deque
from collections.abc import Callable, Hashable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from typing import Generic, TypeVar

from dllm_eval.api import Generation
from dllm_eval.errors import UsageError
from dllm_eval.load import Load
from dllm_eval.measure.wall import instant_s
from dllm_eval.records import RequestRecord, RequestType

from .batches import company
from .decoding import Decoding
from .jobs import GenerationJob
from .records import BatchFacts, generation_record
from .timing import Stopwatch, rounded

Job = TypeVar("Job")
Result = TypeVar("Result")

Pieces = Iterable[tuple[Sequence[Job], Sequence[Result]]]
"""What became of a batch: jobs and their results, in the pieces that it was run in."""


@dataclass(frozen=True, kw_only=True)
class Clock:
    """The real one, unless a test brings its own."""

    now_s: Callable[[], float] = instant_s
    sleep: Callable[[float], None] = time.sleep


@dataclass(frozen=True, kw_only=True)
class Answered(Generic[Job, Result]):
    """One request that was offered."""

    job: Job
    result: Result
    offered_s: float
    """From the load's beginning."""
    seconds: float
    """From `offered_s` to the answer."""
    batch_size: int
    """How many requests shared its forward passes."""


@dataclass(kw_only=True)
class Offer(Generic[Job, Result]):
    """One load, offered to one model that runs one batch at a time."""

    load: Load
    jobs: Sequence[Job]
    """What there is to offer, in order; each once."""
    most: int
    """Requests in a batch."""
    company: Callable[[Job], Hashable]
    """Equal for jobs that can share a batch."""
    run: Callable[[Sequence[Job]], Pieces[Job, Result]]
    clock: Clock = field(default_factory=Clock)
    _waiting: deque[tuple[Job, float]] = field(default_factory=deque)
    _offered: int = 0
    _open: int = 0
    """Offered and not answered."""

    def answers(self) -> list[Answered[Job, Result]]:
        """Offers the load and runs until all that was offered is answered."""
        arrivals = self.load.arrivals_s()
        found: list[Answered[Job, Result]] = []
        self._begin_s = self.clock.now_s()
        while True:
            now = self._now()
            self._admit(arrivals, now)
            if self._waiting:
                found += self._answer_some(arrivals)
            elif arrivals is not None and self._offered < min(len(arrivals), len(self.jobs)):
                self.clock.sleep(max(0.0, arrivals[self._offered] - now))
            else:
                return found

    def _now(self) -> float:
        return self.clock.now_s() - self._begin_s

    def _admit(self, arrivals: Sequence[float] | None, now: float) -> None:
        """Lets in what has arrived, or what fills a closed loop up again."""
        most = min(self.load.requests, len(self.jobs))
        while self._offered < most:
            if arrivals is None:
                if self._open >= (self.load.in_flight or 0) or now > self.load.seconds:
                    return
                at = now
            else:
                if self._offered >= len(arrivals) or arrivals[self._offered] > now:
                    return
                at = arrivals[self._offered]
            self._waiting.append((self.jobs[self._offered], at))
            self._offered += 1
            self._open += 1

    def _answer_some(self, arrivals: Sequence[float] | None) -> Iterator[Answered[Job, Result]]:
        """Runs the oldest request with those that can share its batch."""
        alike = self.company(self._waiting[0][0])
        batch: list[tuple[Job, float]] = []
        others: deque[tuple[Job, float]] = deque()
        for waiting in self._waiting:
            if len(batch) < self.most and self.company(waiting[0]) == alike:
                batch.append(waiting)
            else:
                others.append(waiting)
        self._waiting = others
        offered = iter(batch)
        for jobs, results in self.run([job for job, _ in batch]):
            now = self._now()
            self._open -= len(jobs)
            # A place that a piece leaves is taken at once, though the batch goes on.
            self._admit(arrivals, now)
            for job, result in zip(jobs, results, strict=True):
                at = next(offered)[1]
                yield Answered(
                    job=job,
                    result=result,
                    offered_s=at,
                    seconds=now - at,
                    batch_size=len(jobs),
                )


def answer_under_load(
    decoding: Decoding, load: Load, jobs: Sequence[GenerationJob], batch_size: int
) -> list[str]:
    """Offers jobs to a model; the log then has a record of each that was offered.

    Args:
        decoding: The model, its memory limits and its log.
        load: What to offer.
        jobs: In the order of the task.
        batch_size: The most that are decoded together.

    Returns:
        An answer for each job, "" where it was not offered.

    Raises:
        UsageError: One request alone does not fit into memory.
    """
    # The clock is the load's; the stopwatch only waits for the device.
    bare = Stopwatch(device=decoding.stopwatch.device, warmup=0, repeats=1)
    compiled = decoding.stopwatch.compiled or (lambda: 0)
    decoding = replace(decoding, stopwatch=bare)
    _warm_up(decoding, load, jobs, batch_size)
    while True:
        before = compiled()
        offer: Offer[GenerationJob, Generation] = Offer(
            load=load,
            jobs=jobs,
            most=batch_size,
            company=company,
            run=lambda batch: _decoded(decoding, batch),
        )
        found = offer.answers()
        # A shape that was compiled meanwhile held everything up; it will not be a second time.
        if compiled() == before:
            break
    records = [_record(decoding, each) for each in found]
    for record in records:
        decoding.log.put(record)
    texts = {record.key: record.response for record in records}
    return [texts.get(job.identity.key, "") for job in jobs]


def refuse_under_load(load: Load | None, request_type: RequestType) -> None:
    """Makes sure that only requests for text are offered as a load.

    Raises:
        UsageError: These are others, and there is a load.
    """
    if load is not None:
        raise UsageError(
            f"a load of {load.words} is offered, and the task asks for {request_type}; accepted "
            "under load: requests for text (generate_until); leave the suite's load cells out by "
            "exclude: [{suite: TITLE, purpose: load}]"
        )


def _warm_up(
    decoding: Decoding, load: Load, jobs: Sequence[GenerationJob], batch_size: int
) -> None:
    """Runs a full batch, and for arrivals, which also come alone, a single request."""
    alike = [job for job in jobs if company(job) == company(jobs[0])]
    sizes = {min(batch_size, len(alike)), 1 if load.in_flight is None else batch_size}
    for _ in range(load.warmup):
        for size in sorted(sizes, reverse=True):
            for _piece in _decoded(decoding, alike[:size]):
                pass


def _decoded(
    decoding: Decoding, batch: Sequence[GenerationJob]
) -> Iterator[tuple[Sequence[GenerationJob], Sequence[Generation]]]:
    positions = max(job.positions for job in batch)
    shape = (batch[0].length, rounded(positions))
    pieces = decoding.halving.run(batch, shape=shape, positions=positions, attempt=decoding.timed)
    for jobs, timed in pieces:
        yield jobs, timed.result


def _record(decoding: Decoding, found: Answered[GenerationJob, Generation]) -> RequestRecord:
    facts = BatchFacts(
        model=decoding.kind,
        batch_size=found.batch_size,
        shares_s=[found.seconds],
        cpu_share_s=None,
    )
    record = generation_record(found.job, found.result, decoding.codec, facts)
    return record.model_copy(update={"offered_s": found.offered_s})
