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
    WorkerTimeoutOption,
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

    for line in run_lm_eval(context.args):
        print(line, file=sys.stderr)


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
    worker_timeout: WorkerTimeoutOption = None,
    retime: Annotated[
        bool, typer.Option("--retime", help="Throw the timings away and time again: quality stays.")
    ] = False,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Check all, print the cells and their cost, and stop.")
    ] = False,
    as_json: Annotated[
        bool, typer.Option("--json", help="With --dry-run: print it as JSON.")
    ] = False,
    verbose: Annotated[
        bool, typer.Option("--verbose", help="With --dry-run: print every cell.")
    ] = False,
) -> None:
    """Run a sweep's missing cells; stop it anywhere and run it again to go on."""
    from dllm_eval.sweep.knees import read_knees
    from dllm_eval.sweep.spec_file import load_spec

    wanted = load_spec(spec)
    folder = out or Path("results") / wanted.name
    if dry_run:
        print_plan(wanted, folder, as_json=as_json, verbose=verbose)
        return
    for given, name in ((as_json, "--json"), (verbose, "--verbose")):
        if given:
            raise UsageError(f"{name} is for --dry-run: leave it out, or add --dry-run")
    where = Where(
        executor=executor,
        workers=workers,
        no_wait=no_wait,
        worker_timeout_s=worker_timeout,
        ray_address=ray_address,
        cpus_per_cell=cpus_per_cell,
        gpus_per_cell=gpus_per_cell,
        slurm=slurm,
    )
    with opened(where) as place:
        run_sweep(wanted, folder, place, retime=retime)
    for knee in read_knees(folder) if any(suite.search for suite in wanted.suites) else ():
        print(f"knee: {knee.line}")
    if wanted.latency.enabled:
        _warn_of_busy(folder, shlex.join(["dllm-eval", "sweep", *_again(spec, out), "--retime"]))
    print(f"results: {folder}")
    print(f"next: dllm-eval report {shlex.quote(str(folder))}")


def _again(spec: Path, out: Path | None) -> list[str]:
    return [str(spec), *(("--out", str(out)) if out else ())]


def _warn_of_busy(folder: Path, command: str) -> None:
    from dllm_eval.sweep.busy import busy_line

    try:
        line = busy_line(folder, command)
    except UsageError as error:  # the sweep itself is done, and `report` says the same
        line = f"whether the machine was busy is not known: {error}"
    if line:
        print(f"warning: {line}", file=sys.stderr)


def run_sweep(
    spec: "Sweep", folder: Path, executor: "Executor", *, retime: bool = False
) -> dict[str, float]:
    """Runs a sweep under a progress bar; gives seconds by stage."""
    from dllm_eval.sweep import run
    from dllm_eval.sweep.folder import ResultsFolder
    from dllm_eval.sweep.identity import num_unmarked
    from dllm_eval.sweep.loggers import failed_logs
    from dllm_eval.sweep.progress import SweepProgress

    unmarked = num_unmarked(ResultsFolder(folder))
    if unmarked:
        print(
            f"warning: {unmarked} finished cells of {folder} are of a version that did not keep "
            "what tasks and data they were run on: they are kept, unchecked",
            file=sys.stderr,
        )
    with SweepProgress(spec.name) as progress:
        seconds = run.run_sweep(
            spec, folder, executor=executor, watch=progress.update, retime=retime
        )
    for line in failed_logs(ResultsFolder(folder)) if spec.loggers else ():
        print(f"warning: {line}", file=sys.stderr)
    return seconds
