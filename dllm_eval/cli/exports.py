"""`dllm-eval export`: results in the formats of others."""

import sys
from pathlib import Path
from typing import Annotated

import typer

from dllm_eval.cli.app import OutOption, app
from dllm_eval.errors import UsageError


@app.command()
def export(
    folders: Annotated[
        list[Path], typer.Argument(help="Results folders of sweeps, or lm-eval's own.")
    ],
    wanted: Annotated[
        str | None, typer.Option("--format", help="csv, parquet, leaderboard or model-card.")
    ] = None,
    out: OutOption = None,
) -> None:
    """Write tidy tables, leaderboard result files or model cards."""
    from dllm_eval.exports import FORMATS, write_export

    found = next((name for name in FORMATS if name == wanted), None)
    if found is None:
        given = "missing" if wanted is None else repr(wanted)
        raise UsageError(f"--format is {given}; accepted: {', '.join(FORMATS)}")
    if out is None:
        raise UsageError("--out is missing; accepted: the folder to write into")
    written = write_export(folders, found, out)
    for path in written.paths:
        print(path)
    for note in written.notes:
        print(f"note: {note}", file=sys.stderr)
    if written.left_out:
        print(f"left out, not finished: {len(written.left_out)} cells", file=sys.stderr)
        for line in written.left_out:
            print(f"  {line}", file=sys.stderr)
