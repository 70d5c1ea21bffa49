"""Writes an export of results folders in one of the formats, finished cells only.

Called by `dllm-eval export` and by tests.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal, get_args

import pandas as pd

from dllm_eval.errors import UsageError
from dllm_eval.exports.leaderboard import write_leaderboard
from dllm_eval.exports.model_card import write_model_cards
from dllm_eval.exports.tables import write_csv, write_parquet
from dllm_eval.files import make_folder
from dllm_eval.sweep.store import Results, read_results

Format = Literal["csv", "parquet", "leaderboard", "model-card"]
FORMATS: tuple[Format, ...] = get_args(Format)
_WRITERS: dict[Format, Callable[[Results, Path], list[Path]]] = {
    "csv": write_csv,
    "parquet": write_parquet,
    "leaderboard": write_leaderboard,
    "model-card": write_model_cards,
}


@dataclass(frozen=True, kw_only=True)
class Exported:
    """What was written, and what not."""

    paths: list[Path]
    left_out: list[str]
    """One line for each cell that is not finished."""
    notes: tuple[str, ...]


def write_export(folders: Sequence[Path], wanted: Format, out: Path) -> Exported:
    """Exports results folders, and folders that lm-eval wrote.

    Args:
        folders: As `dllm-eval report` takes them.
        wanted: Of `FORMATS`.
        out: A folder, made where it is missing.

    Raises:
        UsageError: Nothing is finished, a folder is damaged, or `out` cannot be written.
    """
    results = read_results(folders)
    finished = results.cells[results.cells["finished"].astype(bool)]
    if not len(finished):
        raise UsageError(
            f"nothing to export: none of {len(results.cells)} cells is finished; run `dllm-eval "
            "sweep` to the end of at least one"
        )
    make_folder(out)
    try:
        paths = _WRITERS[wanted](_only(results, set(finished["cell_id"])), out)
    except OSError as error:
        raise UsageError(f"cannot write an export to {out}: {error.strerror or error}") from error
    return Exported(paths=paths, left_out=_left_out(results), notes=results.notes)


def _only(results: Results, cells: set[str]) -> Results:
    """The results of these cells."""

    def own(frame: pd.DataFrame) -> pd.DataFrame:
        return frame[frame["cell_id"].isin(list(cells))]

    return replace(
        results,
        cells=own(results.cells),
        requests=own(results.requests),
        scores=own(results.scores),
    )


def _left_out(results: Results) -> list[str]:
    missing = results.cells[~results.cells["finished"].astype(bool)]
    lines = []
    for cell in missing.to_dict("records"):
        why = f": {cell['failed']}" if cell["failed"] else ""
        at = f" at {cell['dial']} = {cell['dial_value']:g}" if cell["dial"] else ""
        lines.append(f"{cell['suite']}: {cell['model']}{at}, {cell['purpose']}{why}")
    return sorted(lines)
