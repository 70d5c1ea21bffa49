"""Everything the report says about one suite, computed once.

Puts the pieces of this package together: one row per setting, and per machine and stack the
frontier, its band, hypervolume and matched-quality speed-up. Knows no file format and no figure.
Called by `report/`.
"""

from dataclasses import dataclass, replace

import numpy as np

from dllm_eval.stats.acceptable import Acceptable, acceptable
from dllm_eval.stats.aup import Aup, aup
from dllm_eval.stats.batching import BatchCurve, batch_curves
from dllm_eval.stats.best_stack import BestStack, best_stacks
from dllm_eval.stats.bounds import kind_of
from dllm_eval.stats.clusters import unit_means
from dllm_eval.stats.compare import Comparison, compare_with_autoregressive
from dllm_eval.stats.costs import costs
from dllm_eval.stats.crossover import Crossover, batch_crossovers, length_crossovers
from dllm_eval.stats.device_costs import DeviceCosts, device_costs
from dllm_eval.stats.frontier import frontier_probability, on_frontier
from dllm_eval.stats.group import Curve as Curve
from dllm_eval.stats.group import GroupAnalysis, group_analysis
from dllm_eval.stats.lengths import LengthCurve, length_curves
from dllm_eval.stats.looseness import looseness
from dllm_eval.stats.noise import noise
from dllm_eval.stats.placement import KINDS
from dllm_eval.stats.points import Points, points
from dllm_eval.stats.resample import (
    REPLICATES,
    Flags,
    Floats,
    Interval,
    percentile_interval,
    quality_interval,
)
from dllm_eval.stats.row import Row
from dllm_eval.stats.speedup import POINT
from dllm_eval.stats.tables import TaskTable


@dataclass(frozen=True, kw_only=True, eq=False)
class TaskAnalysis:
    """One suite: its table, one row per configuration, and its groups."""

    table: TaskTable
    rows: tuple[Row, ...]
    groups: tuple[GroupAnalysis, ...]
    batches: tuple[BatchCurve, ...] = ()
    lengths: tuple[LengthCurve, ...] = ()
    batch_crossovers: tuple[Crossover, ...] = ()
    length_crossovers: tuple[Crossover, ...] = ()
    best_stacks: tuple[BestStack, ...] = ()
    """Of machines with several stacks."""

    @property
    def likelihood(self) -> bool:
        """Whether requests were scored, not generated."""
        return any(row.costs.estimator for row in self.rows)

    def on_best_stack(self, found: BestStack) -> "TaskAnalysis":
        """The suite as one machine's stacks together show it: its rows against its best AR row."""
        members = frozenset(found.group.members)
        rows = tuple(
            replace(
                row,
                comparison=found.comparisons.get(i),
                on_frontier=row.above_chance and i in found.frontier,
            )
            if i in members
            else row
            for i, row in enumerate(self.rows)
        )
        return replace(self, rows=rows, groups=(found.group,), best_stacks=())


def analyse(table: TaskTable, *, seed: int = 0, replicates: int = REPLICATES) -> TaskAnalysis:
    """All statistics of one suite; the same table and seed give the same numbers."""
    generator = np.random.default_rng(seed)
    found = points(table, replicates, generator)
    groups = tuple(group_analysis(table, name, found) for name in _group_names(table))
    compared = compare_with_autoregressive(table, found, generator=generator)
    rows = _rows(table, found, groups, compared)
    finished = tuple(_with_dials(table, x, rows, replicates, generator) for x in groups)
    batches = batch_curves(table)
    lengths = length_curves(table, generator=generator, replicates=replicates)
    return TaskAnalysis(
        table=table,
        rows=rows,
        groups=finished,
        batches=batches,
        lengths=lengths,
        batch_crossovers=_useful(rows, batch_crossovers(table, batches, found.quality)),
        length_crossovers=_useful(rows, length_crossovers(table, lengths, found.quality)),
        best_stacks=best_stacks(table, found, seed=seed),
    )


def _group_names(table: TaskTable) -> list[str]:
    """Machines with what ran in process first, then engines, then APIs; each by name."""
    order = {x.group: KINDS.index(x.placement.kind) for x in reversed(table.configurations)}
    return sorted(order, key=lambda name: (order[name], name))


def _useful(rows: tuple[Row, ...], found: tuple[Crossover, ...]) -> tuple[Crossover, ...]:
    """Those beside an AR score that is a quality to match, timed on an idle machine."""
    idle = [x for x in found if not any(rows[i].busy for i in (x.row, x.rival, *x.rivals))]
    return tuple(x for x in idle if rows[x.rival].above_chance)


@dataclass(frozen=True, kw_only=True, eq=False)
class _FrontierFlags:
    """Where each row stands among all series of its group and among its own series' rows."""

    overall: Flags
    own: Flags
    probability: Floats
    energy: Flags
    memory: Flags


def _rows(
    table: TaskTable,
    found: Points,
    groups: tuple[GroupAnalysis, ...],
    compared: dict[int, Comparison],
) -> tuple[Row, ...]:
    everything = range(len(table.configurations))
    intervals = [
        quality_interval(table.quality[i], found.quality_replicates[:, i], table.clusters)
        for i in everything
    ]
    # What is not a point better than guessing is no quality to be fast at.
    useful = np.array([_above_chance(x, table) for x in intervals], dtype=np.bool_)
    spent = [device_costs(table, i) for i in everything]
    flags = _frontier_flags(table, groups, found, useful, spent)
    return tuple(
        _row(table, i, found, flags, compared.get(i), intervals[i], spent[i]) for i in everything
    )


def _above_chance(interval: Interval, table: TaskTable) -> bool:
    """Whether a quality is clearly better than guessing; where nobody can guess, it always is."""
    return bool(np.isneginf(table.chance)) or bool(interval.low > table.chance + POINT)


def _frontier_flags(
    table: TaskTable,
    groups: tuple[GroupAnalysis, ...],
    found: Points,
    useful: Flags,
    spent: list[DeviceCosts],
) -> _FrontierFlags:
    overall = np.zeros(found.quality.shape, dtype=np.bool_)
    own, energy, memory = overall.copy(), overall.copy(), overall.copy()
    probability = np.full(found.quality.shape, np.nan)
    joules = np.array([x.joules for x in spent])
    peaks = np.array([x.peak_memory_bytes for x in spent])
    for group in groups:
        timed = [i for curve in group.curves for i in curve.members if i not in found.busy]
        overall[timed] = on_frontier(found.latency_s[timed], found.quality[timed])
        sure = [i for i in timed if not np.isnan(found.latency_replicates[:, i]).any()]
        if len(sure) > 1:
            probability[sure] = frontier_probability(
                found.latency_replicates[:, sure],
                found.quality_replicates[:, sure],
                table.chance + POINT,
            )
        members = list(group.members)
        energy[members] = on_frontier(joules[members], found.quality[members])
        memory[members] = on_frontier(peaks[members], found.quality[members])
        for curve in group.curves:
            members = list(curve.members)
            own[members] = on_frontier(found.latency_s[members], found.quality[members])
    return _FrontierFlags(
        overall=overall & useful,
        own=own,
        probability=probability,
        energy=energy & useful,
        memory=memory & useful,
    )


def _row(
    table: TaskTable,
    i: int,
    found: Points,
    flags: _FrontierFlags,
    comparison: Comparison | None,
    interval: Interval,
    spent: DeviceCosts,
) -> Row:
    seconds, configuration = table.latencies_s[i], table.configurations[i]
    own = table.requests_of(configuration.quality_cells)
    return Row(
        configuration=configuration,
        num_documents=int((~np.isnan(table.quality[i])).sum()),
        quality=float(found.quality[i]),
        quality_interval=interval,
        above_chance=_above_chance(interval, table),
        noise=noise(own, table.quality[i], table.gold, table.metric, clusters=table.clusters),
        looseness=looseness(own, documents=table.documents, clusters=table.clusters),
        num_timed=len(seconds),
        latency_s=float(found.latency_s[i]),
        latency_interval=percentile_interval(found.latency_replicates[:, i]),
        busy=i in found.busy,
        on_frontier=bool(flags.overall[i]),
        on_own_frontier=bool(flags.own[i]),
        p_frontier=float(flags.probability[i]),
        costs=costs(configuration, table.by_cell, table.unit),
        comparison=comparison,
        peak_memory_bytes=spent.peak_memory_bytes,
        joules=spent.joules,
        on_energy_frontier=bool(flags.energy[i]),
        on_memory_frontier=bool(flags.memory[i]),
        likelihood=kind_of(table, i) if table.scale.of_likelihood else None,
        scale=table.scale,
    )


def _with_dials(
    table: TaskTable,
    group: GroupAnalysis,
    rows: tuple[Row, ...],
    replicates: int,
    generator: np.random.Generator,
) -> GroupAnalysis:
    """The group with what its curves say of their dials: AUP, and what is acceptable."""
    curves = tuple(
        replace(
            curve,
            aup=_aup(rows, curve.members),
            acceptable=_acceptable(table, rows, curve.members, replicates, generator),
        )
        for curve in group.curves
    )
    return replace(group, curves=curves)


def _aup(rows: tuple[Row, ...], members: tuple[int, ...]) -> Aup | None:
    own = [rows[i] for i in members]
    # Canvases of a score are not forwards that produce tokens.
    if any(row.costs.estimator or not row.costs.nfe > 0 for row in own):
        return None
    return aup(
        [row.costs.visible_tokens / row.costs.nfe for row in own],
        [100.0 * row.quality for row in own],
        y_max=100.0 * max(row.quality for row in rows),
    )


def _acceptable(
    table: TaskTable,
    rows: tuple[Row, ...],
    members: tuple[int, ...],
    replicates: int,
    generator: np.random.Generator,
) -> Acceptable | None:
    """Cheap is few forwards; of equally many, fast."""
    cost = np.array([rows[i].costs.nfe for i in members])
    if len(members) < 2 or bool(np.isnan(cost).any()):
        return None
    order = sorted(range(len(members)), key=lambda k: (cost[k], rows[members[k]].latency_s))
    kept = [members[k] for k in order]
    found = acceptable(
        unit_means(table.quality[kept], table.clusters),
        np.arange(len(kept), dtype=np.float64),
        generator=generator,
        replicates=replicates,
    )
    if found is None:
        return None
    row = None if found.row is None else kept[found.row]
    return replace(found, row=row, best=kept[found.best])
