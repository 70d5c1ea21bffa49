"""`dllm-eval recommend`: which setting to deploy, from results folders."""

from pathlib import Path
from typing import Annotated

import typer

from dllm_eval.cli.app import app
from dllm_eval.cli.printing import print_json


@app.command()
def recommend(
    folders: Annotated[list[Path], typer.Argument(help="Results folders of sweeps.")],
    task: Annotated[str, typer.Option("--task", help="A suite's title, or its task.")],
    latency_ms: Annotated[
        float | None, typer.Option("--latency-ms", help="The most milliseconds per request.")
    ] = None,
    quality_floor: Annotated[
        str | None,
        typer.Option(
            "--quality-floor", help="The least: 0.9, 90%, or ar-2pt; a perplexity's most: 4."
        ),
    ] = None,
    percentile: Annotated[
        int, typer.Option("--percentile", help="Of the seconds: 50, 90 or 99.")
    ] = 50,
    model: Annotated[str | None, typer.Option("--model", help="Settings of one model.")] = None,
    machine: Annotated[
        str | None, typer.Option("--machine", help="Part of its name, where there are several.")
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> int:
    """Name the setting to deploy for a latency budget or a quality floor; exit code 1 if none."""
    from dllm_eval.report.advice import Asked, answer
    from dllm_eval.report.recommend import as_data, lines
    from dllm_eval.stats.budget import Budget, parse_floor

    budget = Budget(
        latency_s=None if latency_ms is None else latency_ms / 1000,
        floor=None if quality_floor is None else parse_floor(quality_floor),
        percentile=percentile,
    )
    found = answer(folders, Asked(task=task, budget=budget, model=model, machine=machine))
    if as_json:
        print_json(as_data(found))
    else:
        print("\n".join(lines(found)))
    return 0 if found.qualifies else 1
