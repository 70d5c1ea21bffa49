"""One process of a sweep: takes cells off a list by lease and runs them.

Run as `python -m dllm_eval.sweep.worker JOB.json` by the executor, which reads the exit code:
0 done, 2 bad input (the last line of stderr says what), anything else a crash.
"""

import os
import sys
import threading
import time
from pathlib import Path
from typing import Any

from dllm_eval.errors import UsageError
from dllm_eval.files import read_json
from dllm_eval.sweep.folder import ResultsFolder
from dllm_eval.sweep.job import Job
from dllm_eval.sweep.lease import acquire, release
from dllm_eval.sweep.plan import Cell
from dllm_eval.sweep.quiet import quiet

USAGE_PREFIX = "usage error: "
_PARENT_POLL_S = 0.5


def main(job_file: str) -> int:
    """Runs a job; the exit code says how it went."""
    job = Job.from_dict(read_json(Path(job_file)))
    _follow_parent(os.getppid())
    quiet()
    try:
        run_job(job)
    except UsageError as error:
        sys.stderr.write(f"{USAGE_PREFIX}{error}\n")
        return 2
    except KeyboardInterrupt:
        return 130
    return 0


def run_job(job: Job) -> None:
    """Runs the cells of a job that nobody else has taken."""
    import torch

    from dllm_eval.sweep.cell import Options, run_cell

    torch.set_num_threads(job.threads)
    folder = ResultsFolder(Path(job.out))
    options = Options(include=job.include, confirm_run_unsafe_code=job.confirm_run_unsafe_code)
    cells = {cell.cell_id: cell for cell in folder.cells()}
    for cell_id in job.cells:
        _run_leased(cells[cell_id], folder, lambda cell, files: run_cell(cell, files, options))


def _run_leased(cell: Cell, folder: ResultsFolder, run: Any) -> None:  # noqa: ANN401 - set above
    files = folder.cell(cell.cell_id)
    if files.finished or not acquire(files.lease):
        return
    try:
        run(cell, files)
    except UsageError as error:
        raise UsageError(f"{cell.label}: {error}") from error
    finally:
        release(files.lease)


def _follow_parent(parent: int) -> None:
    """Ends this process soon after its parent, so that a killed sweep leaves nothing running."""

    def watch() -> None:
        while os.getppid() == parent:
            time.sleep(_PARENT_POLL_S)
        os._exit(1)

    threading.Thread(target=watch, daemon=True).start()


if __name__ == "__main__":
    sys.exit(main(sys.argv[1]))
