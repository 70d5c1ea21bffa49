"""`dllm-eval export`: results in the formats of others."""

import sys
from pathlib import Path
from typing import Annotated

import typer

from dllm_eval.cli.app import app
from dllm_eval.errors import UsageError


@app.command()
def export(
    folders: Annotated[
        list[Path], typer.Argument(help="Results folders of sweeps, or lm-eval's own.")
    ],
    wanted: Annotated[
        str, typer.Option("--format", help="csv, parquet, leaderboard or model-card.")
    ],
    out: Annotated[Path, typer.Option("--out", help="The folder to write into.")],
) -> None:
    """Write tidy tables, leaderboard result files or model cards."""
    from dllm_eval.exports import FORMATS, write_export

    found = next((name for name in FORMATS if name == wanted), None)
    if found is None:
        raise UsageError(f"--format is {wanted!r}; accepted: {', '.join(FORMATS)}")
    written = write_export(folders, found, out)
    for path in written.paths:
        print(path)
    for note in written.notes:
        print(f"note: {note}", file=sys.stderr)
    if written.left_out:
        print(f"left out, not finished: {len(written.left_out)} cells", file=sys.stderr)
        for line in written.left_out:
            print(f"  {line}", file=sys.stderr)
