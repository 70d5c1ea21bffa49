"""One machine, several stacks: each model at its best setting on its best stack, beside AR's best.

Strings from the statistics of `stats/best_stack.py`; computes none. Called by `leaderboard.py` and
the page.
"""

import math
from collections.abc import Sequence

from dllm_eval.report import text, tier_text
from dllm_eval.report.contest import fastest_at
from dllm_eval.report.figure_names import best_stack_name
from dllm_eval.report.suite_table import SuiteTable
from dllm_eval.stats.analysis import TaskAnalysis
from dllm_eval.stats.best_stack import BestStack
from dllm_eval.stats.group import GroupAnalysis
from dllm_eval.stats.row import Row
from dllm_eval.stats.speedup import MatchedSpeedup

HEADER = (
    *("model", "setting", "tier", "stack", "quality", "95 % interval", "p50 latency"),
    *("latency 95 %", "speed-up at matched quality", "the same stack on both sides"),
)
ABOUT = (
    "Best stack: of each model the setting that reaches the matched quality soonest on any stack "
    "of this machine, in process or in an engine that was started here; its best one where none "
    "does. Matched quality is the best AR score of the machine less one point, and the speed-up "
    "divides the seconds of the soonest AR row that reaches it. Beside it stands what the same "
    "stack on both sides gives, each with its own matched quality. No other machine, API or server "
    "that was there already has a part in it."
)


def best_stack_tables(analysis: TaskAnalysis) -> list[SuiteTable]:
    """One for each machine with several stacks."""
    return [_table(analysis, number, found) for number, found in enumerate(analysis.best_stacks)]


def _table(analysis: TaskAnalysis, number: int, found: BestStack) -> SuiteTable:
    machine = found.group.machine
    here = [analysis.rows[i] for i in found.group.members]
    plain = tier_text.only_eager(analysis.rows, machine)
    return SuiteTable(
        name="best_stack",
        title=f"Best stack on {machine}",
        about=ABOUT,
        header=HEADER,
        rows=tuple(_line(analysis, found, row) for row in standing(found.group, here)),
        notes=((plain,) if plain else ()),
        suites=(analysis.table.suite,),
        figure=best_stack_name(analysis, number),
    )


def standing(group: GroupAnalysis, rows: Sequence[Row]) -> list[Row]:
    """The row that stands for each model: diffusion models by name, then the AR models."""
    out = []
    models = {(r.configuration.kind != "diffusion", r.configuration.model) for r in rows}
    floors = [speedup.quality_floor for speedup in group.speedups.values()]
    for _, model in sorted(models):
        own = [row for row in rows if row.configuration.model == model]
        soonest = fastest_at(own, floors[0]) if floors else None
        out.append(soonest or min(own, key=lambda r: (-r.quality, r.latency_s)))
    return out


def _line(analysis: TaskAnalysis, found: BestStack, row: Row) -> tuple[str, ...]:
    x = row.configuration
    setting = " at ".join(part for part in (x.untiered, _dial(row)) if part)
    return (
        x.model,
        setting or text.UNKNOWN_TEXT,
        x.tier or text.UNKNOWN_TEXT,
        x.stack,
        row.scale.text(row.quality),
        row.scale.span(row.quality_interval),
        text.latency(row),
        text.seconds_interval(row.latency_interval),
        _speedup(found.group.speedups.get(x.model)),
        _matched(analysis, found.group.machine, row),
    )


def _dial(row: Row) -> str:
    shown = text.dial(row.configuration)
    return "" if shown == text.UNKNOWN_TEXT else shown


def _matched(analysis: TaskAnalysis, machine: str, row: Row) -> str:
    """The model's speed-ups on single stacks of the machine."""
    model = row.configuration.model
    own = [
        group
        for group in analysis.groups
        if group.machine == machine and model in group.speedups
        if analysis.rows[group.members[0]].configuration.of_this_machine
    ]
    told = [f"{_speedup(group.speedups[model])} on {group.stack}" for group in own]
    return "; ".join(told) or text.UNKNOWN_TEXT


def _speedup(speedup: MatchedSpeedup | None) -> str:
    """The ratio and its interval, with their doubts."""
    if speedup is None:
        return text.UNKNOWN_TEXT
    if not speedup.reached:
        return "not reached"
    low, high = speedup.interval.low, speedup.interval.high
    if math.isnan(low):
        return text.ratio(speedup.ratio)
    below = "may not be reached" if low == 0 else text.ratio(low)
    return f"{text.ratio(speedup.ratio)} ({below} to {text.ratio(high)})"
