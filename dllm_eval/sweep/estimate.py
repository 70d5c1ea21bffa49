"""How long a sweep will take, by device: measured where cells are finished, else by a roofline.

A forward pass over n positions takes

    max(2 * active parameters * n / (peak FLOP/s * utilisation), weight bytes / bandwidth)

seconds: a multiplication and an addition for every parameter that a position uses, all weights read
once. Attention, sampling and the launching of kernels are left out, so small models take longer.
Knows works, sizes and devices; knows no model. `--dry-run` calls it.
"""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import cache

from dllm_eval.load import Load
from dllm_eval.sweep.devices import DEVICES, UTILISATION, Device
from dllm_eval.sweep.folder import ResultsFolder
from dllm_eval.sweep.forecast import CellWork
from dllm_eval.sweep.pace import read_pace
from dllm_eval.sweep.plan import Cell
from dllm_eval.sweep.sizes import Sizes, local_folder, sizes_of

MEASURED = "here, from finished cells"
TOKENS_PER_FORWARD = 8192
"""What scoring packs into a forward where the model's arguments do not say."""

HereOf = Callable[[Sizes], Device]
"""This machine, as fast as it multiplies a model's kind of numbers."""


def this_machine(sizes: Sizes) -> Device:
    """This machine by a second's measurement, in float32 or bfloat16 as the model is loaded."""
    return _measured(sizes.parameter_bytes < 3)


@cache
def _measured(half: bool) -> Device:
    import torch

    from dllm_eval.measure.speed import measure_speed

    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    speed = measure_speed(device, torch.bfloat16 if half else torch.float32)
    return Device(
        name=f"this machine ({speed.machine})",
        flops_per_s=speed.flops_per_s,
        bytes_per_s=speed.bytes_per_s,
    )


@dataclass(frozen=True, kw_only=True)
class CellEstimate:
    """One cell of the plan."""

    cell: Cell
    work: CellWork
    finished: bool
    seconds: dict[str, float | None]
    """By device; None where it cannot be told."""
    why: str
    """What is missing, where something is."""


def estimates(
    folder: ResultsFolder, cells: Sequence[Cell], works: Sequence[CellWork], here: HereOf
) -> list[CellEstimate]:
    """What every cell will take on every device.

    Args:
        folder: Where finished cells would lie.
        cells: The plan.
        works: What each will cost.
        here: Measures this machine for a model; asked once per size of a parameter.
    """
    pace = read_pace(folder, cells, works)
    known: dict[tuple[object, ...], Sizes | None] = {}
    found = []
    for cell, once in zip(cells, works, strict=True):
        # Under load not all of its requests need be offered.
        work = replace(once, at_most=True) if cell.load else once
        key = (cell.arguments.get("pretrained"), cell.arguments.get("dtype"))
        if key not in known:
            place = local_folder(cell)
            known[key] = None if place is None else sizes_of(place, cell.arguments.get("dtype"))
        sizes = known[key]
        seconds: dict[str, float | None] = {}
        if pace.taken_s:
            seconds[MEASURED] = pace.seconds(cell, work)
        for device in (*([here(sizes)] if sizes else []), *DEVICES):
            seconds[device.name] = (
                None if sizes is None else cell_seconds(cell, work, sizes, device)
            )
        why = work.why or ("" if sizes else "no local weights")
        found.append(
            CellEstimate(
                cell=cell,
                work=work,
                finished=cell.cell_id in pace.taken_s,
                seconds=seconds,
                why=why,
            )
        )
    return found


def cell_seconds(cell: Cell, work: CellWork, sizes: Sizes, device: Device) -> float | None:
    """A cell's seconds on a device, by the roofline; None where its work is not known.

    A quality cell goes once through its documents, in batches. A latency cell does so as often as
    it repeats, at least for its `min_seconds`, after its warm-up, which is one shape's. A load cell
    goes through its requests at most once, and goes on for a batch when its time is over; arrivals
    that are slower than the model are waited for, faster ones all answered.
    """
    if work.forwards is None or work.positions is None or not work.requests:
        return None
    share = _requests_per_forward(cell, work)
    positions = work.positions / work.forwards * share
    once = work.forwards / share * forward_seconds(positions, sizes, device)
    if cell.load is not None:
        return _load_seconds(cell.load, once, batches=math.ceil(work.requests / cell.batch_size))
    if cell.timing is None:
        return once
    repeats = max(cell.timing.repeats, math.ceil(cell.timing.min_seconds / once))
    batches = math.ceil(work.requests / cell.batch_size)
    return once * repeats + once / batches * cell.timing.warmup


def _load_seconds(load: Load, once: float, *, batches: int) -> float:
    """At most; `once` is what all requests take, back to back and in full batches."""
    each = once / batches
    if load.in_flight is not None:
        return min(once, load.seconds + each) + load.warmup * each
    return max(once, load.longest_s + each) + load.warmup * 2 * each


def forward_seconds(positions: float, sizes: Sizes, device: Device) -> float:
    """Seconds of one forward pass over so many positions; see the file's formula."""
    compute = 2 * sizes.active * positions / (device.flops_per_s * UTILISATION)
    return max(compute, sizes.bytes_read(positions) / device.bytes_per_s)


def _requests_per_forward(cell: Cell, work: CellWork) -> float:
    """How many requests' forwards one pass makes: the batch, or what scoring packs into it."""
    if work.forwards is None or work.positions is None or work.documents is None:
        return 1.0
    if not work.scored:
        return float(min(cell.batch_size, work.requests or 1))
    packed = cell.arguments.get("tokens_per_forward", TOKENS_PER_FORWARD)
    room = float(packed if isinstance(packed, int) else TOKENS_PER_FORWARD)
    together = cell.batch_size * work.forwards / max(1, work.documents)
    return max(1.0, min(room / (work.positions / work.forwards), together, work.forwards))


@dataclass(frozen=True, kw_only=True)
class Total:
    """Of the cells of one model and purpose, or of all."""

    model: str
    purpose: str
    cells: int
    finished: int
    forwards: int
    positions: int
    at_most: bool
    unknown_forwards: int
    """Cells whose forwards are not known, and in no sum."""
    unknown_positions: int
    hours: dict[str, float]
    unknown_hours: dict[str, int]
    """By device, cells that are in no sum."""
    dollars: float | None = None
    """What servers bill at most; None where no cell has a price."""
    unknown_dollars: int = 0
    """Cells that are in no sum of dollars, where some are."""


def totals(found: Sequence[CellEstimate]) -> list[Total]:
    """By model and purpose in the order of the plan, then all together."""
    groups: dict[tuple[str, str], list[CellEstimate]] = {}
    for each in found:
        groups.setdefault((each.cell.name, each.cell.purpose), []).append(each)
    parts = [_total(*names, each) for names, each in groups.items()]
    return [*parts, _total("all", "", list(found))]


@dataclass(frozen=True, kw_only=True)
class PairTotal:
    """Of the cells of one model on one suite, of all purposes."""

    suite: str
    num_settings: int
    total: Total


def pair_totals(found: Sequence[CellEstimate]) -> list[PairTotal]:
    """By model and suite, in the order of the plan."""
    groups: dict[tuple[str, str], list[CellEstimate]] = {}
    for each in found:
        groups.setdefault((each.cell.name, each.cell.suite), []).append(each)
    return [
        PairTotal(
            suite=suite,
            num_settings=len({one.cell.config_id for one in each}),
            total=_total(model, "", each),
        )
        for (model, suite), each in groups.items()
    ]


def _total(model: str, purpose: str, found: list[CellEstimate]) -> Total:
    devices = list(dict.fromkeys(name for each in found for name in each.seconds))
    seconds = {name: [each.seconds.get(name) for each in found] for name in devices}
    bills = [each.work.dollars for each in found if each.work.dollars is not None]
    return Total(
        model=model,
        purpose=purpose,
        cells=len(found),
        finished=sum(each.finished for each in found),
        forwards=sum(each.work.forwards or 0 for each in found),
        positions=sum(each.work.positions or 0 for each in found),
        at_most=any(each.work.at_most or each.cell.search for each in found),
        unknown_forwards=sum(each.work.forwards is None for each in found),
        unknown_positions=sum(each.work.positions is None for each in found),
        hours={
            name: sum(s for s in each if s is not None) / 3600 for name, each in seconds.items()
        },
        unknown_hours={name: each.count(None) for name, each in seconds.items()},
        dollars=sum(bills) if bills else None,
        unknown_dollars=len(found) - len(bills) if bills else 0,
    )


def assumptions(found: Sequence[CellEstimate], folder: ResultsFolder) -> list[str]:
    """What the numbers take for granted, one line each."""
    lines = [
        "one device, one worker, one cell at a time; quality cells in their batches, latency cells "
        "alone with warm-up, repeats and rounds; starting and loading weights are not counted",
        f"by device: each parameter that a position uses once, at {UTILISATION:.0%} of the dense "
        "bfloat16 peak, or all weights once a forward at full bandwidth, whichever is slower; no "
        "attention, no kernel launches: small models take longer",
    ]
    finished = sum(each.finished for each in found)
    if finished:
        lines.append(
            f"{MEASURED}: {finished} finished cells of {folder.path}; the others by "
            "seconds per forward and position of their model on that suite, or on other suites"
        )
    if any(each.work.at_most for each in found):
        lines.append(
            "<=: an upper bound, where tokens decide how many steps, an answer may end early, or "
            "choices share forwards"
        )
    if any(each.cell.load for each in found):
        lines.append(
            "load cells: at most load.seconds of offering and the answers that are open then; "
            "arrivals faster than the model are all answered, up to load.requests"
        )
    if any(each.work.dollars is not None for each in found):
        lines.append(
            "dollars: at most, by the card's prices, a token a byte of the prompt and every answer "
            "as long as its limit; tries that are billed without an answer are not counted"
        )
    candidates = sum(bool(each.cell.search) for each in found)
    if candidates:
        lines.append(f"{candidates} cells are candidates of a search, which runs some of them")
    for why in dict.fromkeys(each.why for each in found if each.why):
        number = sum(each.why == why for each in found)
        lines.append(f"not known for {number} cells: {why}")
    return lines
