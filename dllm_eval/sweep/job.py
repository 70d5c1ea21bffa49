"""What one worker is told to do, as it travels to a process or another machine.

Plain data. Executors write jobs, `worker.py` runs them.
"""

from dataclasses import asdict, dataclass, field
from typing import Any


@dataclass(frozen=True, kw_only=True)
class Job:
    """A list of cells and how to run them."""

    out: str
    """The results folder."""
    cells: tuple[str, ...]
    """Ids, in the order in which to try them; what others hold or finished is left out."""
    threads: int
    """CPU threads of the process."""
    include: tuple[str, ...] = ()
    """More folders of task YAML."""
    confirm_run_unsafe_code: bool = False
    loggers: dict[str, dict[str, Any]] = field(default_factory=dict)
    """Trackers that finished quality cells are handed to, with the arguments of their `init`."""
    sweep: str = ""
    """The sweep's name."""
    share: tuple[int, int] | None = None
    """(index, count): run this share of the batches of each cell, and leave the rest to others."""

    def as_dict(self) -> dict[str, Any]:
        """Plain data, ready for JSON."""
        return asdict(self)

    @classmethod
    def from_dict(cls, data: dict[str, Any]) -> "Job":
        """The job that `as_dict` described."""
        share = data.get("share")
        lists = {name: tuple(data[name]) for name in ("cells", "include")}
        return cls(**{**data, **lists, "share": None if share is None else tuple(share)})
