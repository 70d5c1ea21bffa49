"""The results folder: which file lies where, and which version of it this package reads.

Knows paths and JSON; knows neither models nor lm-eval. The executor and cells write through it,
`store.read_results` reads through it.
"""

import json
import os
import socket
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Any

from dllm_eval.errors import UsageError
from dllm_eval.files import read_json, read_mapping, write_json
from dllm_eval.records import SCHEMA_VERSION
from dllm_eval.sweep.plan import Cell
from dllm_eval.sweep.spec import Sweep

Share = tuple[int, int]
"""(index, count): every count-th batch of a cell, from the index on."""

_OWN = ("cells", "workers", "sweep.json", "stages.json", "searches.json", "selftest.json")


@dataclass(frozen=True)
class CellFolder:
    """The files of one cell."""

    path: Path

    @property
    def cell(self) -> Path:
        """What the cell is."""
        return self.path / "cell.json"

    @property
    def provenance(self) -> Path:
        """What it ran on."""
        return self.path / "provenance.json"

    @property
    def requests(self) -> Path:
        """One line per finished request."""
        return self.path / "requests.jsonl"

    @property
    def pilot(self) -> Path:
        """Requests of a latency cell that only told how often to repeat the timed ones."""
        return self.path / "pilot.jsonl"

    @property
    def scores(self) -> Path:
        """One line per document and metric."""
        return self.path / "scores.jsonl"

    @property
    def lm_eval(self) -> Path:
        """The folder of lm-eval's own result files."""
        return self.path / "lm_eval"

    @property
    def lease(self) -> Path:
        """Which process runs the cell."""
        return self.path / "lease.json"

    def share_log(self, share: Share) -> Path:
        """Requests of one share, until they are taken into `requests`."""
        return self.path / f"requests.{share[0]}of{share[1]}.jsonl"

    @property
    def share_logs(self) -> list[Path]:
        """Those of all shares."""
        return sorted(self.path.glob("requests.*of*.jsonl"))

    def share_lease(self, share: Share) -> Path:
        """Which process runs one share."""
        return self.path / f"lease.{share[0]}of{share[1]}.json"

    @property
    def share_leases(self) -> list[Path]:
        """Those of all shares."""
        return sorted(self.path.glob("lease.*of*.json"))

    @property
    def done(self) -> Path:
        """Written last."""
        return self.path / "done.json"

    @property
    def attempts(self) -> Path:
        """How often this run tried the cell, and how the last try ended."""
        return self.path / "attempts.json"

    @property
    def failed(self) -> Path:
        """Why the last run could not run the cell; the next run tries again."""
        return self.path / "failed.json"

    @property
    def begun(self) -> bool:
        """Whether a request of it has been answered."""
        logs = (self.requests, self.pilot, *self.share_logs)
        return any(log.exists() and log.stat().st_size > 0 for log in logs)

    @property
    def finished(self) -> bool:
        """Whether everything of the cell is there."""
        return self.done.exists()

    @property
    def settled(self) -> bool:
        """Whether this run has nothing to do here any more: finished, or given up."""
        return self.finished or self.failed.exists()


class ResultsFolder:
    """One sweep's results.

    Args:
        path: The folder; it need not exist yet.
    """

    def __init__(self, path: Path) -> None:
        self.path = path

    @property
    def sweep_file(self) -> Path:
        """What was asked for, and the version of the folder."""
        return self.path / "sweep.json"

    @property
    def stages_file(self) -> Path:
        """Seconds by stage of the last run."""
        return self.path / "stages.json"

    @property
    def selftest_file(self) -> Path:
        """What `dllm-eval selftest` found on this machine."""
        return self.path / "selftest.json"

    @property
    def runs(self) -> Path:
        """The folder that says which sweeps run here now."""
        return self.path / ".runs"

    @property
    def latency_slot(self) -> Path:
        """The lease of who times requests on this machine.

        Or on those of its devices that this process sees: timings share a device with nothing.
        """
        devices = os.environ.get("CUDA_VISIBLE_DEVICES", "").replace("/", "_")
        name = ".".join(filter(None, ("latency", socket.gethostname(), devices)))
        return self.path / "workers" / f"{name}.lease.json"

    def cell(self, cell_id: str) -> CellFolder:
        """Where a cell's files are."""
        return CellFolder(self.path / "cells" / cell_id)

    def check(self) -> None:
        """Refuses a folder that this version must not write into.

        Raises:
            UsageError: Another schema version wrote it, or it holds something else.
        """
        try:
            self.path.exists()
        except (OSError, ValueError) as error:
            raise UsageError(f"{str(self.path)[:80]!r} cannot be a folder: {error}") from error
        if self.sweep_file.exists():
            self.read()
        elif self.path.exists() and not self.path.is_dir():
            raise UsageError(f"{str(self.path)!r} is a file; --out takes a folder")
        elif self.path.exists() and any(map(_foreign, self.path.iterdir())):
            raise UsageError(
                f"{str(self.path)!r} holds files that are no sweep's results; name a new or an "
                f"empty folder with --out"
            )

    def read(self) -> dict[str, Any]:
        """The content of sweep.json.

        Raises:
            UsageError: No results folder, or one of another schema version.
        """
        if not self.sweep_file.exists():
            raise UsageError(
                f"{str(self.path)!r} is not a results folder: it has no sweep.json; name a folder "
                f"that `dllm-eval sweep` wrote"
            )
        data = read_json(self.sweep_file)
        found = data.get("schema_version") if isinstance(data, dict) else None
        if not isinstance(data, dict) or found != SCHEMA_VERSION:
            raise UsageError(
                f"{str(self.path)!r} was written with results schema {found!r}, this is "
                f"dllm-eval {version('dllm-eval')} with schema {SCHEMA_VERSION}; use another "
                f"folder, or the version that wrote it"
            )
        return data

    def begin(self, sweep: Sweep, cells: list[Cell]) -> None:
        """Writes down what is wanted. Cells wanted no longer stay on the disk, unlisted."""
        # The list comes last: at no moment does it name a cell that is not there.
        for cell in cells:
            _write_if_new(self.cell(cell.cell_id).cell, cell.as_dict())
        listed = {
            "schema_version": SCHEMA_VERSION,
            "package_version": version("dllm-eval"),
            "spec": sweep.canonical(),
            "cells": [cell.cell_id for cell in cells],
        }
        _write_if_new(self.sweep_file, listed)

    def cells(self) -> list[Cell]:
        """The cells wanted, in the order planned."""
        return [self.planned(cell_id) for cell_id in self.read()["cells"]]

    def planned(self, cell_id: str) -> Cell:
        """One cell, whether it is wanted still or not."""
        path = self.cell(cell_id).cell
        try:
            return Cell.from_dict(read_mapping(path))
        except (KeyError, TypeError) as error:
            raise UsageError(f"{str(path)!r} does not describe a cell; it is damaged") from error


def _foreign(path: Path) -> bool:
    return path.name[0] != "." and path.name not in _OWN


def _write_if_new(path: Path, value: object) -> None:
    if not path.exists() or read_json(path) != json.loads(json.dumps(value)):
        write_json(path, value)
