"""`dllm-eval run` and `dllm-eval sweep`: lm-eval by hand, and a whole plan of it."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from dllm_eval.cli.app import OutOption, app

if TYPE_CHECKING:
    from dllm_eval.sweep.executors.executor import Executor
    from dllm_eval.sweep.plan import Cell
    from dllm_eval.sweep.spec import Sweep

WorkersOption = Annotated[int, typer.Option("--workers", min=1, help="Processes for quality.")]


@app.command(
    add_help_option=False,
    context_settings={"allow_extra_args": True, "ignore_unknown_options": True},
)
def run(context: typer.Context) -> None:
    """Run `lm_eval run`, with exactly its flags, with our models and tasks known to it."""
    from dllm_eval.sweep.lm_eval_run import run_lm_eval

    run_lm_eval(context.args)


@app.command()
def sweep(
    spec: Annotated[Path, typer.Argument(help="A YAML file, or a shipped one: demo, samplers.")],
    out: OutOption = None,
    workers: WorkersOption = 1,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Print the cells and stop.")] = False,
) -> None:
    """Run a sweep's missing cells; stop it anywhere and run it again to go on."""
    from dllm_eval.sweep.executors.local import LocalExecutor
    from dllm_eval.sweep.spec_file import load_spec

    wanted = load_spec(spec)
    folder = out or Path("results") / wanted.name
    if dry_run:
        _print_plan(wanted)
        return
    run_sweep(wanted, folder, LocalExecutor(workers))
    print(f"results: {folder}")
    print(f"next: dllm-eval report {folder}")


def run_sweep(spec: "Sweep", folder: Path, executor: "Executor") -> dict[str, float]:
    """Runs a sweep under a progress bar; gives seconds by stage."""
    from dllm_eval.sweep import run
    from dllm_eval.sweep.progress import SweepProgress

    with SweepProgress(spec.name) as progress:
        return run.run_sweep(spec, folder, executor=executor, watch=progress.update)


def _print_plan(spec: "Sweep") -> None:
    from dllm_eval.sweep.models import accepted_arguments, check_cells
    from dllm_eval.sweep.plan import plan

    cells: list[Cell] = plan(spec, accepted_arguments)
    check_cells(cells)
    for cell in cells:
        documents = "all" if cell.limit is None else cell.limit
        print(f"{cell.cell_id}  {cell.label}, documents {documents}, batch {cell.batch_size}")
    print(f"{len(cells)} cells")
