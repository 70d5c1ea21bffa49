"""Which jobs share a batch, and the bar that shows how many are done.

Knows jobs and their order; knows no model, no log and no clock. `base.py` calls it.
"""

from collections import defaultdict
from collections.abc import Hashable, Iterator
from typing import Any, TypeVar

from tqdm import tqdm  # type: ignore[import-untyped]

from .jobs import GenerationJob, ScoringJob

Job = TypeVar("Job", GenerationJob, ScoringJob)


def batches(jobs: list[Job], size: int) -> Iterator[list[Job]]:
    """Batches of jobs that can run together, each in the order of the jobs."""
    groups: dict[Hashable, list[Job]] = defaultdict(list)
    for job in jobs:
        groups[_alike(job)].append(job)
    for members in groups.values():
        for start in range(0, len(members), size):
            yield members[start : start + size]


def progress(total: int, pending: int, what: str, *, hidden: bool) -> "tqdm[Any]":
    """A bar over all requests of a call, those that the log answers counted as done."""
    return tqdm(total=total, initial=total - pending, desc=what, disable=hidden)


def _alike(job: GenerationJob | ScoringJob) -> Hashable:
    """Any scores can share a batch, but only generations of one length and stopping rule."""
    return None if isinstance(job, ScoringJob) else (job.length, job.until, job.infill)
