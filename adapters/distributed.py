"""Several processes inside one run, as `accelerate launch` starts them.

Every process is asked all requests of a call, as lm-eval leaves it to a model that distributes them
itself (`lm_eval.api.model.LM`, 0.4.13): it runs its share of the batches, then all tell each other
what they wrote. So batches are those of one process, and any number of requests can be divided.
lm-eval's other way, that of its `hf`, deals out documents by `rank` and `world_size`; it ends in an
error where documents are fewer than processes, and repeats requests where they do not come out
even. Here both stay at those of one process, and lm-eval writes results where LOCAL_RANK is 0.

Knows records and logs; knows no model and no request. `base.py` and the two adapters call it.
"""

import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import timedelta
from functools import cache
from importlib import import_module
from pathlib import Path
from typing import Any

import torch

from dllm_eval.errors import UsageError
from dllm_eval.records import RequestLog, RequestRecord
from dllm_eval.request_log import FileLog

from .batches import Share
from .jobs import GenerationJob, ScoringJob
from .records import MemoryLog

_LAUNCHED = ("RANK", "WORLD_SIZE", "LOCAL_RANK", "MASTER_ADDR")
"""What `accelerate launch` and torchrun tell each process; other launchers set fewer."""

_NEVER = timedelta(weeks=52)
"""How long a process waits for the slowest one, which may have a long batch before it."""


@dataclass(frozen=True, kw_only=True)
class Processes:
    """Which process of a run this is."""

    rank: int = 0
    count: int = 1
    device: str | None = None
    """The one that the launcher gave this process; None leaves the choice to the arguments."""

    @property
    def share(self) -> Share | None:
        """The batches that this process runs."""
        return None if self.count == 1 else (self.rank, self.count)

    def gathered(self, mine: Sequence[str]) -> list[list[str]]:
        """What each process has to say, in their order; waits for all of them."""
        if self.count == 1:
            return [list(mine)]
        found: list[Any] = [None] * self.count
        import_module("torch.distributed").all_gather_object(found, list(mine))
        return found

    def agree(self, keys: Sequence[str]) -> None:
        """Makes sure that all processes were asked the same.

        Raises:
            UsageError: They were not; an answer cache of lm-eval's may know some in one process.
        """
        first, *others = self.gathered(keys)
        if any(other != first for other in others):
            raise UsageError(
                f"the {self.count} processes of this run were asked different requests; leave off"
                " lm-eval's use_cache, or remove its files (records=FILE resumes a run)"
            )


@cache
def launched() -> Processes:
    """The process as its launcher made it; the only one where there was no launcher."""
    if any(name not in os.environ for name in _LAUNCHED) or os.environ["WORLD_SIZE"] == "1":
        return Processes()
    accelerate = import_module("accelerate")
    accelerator = accelerate.Accelerator(
        # Left alone, it takes the processes of a machine without a GPU for one each.
        cpu=not torch.cuda.is_available(),
        kwargs_handlers=[accelerate.InitProcessGroupKwargs(timeout=_NEVER)],
    )
    device = accelerator.device
    return Processes(
        rank=accelerator.process_index,
        count=accelerator.num_processes,
        device="cpu" if device.type == "cpu" else str(device),
    )


class SharedLog:
    """What all processes of a run have finished.

    Each writes to a log of its own; what the others wrote meanwhile is kept in memory.
    """

    def __init__(self, own: RequestLog) -> None:
        self.own = own
        self._others: dict[str, RequestRecord] = {}
        self._new: list[RequestRecord] = []

    def get(self, key: str) -> RequestRecord | None:
        """The finished request with this key, whichever process finished it."""
        return self.own.get(key) or self._others.get(key)

    def put(self, record: RequestRecord) -> None:
        """Keeps a request that this process finished."""
        self.own.put(record)
        self._new.append(record)

    def exchange(self, processes: Processes) -> None:
        """Tells the other processes what is new here, and learns what is new there."""
        for texts in processes.gathered([record.model_dump_json() for record in self._new]):
            records = map(RequestRecord.model_validate_json, texts)
            self._others.update((record.key, record) for record in records)
        self._new.clear()

    def close(self) -> None:
        """Puts everything on the disk."""
        if isinstance(self.own, FileLog):
            self.own.close()


@contextmanager
def together(
    processes: Processes,
    log: RequestLog,
    share: Share | None,
    jobs: Sequence[GenerationJob | ScoringJob],
) -> Iterator[Share | None]:
    """Of one call: gives the share to run; behind it the log has what all processes ran.

    Args:
        processes: Which process this is.
        log: Where its requests go.
        share: The share of a single process.
        jobs: All of the call.

    Raises:
        UsageError: There are several processes, and the log is not one that they share, or they
            were asked different requests.
    """
    if processes.count == 1:
        yield share
        return
    if not isinstance(log, SharedLog):
        raise UsageError(
            f"a sweep's cell runs in one process, and {processes.count} were launched; accepted:"
            " dllm-eval sweep without accelerate, or lm_eval run with records=FILE"
        )
    processes.agree([job.identity.key for job in jobs])
    yield processes.share
    log.exchange(processes)


def open_log(path: str | None, processes: Processes) -> RequestLog:
    """The log at a path: of one process the file itself, of several FILE.rank0, FILE.rank1, ...

    All of these that there are, from runs of whatever number of processes, are read.

    Args:
        path: None keeps the records in memory.
        processes: Which process this is.
    """
    if path is None:
        return MemoryLog() if processes.count == 1 else SharedLog(MemoryLog())
    whole = Path(path)
    own = whole if processes.count == 1 else Path(f"{whole}.rank{processes.rank}")
    log = FileLog(own, also=[other for other in _family(whole) if other != own])
    return log if processes.count == 1 else SharedLog(log)


def _family(whole: Path) -> list[Path]:
    """The log files of a run that are there."""
    if not whole.parent.is_dir():
        return []
    start = f"{whole.name}.rank"
    ranks = [
        path
        for path in whole.parent.iterdir()
        if path.name.startswith(start) and path.name.removeprefix(start).isdigit()
    ]
    return [whole, *sorted(ranks)] if whole.exists() else sorted(ranks)
