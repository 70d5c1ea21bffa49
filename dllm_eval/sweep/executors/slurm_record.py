"""Which Slurm job runs which cells, in a file beside the worker's note: it outlives this process.

Knows a file; knows no Slurm. `slurm_pool.SlurmPool` writes one for each job, and reads those of a
process that was killed.
"""

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path

from dllm_eval.files import read_json, write_json
from dllm_eval.sweep.executors.bundles import Bundle
from dllm_eval.sweep.folder import Share
from dllm_eval.sweep.lease import Owner, this_process
from dllm_eval.sweep.plan import Cell

_SUFFIX = ".slurm"


@dataclass(frozen=True, kw_only=True)
class JobRecord:
    """The content of the file."""

    job_id: str
    """Slurm's."""
    cells: tuple[str, ...]
    share: Share | None
    driver: Owner
    """The process that submitted it."""

    @classmethod
    def of(cls, job_id: str, bundle: Bundle) -> "JobRecord":
        """That of a job which this process has just submitted."""
        ids = tuple(cell.cell_id for cell in bundle.cells)
        return cls(job_id=job_id, cells=ids, share=bundle.share, driver=this_process())

    @property
    def of_another(self) -> bool:
        """Whether another process that runs still looks after the job."""
        return self.driver.local and self.driver.runs and self.driver != this_process()

    def bundle(self, cells: Mapping[str, Cell]) -> Bundle:
        """What the job runs, as far as it is wanted still."""
        wanted = tuple(cells[cell_id] for cell_id in self.cells if cell_id in cells)
        return Bundle(cells=wanted, share=self.share)

    def write(self, note: Path) -> None:
        """Puts the file beside a worker's note."""
        write_json(_beside(note), asdict(self))

    @classmethod
    def read(cls, note: Path) -> "JobRecord":
        """The file beside a worker's note."""
        data = read_json(_beside(note))
        share = None if data["share"] is None else tuple(data["share"])
        driver = Owner(**data["driver"])
        return cls(job_id=data["job_id"], cells=tuple(data["cells"]), share=share, driver=driver)


def forget(note: Path) -> None:
    """Removes the file beside a worker's note: its job is over."""
    _beside(note).unlink(missing_ok=True)


def notes_of(folder: Path, purpose: str) -> list[Path]:
    """The notes of a stage's workers whose jobs are not known to be over."""
    found = sorted(folder.glob(f"{purpose}-*{_SUFFIX}"))
    return [path.with_name(path.name.removesuffix(_SUFFIX)) for path in found]


def _beside(note: Path) -> Path:
    return note.with_name(note.name + _SUFFIX)
