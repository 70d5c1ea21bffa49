"""`dllm-eval arguments`: what `--model_args` and a sweep may say to each model."""

from pathlib import Path
from typing import Annotated

import typer

from dllm_eval.cli.app import app
from dllm_eval.cli.printing import print_json, print_page, write_all


@app.command()
def arguments(
    model: Annotated[
        str | None, typer.Argument(help="dllm, dllm-ar, dllm-api or dllm-engine.")
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
    out: Annotated[Path | None, typer.Option("--out", help="Write markdown here.")] = None,
) -> None:
    """List the arguments of the models: accepted values, defaults, what each does."""
    from dllm_eval.catalogue.arguments import data_of, markdown
    from dllm_eval.catalogue.arguments_screen import overview, page_of

    if out is not None:
        write_all(out, markdown(), alone=model is None and not as_json)
    elif as_json:
        print_json(data_of(model))
    else:
        print_page(overview() if model is None else page_of(model))
