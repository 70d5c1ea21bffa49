"""What `dllm-eval sweep --dry-run` prints: what will be run, what it costs and how long it takes.

Knows estimates; `plan_tables.py` lays them out. `sweeps.py` calls it.
"""

from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

from dllm_eval.cli.printing import print_json

if TYPE_CHECKING:
    from dllm_eval.sweep.estimate import CellEstimate, Total
    from dllm_eval.sweep.spec import Sweep


def print_plan(spec: "Sweep", out: Path, *, as_json: bool, verbose: bool) -> None:
    """Checks all that a run would, and prints the plan; writes nothing and fetches nothing.

    Args:
        spec: What would be run.
        out: The results folder, whose finished cells tell seconds.
        as_json: Whether to print data.
        verbose: Whether to print every cell, not only models and suites.

    Raises:
        UsageError: What a run would refuse.
    """
    import os

    from dllm_eval.cli.plan_tables import show

    # Documents and weights that are not here stay where they are, and count as not known.
    os.environ.setdefault("HF_HUB_OFFLINE", "1")
    from dllm_eval.sweep.check import (
        check_folder,
        check_sweep,
        work_of,
    )
    from dllm_eval.sweep.estimate import assumptions, estimates, this_machine, totals
    from dllm_eval.sweep.folder import ResultsFolder
    from dllm_eval.sweep.load_tasks import left_out, offerable
    from dllm_eval.sweep.models import accepted_arguments
    from dllm_eval.sweep.plan import plan
    from dllm_eval.sweep.quiet import quiet
    from dllm_eval.sweep.spec_runs import too_few_rounds

    quiet()
    folder = ResultsFolder(out)
    planned = plan(spec, accepted_arguments)
    cells = offerable(planned, tuple(spec.include))
    check_sweep(spec, cells)
    check_folder(spec, folder, cells)
    found = estimates(folder, cells, work_of(spec, cells), this_machine)
    notes = [*assumptions(found, folder), *left_out(planned, cells), *too_few_rounds(spec.latency)]
    added = totals(found)
    if as_json:
        print_json(_plain(spec, found, added, notes))
        return
    show(found, added, notes, verbose=verbose)


def _plain(
    spec: "Sweep", found: "list[CellEstimate]", added: "list[Total]", notes: list[str]
) -> dict[str, Any]:
    cells = [
        {
            "cell_id": each.cell.cell_id,
            "label": each.cell.label,
            "model": each.cell.name,
            "suite": each.cell.suite,
            "purpose": each.cell.purpose,
            "batch_size": each.cell.batch_size,
            "in_flight": each.cell.in_flight,
            "arrivals_per_s": each.cell.arrivals_per_s,
            "settings": each.cell.settings,
            "search": each.cell.search,
            "finished": each.finished,
            "seconds": each.seconds,
            **asdict(each.work),
        }
        for each in found
    ]
    return {
        "name": spec.name,
        "cells": cells,
        "totals": [asdict(total) for total in added],
        "assumptions": notes,
    }
