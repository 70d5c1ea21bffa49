"""Which jobs share a batch, which batches this process runs, and the bar that shows them.

Knows jobs and their order; knows no model, no log and no clock. `decoding.py` and `scoring.py` call
it with all requests of a call, so that a batch is the same whatever has been answered before.
"""

from collections import defaultdict
from collections.abc import Hashable, Iterable, Iterator, Sequence
from typing import Any, TypeVar

from tqdm import tqdm  # type: ignore[import-untyped]

from dllm_eval.errors import UsageError

from .jobs import GenerationJob, ScoringUnit

Share = tuple[int, int]
"""(index, count): of a call's batches, in their order, those whose number modulo `count` is
`index`."""

Batch = TypeVar("Batch")


def company(job: GenerationJob) -> Hashable:
    """Equal for jobs that can share a batch.

    Canvases of a batch have as many positions to fill, and requests filled in turn as many gaps.
    """
    to_fill = job.length - len(job.prompt.given)
    return (job.length, to_fill, len(job.between), job.until, job.infill)


def batches(jobs: Sequence[GenerationJob], size: int) -> Iterator[list[GenerationJob]]:
    """Batches of generations of one length and stopping rule, each in the order of the jobs."""
    groups: dict[Hashable, list[GenerationJob]] = defaultdict(list)
    for job in jobs:
        groups[company(job)].append(job)
    for members in groups.values():
        for start in range(0, len(members), size):
            yield members[start : start + size]


def scoring_batches(units: Sequence[ScoringUnit], size: int) -> Iterator[list[ScoringUnit]]:
    """Batches of up to `size` requests, in order; a question is never cut.

    One with more choices than `size` is a batch of its own.
    """
    batch: list[ScoringUnit] = []
    for unit in units:
        if batch and sum(len(each.jobs) for each in [*batch, unit]) > size:
            yield batch
            batch = []
        batch.append(unit)
    if batch:
        yield batch


def of_share(all_batches: Iterable[Batch], share: Share | None) -> list[Batch]:
    """The batches of one share; all of them where there is none.

    Raises:
        UsageError: The share is none of `count`.
    """
    if share is None:
        return list(all_batches)
    index, count = share
    if not 0 <= index < count:
        raise UsageError(f"share is {share!r}; accepted: (index, count) with 0 <= index < count")
    return [batch for number, batch in enumerate(all_batches) if number % count == index]


def progress(total: int, pending: int, what: str, *, hidden: bool) -> "tqdm[Any]":
    """A bar over all requests of a call, those that the log answers counted as done."""
    return tqdm(total=total, initial=total - pending, desc=what, disable=hidden)
