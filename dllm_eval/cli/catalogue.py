"""`dllm-eval models` and `dllm-eval samplers`: what there is to evaluate, and how."""

import sys
from pathlib import Path
from typing import Annotated

import typer

from dllm_eval.cli.app import app
from dllm_eval.cli.printing import print_json, print_page, write, write_all
from dllm_eval.errors import UsageError


@app.command()
def models(
    name: Annotated[str | None, typer.Argument(help="A family, a card or a hub id.")] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
    reported: Annotated[
        bool, typer.Option("--reported", help="Published scores against reproduced ones.")
    ] = False,
    results: Annotated[
        list[Path] | None, typer.Option("--results", help="Folders with runs to compare.")
    ] = None,
    out: Annotated[Path | None, typer.Option("--out", help="Write markdown here.")] = None,
) -> None:
    """List model families and checkpoints, or show one with its published scores."""
    from dllm_eval.catalogue.cards import broken_cards
    from dllm_eval.catalogue.index import data_of, families_markdown
    from dllm_eval.catalogue.pages import overview, page_of

    for broken in broken_cards():
        print(f"warning: {broken.message}; it is left out", file=sys.stderr)
    if results and not reported:
        raise UsageError("--results are compared with published scores: pass --reported as well")
    if reported:
        _models_reported(name, results or [], out=out, as_json=as_json)
        return
    if out is not None:
        write_all(out, families_markdown(), alone=name is None and not as_json)
        return
    found = data_of(name) if as_json else overview() if name is None else page_of(name)
    if found is None:
        _shipped_model(str(name))
    elif as_json:
        print_json(found)
    else:
        print_page(found)


@app.command()
def samplers(
    name: Annotated[str | None, typer.Argument(help="A name, or several joined by +.")] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
    out: Annotated[Path | None, typer.Option("--out", help="Write markdown here.")] = None,
) -> None:
    """List decoding strategies, or show one with its settings and source."""
    from dllm_eval.samplers.pages import data_of, markdown
    from dllm_eval.samplers.screen import overview, page_of

    if out is not None:
        write_all(out, markdown(), alone=name is None and not as_json)
    elif as_json:
        print_json(data_of(name))
    else:
        print_page(overview() if name is None else page_of(name))


def _shipped_model(name: str) -> None:
    from dllm_eval.catalogue.index import unknown_model
    from dllm_eval.loading import SHIPPED, resolve_checkpoint

    if name not in SHIPPED:
        raise unknown_model(name, SHIPPED)
    print(f"{name} lies in {resolve_checkpoint(name)} (training.json there: how it was made)")


def _models_reported(
    name: str | None, folders: list[Path], *, out: Path | None, as_json: bool
) -> None:
    from dllm_eval.catalogue.index import all_cards, cards_named
    from dllm_eval.report.reproduced import compare
    from dllm_eval.report.reproduced_text import as_data, markdown, page
    from dllm_eval.report.runs import read_runs

    cards = all_cards() if name is None else cards_named(name)
    rows, misses = compare(cards, read_runs(folders))
    if out is not None:
        write(out, markdown(rows, misses))
    elif as_json:
        print_json(as_data(rows))
    else:
        print_page(page(rows, misses))
