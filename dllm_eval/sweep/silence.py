"""How long it is since a running cell was last heard of: the files of its requests stopped growing.

A lease says that its process lives, not that it gets on: the heartbeat of one that hangs goes on.
Knows the sizes of files and a clock that it is told; knows no process. `stage.py` asks at every
report, the local executor ends workers by it.
"""

from collections.abc import Callable, Iterable
from dataclasses import dataclass, field

from dllm_eval.sweep.folder import CellFolder
from dllm_eval.sweep.lease import Owner

WARN_AFTER_S = 600.0
"""Loading large weights, or scoring programs behind the last answer, may take minutes."""
_LOOK_EVERY_S = 5.0


@dataclass(frozen=True, kw_only=True)
class Silent:
    """A cell whose process has written nothing for a while."""

    label: str
    owner: Owner
    seconds: float

    @property
    def line(self) -> str:
        """One line for people."""
        return (
            f"{self.label}: process {self.owner.pid} on {self.owner.host or 'another machine'} has "
            f"written nothing for {self.seconds / 60:.0f} min; its log lies in the folder workers; "
            "--worker-timeout SECONDS ends such a worker of this machine and tries its cell again"
        )


@dataclass
class Silence:
    """What was seen of each running cell, by its process."""

    _seen: dict[tuple[str, Owner], tuple[int, float]] = field(default_factory=dict)
    """Size of the files, and when it was first seen so large."""
    _silent: list[Silent] = field(default_factory=list)
    _looked_s: float = float("-inf")

    def look(
        self,
        running: Callable[[], Iterable[tuple[str, CellFolder, Iterable[Owner]]]],
        now_s: float,
    ) -> list[Silent]:
        """How long each running cell has been silent; looks again every few seconds only.

        Args:
            running: Gives label, files and living processes of each cell.
            now_s: The time.
        """
        if now_s - self._looked_s < _LOOK_EVERY_S:
            return self._silent
        self._looked_s = now_s
        before, self._seen, self._silent = self._seen, {}, []
        for label, files, owners in running():
            size = _written(files)
            for owner in owners:
                key = (str(files.path), owner)
                known = before.get(key)
                since_s = known[1] if known is not None and known[0] == size else now_s
                self._seen[key] = (size, since_s)
                found = Silent(label=label, owner=owner, seconds=now_s - since_s)
                self._silent.append(found)
        return self._silent


def _written(files: CellFolder) -> int:
    logs = (files.requests, files.pilot, files.scores, *files.share_logs)
    return sum(log.stat().st_size for log in logs if log.exists())
