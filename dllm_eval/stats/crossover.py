"""Where the diffusion advantage ends: a diffusion setting beside AR, point by point along an axis.

The axis is a batch size or an answer length; only settings that match the AR quality are compared,
and only at what was measured. Where AR rows name their tiers, the rival at each place is the best
tier there: what is fast alone may be slow in a batch. Called by `analysis.py`; the verdict says it
in words.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from dllm_eval.stats.batching import BatchCurve
from dllm_eval.stats.lengths import LengthCurve
from dllm_eval.stats.resample import Floats, Interval
from dllm_eval.stats.speedup import POINT
from dllm_eval.stats.tables import TaskTable

ROUNDING = 1e-9
"""Far below any difference in quality: 1 - 0.01 is not quite 0.99 in floating point."""


@dataclass(frozen=True, kw_only=True)
class Crossover:
    """One diffusion model beside the best AR setting of its machine and stack."""

    row: int
    """The diffusion setting: of those that match the AR quality, the best at the first place."""
    rival: int
    """The AR setting; of several tiers the best at the first place."""
    at: tuple[float, ...]
    """Places where both were measured, ascending: batch sizes, or mean visible tokens."""
    ahead: tuple[bool, ...]
    """Whether the diffusion setting is ahead there."""
    apart: tuple[bool, ...]
    """Whether the two 95 % intervals lie apart there."""
    rivals: tuple[int, ...] = ()
    """The AR setting at each place."""


@dataclass(frozen=True, kw_only=True)
class _Mark:
    """What one setting has at one place; more is better."""

    at: float
    value: float
    interval: Interval


_Marks = Mapping[int, Mapping[int, _Mark]]
"""Row -> place, a batch size or the number of a bin -> mark."""


def batch_crossovers(
    table: TaskTable, curves: Sequence[BatchCurve], quality: Floats
) -> tuple[Crossover, ...]:
    """By visible tokens per second at each batch size; `quality` is (configurations,)."""
    marks = {
        curve.row: {
            p.batch_size: _Mark(
                at=float(p.batch_size), value=p.visible_tokens_per_s, interval=p.interval
            )
            for p in curve.points
        }
        for curve in curves
    }
    return _crossovers(table, marks, quality)


def length_crossovers(
    table: TaskTable, curves: Sequence[LengthCurve], quality: Floats
) -> tuple[Crossover, ...]:
    """By p50 seconds in each bin of answer lengths; `quality` is (configurations,)."""
    marks = {
        curve.row: {
            p.bin: _Mark(
                at=p.visible_tokens,
                value=-p.latency_s,
                interval=Interval(low=-p.interval.high, high=-p.interval.low),
            )
            for p in curve.points
        }
        for curve in curves
    }
    return _crossovers(table, marks, quality)


def _crossovers(table: TaskTable, marks: _Marks, quality: Floats) -> tuple[Crossover, ...]:
    """One per diffusion model and place with a setting that matches the best AR quality there."""
    out = []
    x = table.configurations
    for group in sorted({x[i].group for i in marks}):
        here = [i for i in marks if x[i].group == group]
        rivals = [i for i in here if x[i].kind == "autoregressive"]
        if not rivals:
            continue
        rival = max(rivals, key=lambda i: float(quality[i]))
        tiers = _tiers(table, rival, rivals, quality)
        floor = quality[rival] - POINT - ROUNDING
        matching = [i for i in here if x[i].kind == "diffusion" and quality[i] >= floor]
        beside = _best_at_each_place(tiers, marks)
        for model in sorted({x[i].model for i in matching}):
            own = [i for i in matching if x[i].model == model and set(marks[i]) & set(beside)]
            if own:
                row = max(own, key=lambda i: marks[i][min(marks[i])].value)
                out.append(_crossover(row, beside, marks))
    return tuple(out)


def _tiers(table: TaskTable, rival: int, rivals: Sequence[int], quality: Floats) -> list[int]:
    """The rival, and the model's other tiers that score within a point of it."""
    x, floor = table.configurations[rival], quality[rival] - POINT - ROUNDING
    if not x.tier:
        return [rival]
    alike = [
        i
        for i in rivals
        if table.configurations[i].model == x.model
        and table.configurations[i].tier
        and quality[i] >= floor
    ]
    return [rival, *(i for i in alike if i != rival)]


def _best_at_each_place(tiers: Sequence[int], marks: _Marks) -> dict[int, int]:
    """Place -> the AR row that does best there, the first of equals."""
    places = sorted({place for i in tiers for place in marks[i]})
    return {
        place: max((i for i in tiers if place in marks[i]), key=lambda i: marks[i][place].value)
        for place in places
    }


def _crossover(row: int, beside: Mapping[int, int], marks: _Marks) -> Crossover:
    own = marks[row]
    places = sorted(set(own) & set(beside))
    other = {place: marks[beside[place]][place] for place in places}
    return Crossover(
        row=row,
        rival=beside[places[0]],
        at=tuple(other[p].at for p in places),
        ahead=tuple(own[p].value > other[p].value for p in places),
        apart=tuple(
            own[p].interval.low > other[p].interval.high
            or other[p].interval.low > own[p].interval.high
            for p in places
        ),
        rivals=tuple(beside[p] for p in places),
    )
