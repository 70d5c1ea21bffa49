"""`dllm-eval run` and `dllm-eval sweep`: lm-eval by hand, and a whole plan of it."""

import shlex
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from dllm_eval.cli.app import OutOption, app
from dllm_eval.cli.executors import (
    CpusOption,
    ExecutorName,
    ExecutorOption,
    GpusOption,
    NoWaitOption,
    RayAddressOption,
    SlurmOption,
    Where,
    WorkersOption,
    opened,
)
from dllm_eval.cli.plans import print_plan
from dllm_eval.errors import UsageError

if TYPE_CHECKING:
    from dllm_eval.sweep.executors.executor import Executor
    from dllm_eval.sweep.spec import Sweep


@app.command(
    add_help_option=False,
    context_settings={"allow_extra_args": True, "ignore_unknown_options": True},
)
def run(context: typer.Context) -> None:
    """Run `lm_eval run`, with exactly its flags, with our models and tasks known to it."""
    from dllm_eval.sweep.lm_eval_run import run_lm_eval

    run_lm_eval(context.args)


@app.command()
def sweep(  # noqa: PLR0913 - each is an option of the command
    spec: Annotated[
        Path,
        typer.Argument(
            help="A YAML file, or a shipped one: demo, load, samplers, stress, suites, tiers."
        ),
    ],
    out: OutOption = None,
    workers: WorkersOption = None,
    executor: ExecutorOption = ExecutorName.LOCAL,
    ray_address: RayAddressOption = None,
    cpus_per_cell: CpusOption = None,
    gpus_per_cell: GpusOption = None,
    slurm: SlurmOption = None,
    no_wait: NoWaitOption = False,
    retime: Annotated[
        bool, typer.Option("--retime", help="Throw the timings away and time again: quality stays.")
    ] = False,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Check all, print the cells and their cost, and stop.")
    ] = False,
    as_json: Annotated[
        bool, typer.Option("--json", help="With --dry-run: print it as JSON.")
    ] = False,
) -> None:
    """Run a sweep's missing cells; stop it anywhere and run it again to go on."""
    from dllm_eval.sweep.knees import read_knees
    from dllm_eval.sweep.spec_file import load_spec

    wanted = load_spec(spec)
    folder = out or Path("results") / wanted.name
    if dry_run:
        print_plan(wanted, folder, as_json=as_json)
        return
    if as_json:
        raise UsageError("--json is for --dry-run: leave it out, or add --dry-run")
    where = Where(
        executor=executor,
        workers=workers,
        no_wait=no_wait,
        ray_address=ray_address,
        cpus_per_cell=cpus_per_cell,
        gpus_per_cell=gpus_per_cell,
        slurm=slurm,
    )
    with opened(where) as place:
        run_sweep(wanted, folder, place, retime=retime)
    for knee in read_knees(folder) if any(suite.search for suite in wanted.suites) else ():
        print(f"knee: {knee.line}")
    print(f"results: {folder}")
    print(f"next: dllm-eval report {shlex.quote(str(folder))}")


def run_sweep(
    spec: "Sweep", folder: Path, executor: "Executor", *, retime: bool = False
) -> dict[str, float]:
    """Runs a sweep under a progress bar; gives seconds by stage."""
    from dllm_eval.sweep import run
    from dllm_eval.sweep.folder import ResultsFolder
    from dllm_eval.sweep.loggers import failed_logs
    from dllm_eval.sweep.progress import SweepProgress

    with SweepProgress(spec.name) as progress:
        seconds = run.run_sweep(
            spec, folder, executor=executor, watch=progress.update, retime=retime
        )
    for line in failed_logs(ResultsFolder(folder)) if spec.loggers else ():
        print(f"warning: {line}", file=sys.stderr)
    return seconds
