"""A sweep's plan as tables on a terminal, and as lines where stdout is a file.

Knows estimates and how they read; computes none. `plans.py` calls it.
"""

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from rich.table import Table

    from dllm_eval.sweep.estimate import CellEstimate, PairTotal, Total


def show(
    found: "list[CellEstimate]", added: "list[Total]", notes: list[str], *, verbose: bool
) -> None:
    """Prints a plan: models and suites, sums, assumptions; every cell where that is asked for."""
    from rich.console import Console

    from dllm_eval.sweep.estimate import pair_totals

    console = Console()
    pairs = pair_totals(found)
    if console.is_terminal:
        cells = [_cell_table(found)] if verbose else []
        for table in (*cells, _pair_table(pairs), _work_table(added), _hours_table(added)):
            console.print(table)
    else:
        for each in found if verbose else ():
            print(_cell_line(each))
        for pair in pairs:
            print(_pair_line(pair))
        for total in added:
            print(_total_line(total))
    for note in notes:
        console.print(f"- {note}", markup=False, highlight=False, soft_wrap=not console.is_terminal)
    more = "" if verbose else "; each of them: --verbose, or --json"
    print(f"{len(found)} cells{more}")


def _pair_line(pair: "PairTotal") -> str:
    total = pair.total
    hours = "; ".join(f"{name} {_hours(total, name)}" for name in total.hours)
    return (
        f"{total.model}, {pair.suite}: {_several(pair.num_settings, 'setting')}, "
        f"{_several(total.cells, 'cell')}{_finished(total)}, forwards {_forwards(total)}; "
        f"hours: {hours}{_dollars(total, '; dollars ')}"
    )


def _several(number: int, what: str) -> str:
    return f"{number} {what}" if number == 1 else f"{number} {what}s"


def _finished(total: "Total") -> str:
    return f" ({total.finished} finished)" if total.finished else ""


def _pair_table(pairs: "list[PairTotal]") -> "Table":
    """One row for a model on a suite; hours on the first device, which is this machine."""
    from rich.table import Table

    table = Table(title="Models and suites", title_justify="left")
    for name in ("model", "suite"):
        table.add_column(name)
    device = next(iter(pairs[0].total.hours), None)
    priced = any(pair.total.dollars is not None for pair in pairs)
    names = ["settings", "cells", "finished", "forwards"]
    names += [f"hours, {device}"] if device else []
    for name in [*names, *(["dollars"] if priced else [])]:
        table.add_column(name, justify="right")
    for pair in pairs:
        total = pair.total
        row = [str(pair.num_settings), str(total.cells), str(total.finished), _forwards(total)]
        row += [_hours(total, device)] if device else []
        table.add_row(total.model, pair.suite, *row, *([_dollars(total)] if priced else []))
    return table


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
    if unknown and not total.at_most:
        return f"at least {number} ({unknown} cells not known)"
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
