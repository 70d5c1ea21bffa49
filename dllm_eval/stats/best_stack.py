"""Rows of one machine on several stacks: every model on the stack that suits it best.

A stack is the process itself or an engine that the harness started; a server that others use and
an API have hardware that nobody knows and are no part of it. Seconds compare only within one
machine. Pure arrays; called by `analysis.py`, and the report says "best stack" of it.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from dllm_eval.stats.compare import Comparison, best_of, best_tier, compare_pairs
from dllm_eval.stats.frontier import on_frontier
from dllm_eval.stats.group import GroupAnalysis, group_of
from dllm_eval.stats.points import Points
from dllm_eval.stats.tables import TaskTable

BEST_STACK = "best stack of each model"


@dataclass(frozen=True, kw_only=True, eq=False)
class BestStack:
    """One machine with all its stacks together."""

    group: GroupAnalysis
    """Its members are the rows of the machine, on any of its stacks, and its curves are series on
    all of them."""
    frontier: frozenset[int]
    """Members that no other beats, on whatever stack, of those timed on an idle machine."""
    comparisons: Mapping[int, Comparison]
    """Row -> against the best AR row of the machine, on whatever stack."""


def best_stacks(table: TaskTable, found: Points, *, seed: int) -> tuple[BestStack, ...]:
    """One for each machine on which both kinds were timed, and on several stacks.

    Args:
        table: The suite.
        found: Where its rows stand.
        seed: Of resamples of its own, so that other numbers do not depend on it.
    """
    generator = np.random.default_rng(seed)
    x = table.configurations
    own = [i for i in range(len(x)) if x[i].of_this_machine and len(table.latencies_s[i])]
    out = []
    for machine in sorted({x[i].machine for i in own}):
        members = [i for i in own if x[i].machine == machine]
        kinds = {x[i].kind for i in members}
        if len({x[i].stack for i in members}) > 1 and len(kinds) > 1:
            out.append(_best_stack(table, found, members, generator))
    return tuple(out)


def _best_stack(
    table: TaskTable, found: Points, members: Sequence[int], generator: np.random.Generator
) -> BestStack:
    x = table.configurations
    rivals = [i for i in members if x[i].kind == "autoregressive"]
    best = best_of(table, rivals)
    rival = None if best is None else best_tier(table, best, rivals)
    pairs = [(i, rival) for i in members if x[i].kind == "diffusion" and rival is not None]
    idle = [i for i in members if i not in found.busy]
    ahead = on_frontier(found.latency_s[idle], found.quality[idle])
    return BestStack(
        group=group_of(table, members, BEST_STACK, found),
        frontier=frozenset(i for i, on_it in zip(idle, ahead, strict=True) if on_it),
        comparisons=compare_pairs(table, found, pairs, generator=generator, across_stacks=True),
    )
