"""One call's generation requests: what the log lacks is decoded in batches and written to it.

Knows jobs, records and the log; what decodes is a function that it is given. `base.py` calls it.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from dllm_eval.api import Generation
from dllm_eval.records import RequestLog

from .batches import Share, batches, of_share, progress
from .halving import Halving
from .jobs import GenerationJob
from .records import BatchFacts, ModelKind, generation_record
from .timing import Stopwatch, Timed, rounded
from .tokens import Codec

Decode = Callable[[Sequence[GenerationJob]], list[Generation]]
"""Jobs of one length and stopping rule -> what came out, one each."""


@dataclass(frozen=True, kw_only=True)
class Decoding:
    """Decodes jobs that are not in the log yet."""

    kind: ModelKind
    decode: Decode
    codec: Codec
    stopwatch: Stopwatch
    halving: Halving
    log: RequestLog
    share: Share | None
    """Which batches are run here; None is all of them."""

    def run(self, jobs: Sequence[GenerationJob], batch_size: int, *, hidden: bool) -> None:
        """Afterwards the log has a record of every request of the share.

        Batches are made of all jobs, whatever the log holds, and one of which it lacks a request is
        decoded whole, so that what is written never depends on where an earlier run ended.
        """
        # Like lengths side by side need little padding; the longest first shows the time left.
        ordered = sorted(jobs, key=lambda job: -job.prompt_tokens)
        own = of_share(batches(ordered, batch_size), self.share)
        keys = [job.identity.key for batch in own for job in batch]
        missing = {key for key in keys if self.log.get(key) is None}
        with progress(len(keys), len(missing), "generate_until", hidden=hidden) as bar:
            for batch in own:
                wanted = {job.identity.key for job in batch} & missing
                if wanted:
                    self._run(batch, wanted)
                bar.update(len(wanted))

    def _run(self, batch: Sequence[GenerationJob], wanted: set[str]) -> None:
        positions = _positions(batch)
        pieces = self.halving.run(
            batch,
            shape=(batch[0].length, rounded(positions)),
            positions=positions,
            attempt=self.timed,
        )
        for jobs, timed in pieces:
            facts = BatchFacts.of(self.kind, timed, len(jobs))
            for job, generation in zip(jobs, timed.result, strict=True):
                if job.identity.key in wanted:
                    self.log.put(generation_record(job, generation, self.codec, facts))

    def timed(self, jobs: Sequence[GenerationJob]) -> Timed[list[Generation]]:
        """Decodes jobs that can share a batch, with the stopwatch's warm-up and repetitions."""
        return self.stopwatch.time(
            lambda: self.decode(jobs),
            kind="generate",
            batch_size=len(jobs),
            length=_positions(jobs),
        )


def _positions(jobs: Sequence[GenerationJob]) -> int:
    return max(job.positions for job in jobs)
