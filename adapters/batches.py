"""Which jobs share a batch, and the bar that shows how many are done.

Knows jobs and their order; knows no model, no log and no clock. `base.py` calls it.
"""

from collections import defaultdict
from collections.abc import Hashable, Iterator, Sequence
from typing import Any

from tqdm import tqdm  # type: ignore[import-untyped]

from .jobs import GenerationJob, ScoringUnit


def batches(jobs: Sequence[GenerationJob], size: int) -> Iterator[list[GenerationJob]]:
    """Batches of generations of one length and stopping rule, each in the order of the jobs."""
    groups: dict[Hashable, list[GenerationJob]] = defaultdict(list)
    for job in jobs:
        groups[job.length, job.until, job.infill].append(job)
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


def progress(total: int, pending: int, what: str, *, hidden: bool) -> "tqdm[Any]":
    """A bar over all requests of a call, those that the log answers counted as done."""
    return tqdm(total=total, initial=total - pending, desc=what, disable=hidden)
