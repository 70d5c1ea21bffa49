"""What `dllm-eval sweep --dry-run` prints: the cells, what they cost and how long they take."""

from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

from dllm_eval.cli.printing import print_json

if TYPE_CHECKING:
    from rich.table import Table

    from dllm_eval.sweep.estimate import CellEstimate, Total
    from dllm_eval.sweep.spec import Sweep


def print_plan(spec: "Sweep", out: Path, *, as_json: bool) -> None:
    """Checks all that a run would, and prints the plan; writes nothing and fetches nothing.

    Raises:
        UsageError: What a run would refuse.
    """
    import os

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

    quiet()
    folder = ResultsFolder(out)
    planned = plan(spec, accepted_arguments)
    cells = offerable(planned, tuple(spec.include))
    check_sweep(spec, cells)
    check_folder(folder, cells)
    found = estimates(folder, cells, work_of(spec, cells), this_machine)
    added, notes = totals(found), assumptions(found, folder) + left_out(planned, cells)
    if as_json:
        print_json(_plain(spec, found, added, notes))
        return
    _print(found, added, notes)


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


def _print(found: "list[CellEstimate]", added: "list[Total]", notes: list[str]) -> None:
    from rich.console import Console

    console = Console()
    if console.is_terminal:
        console.print(_cell_table(found))
        for table in (_work_table(added), _hours_table(added)):
            console.print(table)
    else:
        for each in found:
            print(_cell_line(each))
        for total in added:
            print(_total_line(total))
    for note in notes:
        console.print(f"- {note}", markup=False, highlight=False, soft_wrap=not console.is_terminal)
    print(f"{len(found)} cells")


def _cell_line(each: "CellEstimate") -> str:
    cell, work = each.cell, each.work
    documents = work.documents if work.documents is not None else cell.limit or "all"
    done = ", finished" if each.finished else ""
    missing = f": {each.why}" if work.positions is None else ""
    return (
        f"{cell.cell_id}  {cell.label}, documents {documents}, batch {cell.batch_size}, "
        f"forwards {_count(work.forwards, at_most=work.at_most)}, "
        f"positions {_count(work.positions, at_most=work.at_most)}{missing}{done}"
    )


def _total_line(total: "Total") -> str:
    hours = "; ".join(f"{name} {_hours(total, name)}" for name in total.hours)
    return (
        f"{_name(total)}: {total.cells} cells, forwards {_forwards(total)}, "
        f"positions {_positions(total)}; hours: {hours}{_dollars(total, '; dollars ')}"
    )


def _cell_table(found: "list[CellEstimate]") -> "Table":
    """One row for a setting, its rounds and seeds counted; timed ones in the others' order."""
    from rich.table import Table

    table = Table(title="Cells", title_justify="left")
    for name in ("model", "suite", "setting", "purpose"):
        table.add_column(name)
    for name in ("batch", "cells", "documents", "forwards", "positions"):
        table.add_column(name, justify="right")
    groups: dict[tuple[str, str, int, str], list[CellEstimate]] = {}
    for each in found:
        load = each.cell.load.words if each.cell.load else ""
        key = (each.cell.config_id, each.cell.purpose, each.cell.batch_size, load)
        groups.setdefault(key, []).append(each)
    order = list(dict.fromkeys(each.cell.config_id for each in found))
    purposes: list[str] = list(dict.fromkeys(each.cell.purpose for each in found))
    for _, group in sorted(
        groups.items(),
        key=lambda item: (purposes.index(item[0][1]), order.index(item[0][0]), item[0][2]),
    ):
        cell, work = group[0].cell, group[0].work
        dials = " ".join(f"{name}={cell.arguments[name]}" for name in cell.swept)
        documents = str(work.documents if work.documents is not None else cell.limit or "all")
        counts = [_count(n, at_most=work.at_most) for n in (work.forwards, work.positions)]
        sized = (str(cell.batch_size), str(len(group)), documents, *counts)
        purpose = f"{cell.purpose}, {cell.load.words}" if cell.load else cell.purpose
        table.add_row(cell.name, cell.suite, dials, purpose, *sized)
    return table


def _work_table(added: "list[Total]") -> "Table":
    from rich.table import Table

    table = Table(title="Each time through the documents", title_justify="left")
    table.add_column("model, purpose")
    priced = any(total.dollars is not None for total in added)
    names = ("cells", "finished", "forwards", "positions", *(["dollars"] if priced else ()))
    for name in names:
        table.add_column(name, justify="right")
    for total in added:
        sums = [_forwards(total), _positions(total), *([_dollars(total)] if priced else ())]
        table.add_row(_name(total), str(total.cells), str(total.finished), *sums)
    return table


def _hours_table(added: "list[Total]") -> "Table":
    from rich.table import Table

    table = Table(title="Hours of one device", title_justify="left")
    table.add_column("device")
    for total in added:
        table.add_column(_name(total), justify="right")
    for device in added[-1].hours:
        table.add_row(device, *(_hours(total, device) for total in added))
    return table


def _name(total: "Total") -> str:
    return f"{total.model}, {total.purpose}" if total.purpose else total.model


def _count(number: int | None, *, at_most: bool) -> str:
    return "not known" if number is None else f"<={number}" if at_most else str(number)


def _forwards(total: "Total") -> str:
    return _sum(total, total.forwards, total.unknown_forwards)


def _positions(total: "Total") -> str:
    return _sum(total, total.positions, total.unknown_positions)


def _sum(total: "Total", number: int, unknown: int) -> str:
    if unknown == total.cells:
        return "not known"
    more = f" and {unknown} cells not known" if unknown else ""
    return f"{'<=' if total.at_most else ''}{number}{more}"


def _dollars(total: "Total", before: str = "") -> str:
    """What servers bill, "" where no cell has a price."""
    if total.dollars is None:
        return ""
    others = f" and {total.unknown_dollars} cells without a price" if total.unknown_dollars else ""
    return f"{before}<={total.dollars:.2f}{others}"


def _hours(total: "Total", device: str) -> str:
    unknown = total.unknown_hours.get(device, total.cells)
    if unknown == total.cells:
        return "not known"
    more = f" and {unknown} cells not known" if unknown else ""
    hours = total.hours[device]
    shown = "below 0.01" if hours < 0.01 else f"{hours:.2f}" if hours < 10 else f"{hours:.0f}"
    return f"{shown}{more}"
