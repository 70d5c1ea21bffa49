"""Writes a whole report into a folder: the only file of this package that touches the disk.

Called by `cli.py` and by tests; reads records through `sweep.store`.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import pandas as pd

from dllm_eval.errors import UsageError
from dllm_eval.report.beside import NOTHING_BESIDE, Beside
from dllm_eval.report.best_stack_table import best_stack_tables
from dllm_eval.report.figures import write_figures
from dllm_eval.report.leaderboard import markdown, table
from dllm_eval.report.machine_names import renamed
from dllm_eval.report.render import checks_shown, leaderboard_page, page
from dllm_eval.report.selftest_figure import NAME, write_selftest_figure
from dllm_eval.report.selftest_record import SelftestRecord, read_selftest
from dllm_eval.report.selftest_table import markdown as selftest_markdown
from dllm_eval.report.suite_table import Frames, SuiteTable
from dllm_eval.report.suite_tables import csv_files, suite_tables
from dllm_eval.report.suite_tables import markdown as suite_markdown
from dllm_eval.report.unfinished import unfinished_cells
from dllm_eval.stats.analysis import analyse
from dllm_eval.stats.load_crossover import suite_loads
from dllm_eval.stats.tables import task_tables
from dllm_eval.stats.texts import Texts
from dllm_eval.stats.topics import topics


@dataclass(frozen=True, kw_only=True)
class ReportPaths:
    """What was written."""

    leaderboard_md: Path
    leaderboard_csv: Path
    leaderboard_html: Path
    figures: list[Path]
    page: Path
    suite_tables: tuple[Path, ...] = ()
    """One csv file for each kind of table that suites add."""
    notes: tuple[str, ...] = ()
    """What a reader must know of the folders."""


def write_report(folders: Sequence[Path], out: Path) -> ReportPaths:
    """The report of one or more results folders.

    Raises:
        UsageError: If nothing in the folders is finished, or two hold the same cell.
    """
    # Reading a folder needs pyarrow's and the store's imports; a caller with frames does not.
    from dllm_eval.sweep.knees import read_knees
    from dllm_eval.sweep.store import read_results

    results, selftest = read_results(folders), read_selftest(folders)
    frames = results.cells, results.requests, results.scores
    searches = tuple(knee for folder in folders for knee in read_knees(folder))
    beside = Beside(scores=results.aggregates, notes=results.notes, searches=searches)
    return write_frames(*frames, out, selftest, results.texts, beside)


def write_frames(
    cells: pd.DataFrame,
    requests: pd.DataFrame,
    scores: pd.DataFrame,
    out: Path,
    selftest: SelftestRecord | None = None,
    texts: Texts | None = None,
    beside: Beside = NOTHING_BESIDE,
) -> ReportPaths:
    """The report of results that are already in memory; see `write_report`.

    Args:
        cells: As `sweep.store` reads them.
        requests: Likewise.
        scores: Likewise.
        out: The folder to write into.
        selftest: Shown below the suites.
        texts: Of the requests; None where their frame has every column.
        beside: What stands beside the tables.
    """
    beside.refuse_alone(has_cells=len(cells) > 0)
    cells = renamed(cells)
    known = tuple(task_tables(cells, requests, scores, texts))
    analyses = [analyse(x) for x in known]
    loads = suite_loads(analyses, cells, requests)
    frames = Frames(cells=cells, requests=requests, scores=scores, tables=known, loads=loads)
    beside = replace(beside, topics=topics(known, frames.index))
    tables = suite_tables(frames)
    missing = [cell.line for cell in unfinished_cells(cells)]
    _make_folder(out)
    checked = [] if selftest is None else write_selftest_figure(selftest, out)
    figures = [*write_figures(analyses, out, loads), *checked]
    paths = _paths(out, figures, _write_tables(tables, out), beside.notes)
    svg = _drawn(out / "frontiers.svg", figures)
    shown = [*tables, *(x for analysis in analyses for x in best_stack_tables(analysis))]
    drawn = {x.figure: _drawn(out / f"{x.figure}.svg", figures) or "" for x in shown if x.figure}
    checks = (
        None if selftest is None else checks_shown(selftest, _drawn(out / f"{NAME}.svg", figures))
    )
    below = "" if selftest is None else "\n" + selftest_markdown(selftest)
    board = markdown(analyses, missing) + suite_markdown(tables)
    _write(paths.leaderboard_md, board + beside.markdown() + below)
    _write(paths.leaderboard_csv, table(analyses).to_csv(index=False, lineterminator="\n"))
    _write(paths.leaderboard_html, leaderboard_page(analyses, missing, tables))
    _write(
        paths.page,
        page(
            analyses,
            missing,
            svg,
            checks,
            cells=cells,
            beside=beside,
            suite_tables=tables,
            drawn=drawn,
        ),
    )
    return paths


def _make_folder(out: Path) -> None:
    try:
        out.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise UsageError(f"cannot write a report to {out}: {error.strerror}") from error


def _paths(
    out: Path, figures: list[Path], written: tuple[Path, ...], notes: tuple[str, ...]
) -> ReportPaths:
    return ReportPaths(
        leaderboard_md=out / "leaderboard.md",
        leaderboard_csv=out / "leaderboard.csv",
        leaderboard_html=out / "leaderboard.html",
        figures=figures,
        page=out / "index.html",
        suite_tables=written,
        notes=notes,
    )


def _write_tables(tables: Sequence[SuiteTable], out: Path) -> tuple[Path, ...]:
    files = {out / name: content for name, content in csv_files(tables).items()}
    for path, content in files.items():
        _write(path, content)
    return tuple(files)


def _drawn(figure: Path, figures: Sequence[Path]) -> str | None:
    return figure.read_text(encoding="utf-8") if figure in figures else None


def _write(path: Path, content: str) -> None:
    path.write_text(content, encoding="utf-8")
