"""One call's likelihood requests: what the log lacks is scored in batches and written to it.

Knows units, records and the log; what scores is a function that it is given. `base.py` calls it.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from dllm_eval.api import Likelihood
from dllm_eval.likelihood.question import Question
from dllm_eval.records import RequestLog, RequestRecord, RequestType

from .batches import Share, of_share, progress, scoring_batches
from .jobs import Pair, ScoringUnit
from .questions import numbered
from .records import BatchFacts, ModelKind, scoring_records
from .timing import Stopwatch

Score = Callable[[Sequence[Pair], Sequence[str | None], Sequence[Question]], Sequence[Likelihood]]
"""(context, target) pairs, one salt each, and the questions among them -> one likelihood each."""


@dataclass(frozen=True, kw_only=True)
class Scoring:
    """Scores units that are not in the log yet."""

    kind: ModelKind
    request_type: RequestType
    score: Score
    stopwatch: Stopwatch
    log: RequestLog
    share: Share | None
    """Which batches are run here; None is all of them."""

    def run(self, units: Sequence[ScoringUnit], batch_size: int, *, hidden: bool) -> None:
        """Afterwards the log has a record of every request of the share.

        Batches are made of all units, whatever the log holds, and one of which it lacks a request
        is scored whole, so that what is written never depends on where an earlier run ended.
        """
        own = of_share(scoring_batches(units, batch_size), self.share)
        keys = [job.identity.key for batch in own for unit in batch for job in unit.jobs]
        missing = {key for key in keys if self.log.get(key) is None}
        with progress(len(keys), len(missing), self.request_type, hidden=hidden) as bar:
            for batch in own:
                wanted = {job.identity.key for unit in batch for job in unit.jobs} & missing
                new = self._records(batch) if wanted else []
                for record in new:
                    if record.key in wanted:
                        self.log.put(record)
                bar.update(len(wanted))

    def _records(self, batch: Sequence[ScoringUnit]) -> list[RequestRecord]:
        jobs = [job for unit in batch for job in unit.jobs]
        pairs = [pair for job in jobs for pair in job.windows]
        salts = [salt for job in jobs for salt in job.salts]
        questions = numbered(batch)
        timed = self.stopwatch.time(
            lambda: self.score(pairs, salts, questions) if pairs else [],
            kind="score",
            batch_size=len(jobs),
            length=max((len(context) + len(target) for context, target in pairs), default=0),
        )
        facts = BatchFacts.of(self.kind, timed, len(jobs))
        results = iter(timed.result)
        return [
            record
            for unit in batch
            for record in scoring_records(
                unit, [next(results) for _ in range(unit.num_pairs)], self.request_type, facts
            )
        ]
