"""`dllm-eval report`: leaderboard, figures and page from results folders."""

from pathlib import Path
from typing import Annotated

import typer

from dllm_eval.cli.app import OutOption, app


@app.command()
def report(
    folders: Annotated[list[Path], typer.Argument(help="Results folders of sweeps.")],
    out: OutOption = None,
) -> None:
    """Write leaderboard, figures and an HTML page from results folders."""
    write_and_print(folders, out or folders[0] / "report")


def write_and_print(folders: list[Path], out: Path) -> None:
    """Writes a report, prints its leaderboard and where the rest lies."""
    from dllm_eval.report import write_report
    from dllm_eval.report.leaderboard import for_terminal

    paths = write_report(folders, out)
    print(for_terminal(paths.leaderboard_md.read_text(encoding="utf-8")))
    for path in (paths.leaderboard_csv, paths.leaderboard_html, *paths.figures, paths.page):
        print(path)
