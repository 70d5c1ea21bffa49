"""`dllm-eval selftest`: samplers and estimators against exact oracles."""

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from dllm_eval.cli.app import OutOption, app, fail
from dllm_eval.cli.printing import print_json, print_page

if TYPE_CHECKING:
    from dllm_eval.oracle.selftest import Selftest


@app.command()
def selftest(
    seed: Annotated[int, typer.Option("--seed", help="Of every draw.")] = 0,
    device: Annotated[str, typer.Option("--device", help="cpu or cuda.")] = "cpu",
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
    out: OutOption = None,
) -> int:
    """Check samplers and estimators against exact oracles: seconds, no weights."""
    from dllm_eval.oracle.screen import page

    found = run_selftest(seed, device, out)
    if as_json:
        print_json(found.as_data())
    else:
        print_page(page(found))
    if found.failed:
        return fail(found.summary(), 1)
    print(found.summary(), file=sys.stderr if as_json else sys.stdout)
    return 0


def run_selftest(seed: int, device: str, folder: Path | None) -> "Selftest":
    """Runs the self-test; its result is kept in the folder, where there is one."""
    from rich.console import Console

    from dllm_eval.files import make_folder, write_json
    from dllm_eval.oracle import selftest
    from dllm_eval.sweep.folder import ResultsFolder

    if folder is not None:
        make_folder(folder)
    with Console(file=sys.stderr).status("self-test") as status:
        found = selftest.run_selftest(
            seed, device, lambda row: status.update(f"self-test: {row.name}")
        )
    if folder is not None:
        write_json(ResultsFolder(folder).selftest_file, found.as_data())
    return found
