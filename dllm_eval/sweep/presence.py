"""Which sweeps run on a results folder now, so that two of them share it or the second keeps out.

Knows the folder and leases; knows neither cells nor processes. `run.run_sweep` holds one while it
runs. Sweeps of the same spec share the cells; one of another spec would change what is wanted while
cells are run, so it is refused.
"""

import hashlib
import json
import os
import socket
from pathlib import Path
from types import TracebackType
from typing import Self

from dllm_eval.errors import UsageError
from dllm_eval.files import TEMPORARY
from dllm_eval.sweep.folder import CellFolder, ResultsFolder
from dllm_eval.sweep.lease import Heartbeat, acquire, guarded, holder, live_holder, release
from dllm_eval.sweep.spec import Sweep


class Presence:
    """A sweep's own entry in `ResultsFolder.runs`, for as long as the block runs.

    Args:
        folder: Where it runs.
        sweep: What it runs.
    """

    def __init__(self, folder: ResultsFolder, sweep: Sweep) -> None:
        self._runs = folder.runs
        text = json.dumps(sweep.canonical(), sort_keys=True)
        self._spec = hashlib.sha256(text.encode()).hexdigest()[:16]
        self._entry = self._runs / f"{self._spec}.{socket.gethostname()}.{os.getpid()}.json"
        self._heartbeat = Heartbeat(self._entry)
        self.alone = True
        """Whether no other sweep ran here when this one began."""

    def __enter__(self) -> Self:
        """Enters the folder.

        Raises:
            UsageError: A sweep of another spec runs there.
        """
        with guarded(self._runs.parent):
            others = self._living_others()
            for other in others:
                self._check_same_spec(other)
            acquire(self._entry)
        self.alone = not others
        self._heartbeat.__enter__()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._heartbeat.__exit__(kind, error, trace)
        release(self._entry)

    def _living_others(self) -> list[Path]:
        """The entries of sweeps that run; those of killed ones are removed."""
        living = []
        for path in self._runs.glob("*.json"):
            if path != self._entry and live_holder(path) is not None:
                living.append(path)
            else:
                path.unlink(missing_ok=True)
        return living

    def _check_same_spec(self, other: Path) -> None:
        owner = holder(other)
        if owner is None or other.name.startswith(f"{self._spec}."):
            return
        raise UsageError(
            f"another sweep runs in {str(self._runs.parent)!r} (process {owner.pid} on "
            f"{owner.host or 'another machine'}) with another spec; wait until it has ended, or "
            f"use another --out"
        )


def clear_away(files: CellFolder) -> None:
    """Removes what killed processes left of a cell: leases, and files they were writing.

    A cell that lost its scores or requests since it was finished is to be finished again.
    """
    leases = (files.lease, *files.share_leases)
    if not files.path.exists() or any(live_holder(lease) for lease in leases):
        return
    if not (files.scores.exists() and files.requests.exists()):
        files.done.unlink(missing_ok=True)
    for path in (*leases, *files.path.glob(f".*{TEMPORARY}")):
        path.unlink(missing_ok=True)
