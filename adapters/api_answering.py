"""One call's requests to a server: what the log lacks is asked, and written down as it is answered.

Knows jobs, records and the log; what asks is a function that it is given. `api.py` calls it.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Protocol

from dllm_eval.endpoint.ask import Ask, Reply
from dllm_eval.errors import UsageError
from dllm_eval.load import Load
from dllm_eval.records import RequestLog

from .api_records import Asked, cut, record_of
from .api_requests import ApiJob
from .batches import progress


class Answered(Protocol):
    """Asks a server: `done` gets each reply with the number of its ask, as it comes."""

    def __call__(
        self,
        asks: Sequence[Ask],
        done: Callable[[int, Reply], None],
        *,
        in_flight: int,
        starts_s: Sequence[float] | None = None,
        until_s: float | None = None,
    ) -> None:
        """See `endpoint.client.answer_all`."""


@dataclass(kw_only=True)
class _Turn:
    """One repetition of one job: the replies to its gaps so far."""

    job: int
    repeat: int
    replies: list[Reply]
    texts: list[str]


@dataclass(frozen=True, kw_only=True)
class Answering:
    """Asks what is not in the log yet."""

    answered: Answered
    asked: Asked
    log: RequestLog
    repeats: int
    """How often each request is asked, for timing; the last answer counts."""

    def run(self, jobs: Sequence[ApiJob], *, total: int, hidden: bool) -> None:
        """Afterwards the log has a record of each job. One answered is one record, at once.

        Args:
            jobs: Those that the log lacks.
            total: All of the call, for the bar.
            hidden: Whether there is no bar.
        """
        turns = [
            _Turn(job=number, repeat=repeat, replies=[], texts=[])
            for number in range(len(jobs))
            for repeat in range(self.repeats)
        ]
        runs: list[dict[int, list[Reply]]] = [{} for _ in jobs]
        with progress(total, len(jobs), "generate_until", hidden=hidden) as bar:

            def finish(turn: _Turn) -> None:
                own = runs[turn.job]
                own[turn.repeat] = turn.replies
                if len(own) == self.repeats:
                    ordered = [own[repeat] for repeat in sorted(own)]
                    self.log.put(record_of(jobs[turn.job], ordered, self.asked))
                    bar.update(1)

            while turns:
                turns = self._round(jobs, turns, finish)

    def _round(
        self, jobs: Sequence[ApiJob], turns: Sequence[_Turn], finish: Callable[[_Turn], None]
    ) -> list[_Turn]:
        """The next gap of every turn; gives those that have another one."""

        def done(number: int, reply: Reply) -> None:
            turn = turns[number]
            job = jobs[turn.job]
            turn.replies.append(reply)
            turn.texts.append(cut(reply.text, job.until))
            if len(turn.replies) == job.num_gaps:
                finish(turn)

        asks = [jobs[turn.job].ask(turn.texts) for turn in turns]
        self.answered(asks, done, in_flight=self.asked.in_flight)
        return [turn for turn in turns if len(turn.replies) < jobs[turn.job].num_gaps]

    def offer(self, jobs: Sequence[ApiJob], load: Load) -> None:
        """Offers jobs as a load says, from the first on, and writes down those that were answered.

        Args:
            jobs: In the order in which they are offered.
            load: How many, how fast and how long.

        Raises:
            UsageError: A job has several gaps, of which each waits for the one before.
        """
        if any(job.several for job in jobs):
            raise UsageError(
                "requests with several gaps, which are asked one after another, cannot be offered"
                " as a load; accepted: a suite whose documents are one request each"
            )
        starts_s = load.arrivals_s()
        offered = jobs[: load.requests if starts_s is None else len(starts_s)]
        answered = 0

        def done(number: int, reply: Reply) -> None:
            nonlocal answered
            in_flight = load.in_flight
            if starts_s is not None:
                now_s = reply.offered_s + reply.whole_s
                in_flight = sum(start <= now_s for start in starts_s[: len(offered)]) - answered
            answered += 1
            self.log.put(
                record_of(
                    offered[number],
                    [[reply]],
                    self.asked,
                    offered_s=reply.offered_s,
                    in_flight=in_flight,
                )
            )

        self.answered(
            [job.ask(()) for job in offered],
            done,
            in_flight=load.in_flight or max(1, len(offered)),
            starts_s=None if starts_s is None else starts_s[: len(offered)],
            until_s=load.seconds,
        )
