"""Writes a whole report into a folder: the only file of this package that touches the disk.

Called by `cli.py` and by tests; reads records through `sweep.store`.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import pandas as pd

from dllm_eval.errors import UsageError
from dllm_eval.report.figures import write_figures
from dllm_eval.report.leaderboard import markdown, table
from dllm_eval.report.render import leaderboard_page, page
from dllm_eval.stats.analysis import analyse
from dllm_eval.stats.tables import task_tables


@dataclass(frozen=True, kw_only=True)
class ReportPaths:
    """What was written."""

    leaderboard_md: Path
    leaderboard_csv: Path
    leaderboard_html: Path
    figures: list[Path]
    page: Path


def write_report(folders: Sequence[Path], out: Path) -> ReportPaths:
    """The report of one or more results folders.

    Raises:
        UsageError: If nothing in the folders is finished, or two hold the same cell.
    """
    # Reading a folder needs pyarrow's and the store's imports; a caller with frames does not.
    from dllm_eval.sweep.store import read_results

    results = read_results(folders)
    return write_frames(results.cells, results.requests, results.scores, out)


def write_frames(
    cells: pd.DataFrame, requests: pd.DataFrame, scores: pd.DataFrame, out: Path
) -> ReportPaths:
    """The report of results that are already in memory; see `write_report`."""
    analyses = [analyse(x) for x in task_tables(cells, requests, scores)]
    missing = missing_cells(cells)
    try:
        out.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise UsageError(f"cannot write a report to {out}: {error.strerror}") from error
    figures = write_figures(analyses, out)
    paths = ReportPaths(
        leaderboard_md=out / "leaderboard.md",
        leaderboard_csv=out / "leaderboard.csv",
        leaderboard_html=out / "leaderboard.html",
        figures=figures,
        page=out / "index.html",
    )
    drawn = out / "frontiers.svg"
    svg = drawn.read_text(encoding="utf-8") if drawn in figures else None
    _write(paths.leaderboard_md, markdown(analyses, missing))
    _write(paths.leaderboard_csv, table(analyses).to_csv(index=False, lineterminator="\n"))
    _write(paths.leaderboard_html, leaderboard_page(analyses, missing))
    _write(paths.page, page(analyses, missing, svg))
    return paths


def missing_cells(cells: pd.DataFrame) -> list[str]:
    """One line for each cell that is planned but not finished."""
    return sorted(
        _description({str(k): v for k, v in cell.items()})
        for cell in cells.to_dict("records")
        if not cell["finished"]
    )


def _description(cell: dict[str, object]) -> str:
    dial = cell["dial"]
    at = f" at {dial} = {float(str(cell['dial_value'])):g}" if dial else ""
    return f"{cell['suite']}: {cell['model']}{at}, {cell['purpose']} ({cell['machine']})"


def _write(path: Path, content: str) -> None:
    path.write_text(content, encoding="utf-8")
