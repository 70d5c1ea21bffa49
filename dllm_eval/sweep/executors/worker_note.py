"""What a worker of a cluster says of itself, in a file beside the results: who it is, how it ended.

Knows a file and a process; knows no cluster. Workers run `run_bundle`; `losses.Losses` reads what
they wrote, because an exception does not come back from every cluster as what it was.
"""

from dataclasses import asdict, dataclass
from itertools import count
from pathlib import Path
from typing import Any, Literal

from dllm_eval.errors import UsageError
from dllm_eval.files import DiskFull, read_json, write_json
from dllm_eval.sweep.lease import Owner, this_process
from dllm_eval.sweep.stage import Stage

Outcome = Literal["running", "done", "spent", "refused", "disk full"]

_numbers = count()


@dataclass(frozen=True, kw_only=True)
class WorkerNote:
    """The content of the file."""

    owner: Owner
    """Whose leases are to be given back, if it dies."""
    outcome: Outcome = "running"
    error: str = ""
    """One line, where it did not come to its end."""

    def write(self, path: Path) -> None:
        """Replaces the file."""
        write_json(path, asdict(self))

    @classmethod
    def read(cls, path: Path) -> "WorkerNote | None":
        """The file's content; None where no worker has begun."""
        if not path.exists():
            return None
        data = read_json(path)
        return cls(**{**data, "owner": Owner(**data["owner"])})


def notes_folder(stage: Stage) -> Path:
    """Where the notes of a sweep's workers lie."""
    return stage.folder.path.resolve() / "workers"


def new_note(stage: Stage) -> Path:
    """A path that no other worker of any sweep writes to."""
    own = this_process()
    file = f"{stage.purpose}-{own.host}-{own.pid}-{own.started}-{next(_numbers)}.json"
    return notes_folder(stage) / file


def run_bundle(job: dict[str, Any], note: str) -> None:
    """What a worker of a cluster runs: a job in this process.

    Args:
        job: A `Job` as plain data.
        note: The file of its `WorkerNote`.
    """
    from dllm_eval.sweep.job import Job
    from dllm_eval.sweep.quiet import quiet
    from dllm_eval.sweep.worker import WorkerSpent, run_job

    path, owner = Path(note), this_process()
    WorkerNote(owner=owner).write(path)
    quiet()
    ended = WorkerNote(owner=owner, outcome="done")
    try:
        run_job(Job.from_dict(job))
    except WorkerSpent as error:
        ended = WorkerNote(owner=owner, outcome="spent", error=str(error))
    except UsageError as error:
        outcome: Outcome = "disk full" if isinstance(error, DiskFull) else "refused"
        ended = WorkerNote(owner=owner, outcome=outcome, error=str(error))
    ended.write(path)
