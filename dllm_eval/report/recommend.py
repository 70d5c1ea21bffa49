"""What to deploy under a budget, said to a person in a few lines and to a program as plain data.

Strings and numbers only: `advice.py` found the answer, `dllm-eval recommend` prints it.
"""

import math
from typing import Any

from dllm_eval.report import text
from dllm_eval.report.advice import Answer
from dllm_eval.stats.budget import FEWEST, Floor
from dllm_eval.stats.recommendation import Pick
from dllm_eval.stats.resample import Interval
from dllm_eval.stats.servers import ANSWERS


def lines(found: Answer) -> list[str]:
    """The answer for a person, at most twelve lines."""
    pick = found.found.pick
    if pick is None:
        return [_question(found), *_nothing(found), *_left_out(found)]
    return [
        _question(found),
        f"Deploy {_setting(found, pick.row)}: {_measured(found, pick)}.",
        *_honest(found, pick),
        _sure(found, pick),
        *_instead(found),
        _costs(found, pick),
        *_runner_up(found),
        *_left_out(found),
        *(("Confirm it with:", found.command) if found.command else ()),
    ]


def _question(found: Answer) -> str:
    budget, unit = found.asked.budget, found.analysis.table.unit
    parts = []
    if budget.latency_s is not None:
        limit = text.tick(budget.latency_s)
        parts.append(f"p{budget.percentile} latency of at most {limit} per {unit}")
    if budget.floor is not None:
        less = f"{100 * budget.floor.share:g} points"
        below = f" (the best autoregressive setting less {less})"
        relative = budget.floor.below_autoregressive
        parts.append(f"{_floor(found, budget.floor)}{below if relative else ''}")
    suite = found.analysis.table.suite
    where = found.analysis.rows[found.considered_row].configuration.placement
    ran = f" ({where.words})" if where.served else ""
    return f"Asked of {suite}: {' and '.join(parts)}, on {found.place}{ran}."


def _floor(found: Answer, floor: Floor) -> str:
    """The floor as a reader reads scores; of nothing considered, as far as it was said."""
    table, quality = found.analysis.table, found.found.floor
    if math.isnan(quality) and floor.below_autoregressive:
        return "quality of at least the floor"
    shown = table.scale.text(floor.share if math.isnan(quality) else quality)
    if table.scale.lower_is_better:
        return f"{table.metric} of at most {shown}"
    return f"quality of at least {shown}"


def _setting(found: Answer, i: int) -> str:
    configuration = found.analysis.rows[i].configuration
    shown = text.setting(configuration)
    named = shown or configuration.tier
    return f"{configuration.model} with {named}" if named else configuration.model


def _measured(found: Answer, pick: Pick) -> str:
    row, percentile = found.analysis.rows[pick.row], found.asked.budget.percentile
    interval = row.scale.span(row.quality_interval)
    spread = f" ({text.seconds_interval(row.latency_interval)})" if percentile == 50 else ""
    return (
        f"{row.scale.text(pick.quality)} (95 % interval {interval}), "
        f"p{percentile} {text.seconds(pick.seconds)}{spread}"
    )


def _honest(found: Answer, pick: Pick) -> list[str]:
    if math.isnan(pick.held_out_quality):
        return []
    held_out = found.analysis.rows[pick.row].scale.text(pick.held_out_quality)
    return [
        f"Documents that had no part in the choice give {held_out}: "
        f"{_share(pick.same_choice)} of random halves choose this setting."
    ]


def _sure(found: Answer, pick: Pick) -> str:
    than = "better by more than a point" if found.asked.budget.latency_s is not None else "faster"
    meets = f"{_likely(found, pick)}; " if _likely(found, pick) else ""
    if found.all_busy:
        return f"Confidence: {meets}{_BUSY}{_own_floor(found, pick)}"
    if math.isnan(pick.p_best):
        return f"Confidence: {meets}{_TWO_ROUNDS}{_own_floor(found, pick)}"
    return (
        f"Confidence: {meets}{_share(pick.p_best)} that it {_met(found)} and no other setting that "
        f"does is {than}.{_own_floor(found, pick)}"
    )


_TWO_ROUNDS = (
    "what depends on seconds is not known, as two rounds of timing are too few to tell; time three."
)


_AGAIN = "time them again on an idle one, with dllm-eval sweep SPEC --retime"
_BUSY = f"that it is the fastest is not claimed, as all seconds are of a busy machine; {_AGAIN}."


def _met(found: Answer) -> str:
    """What a setting that qualifies does."""
    return "reaches the floor" if found.asked.budget.latency_s is None else "meets the budget"


def _likely(found: Answer, pick: Pick) -> str:
    """How sure it is to qualify; "" where that is not known or only its own score was asked."""
    if math.isnan(pick.p_meets):
        return ""
    if _own_floor(found, pick) and found.asked.budget.latency_s is None:
        return ""
    return f"{_share(pick.p_meets)} that it {_met(found)}"


def _own_floor(found: Answer, pick: Pick) -> str:
    """Says so where the floor was measured from the very setting; "" elsewhere."""
    floor = found.asked.budget.floor
    if floor is None or not floor.below_autoregressive or pick.row != found.rival:
        return ""
    points = f"{100 * floor.share:g} points"
    return f" The floor is its own score less {points}, which it reaches by definition."


def _share(value: float) -> str:
    if 0.995 <= value < 1:
        return "more than 99 %"
    return "less than 1 %" if 0 < value < 0.005 else text.percent(value, digits=0)


def _instead(found: Answer) -> list[str]:
    other = found.found.instead_of
    if other is None:
        return []
    row = found.analysis.rows[other]
    quality = row.scale.text(row.quality)
    # Where a server reports neither positions nor forwards, dollars decided, else seconds.
    known = not math.isnan(row.costs.positions + row.costs.nfe) or not _served(found)
    pick = found.found.pick
    known = known or (pick is not None and found.usd(pick.row) < found.usd(other))
    return [
        f"Preferred to {_setting(found, other)} ({quality}): not separable in quality, within a "
        f"point, and {'cheaper' if known else 'faster'}."
    ]


def _served(found: Answer) -> bool:
    return found.analysis.rows[found.considered_row].configuration.placement.served


def _costs(found: Answer, pick: Pick) -> str:
    costs = found.analysis.rows[pick.row].costs
    # Scored tokens are given and not written: their speed is no speed of an answer.
    speed = math.nan if found.analysis.likelihood else costs.visible_tokens_per_s
    row = found.analysis.rows[pick.row]
    usd = found.usd(pick.row)
    paid = [] if math.isnan(usd) else [f"${text.significant(usd)} per {ANSWERS} answers"]
    told = [] if math.isnan(speed) else [f"{text.significant(speed)} visible tokens per second"]
    if _served(found) and math.isnan(costs.nfe) and math.isnan(costs.positions):
        known = (
            f"Cost: {paid[0]}"
            if paid
            else f"Cost per {costs.unit}: {text.NOT_REPORTED} by the server"
        )
        return f"{'; '.join([known, *told])}."
    parts = [
        f"{text.counted(row, costs.nfe)} {text.work(found.analysis)}",
        f"{text.counted(row, costs.positions)} token positions",
        *told,
        *paid,
    ]
    return f"Cost per {costs.unit}: {', '.join(parts)}."


def _runner_up(found: Answer) -> list[str]:
    second = found.found.runner_up
    if second is None:
        return [f"Runner-up: none, nothing else {_met(found)}."]
    likely = f"; {_likely(found, second)}" if _likely(found, second) else ""
    own = _own_floor(found, second)
    named = _setting(found, second.row)
    return [f"Runner-up: {named}: {_measured(found, second)}{likely}.{own}"]


def _left_out(found: Answer) -> list[str]:
    parts = []
    if found.busy and found.found.considered:
        parts.append(f"{_settings(found.busy)} timed while the machine was busy")
    if found.untimed:
        least = FEWEST[found.asked.budget.percentile]
        parts.append(f"{_settings(found.untimed)} timed on fewer than {least} {_units(found)}")
    if found.unfinished:
        parts.append(f"{_settings(found.unfinished)} not finished (run the sweep again)")
    return [f"Left out: {'; '.join(parts)}."] if parts else []


def _settings(count: int) -> str:
    return "1 setting" if count == 1 else f"{count} settings"


def _units(found: Answer) -> str:
    return f"{found.analysis.table.unit}s"


def _nothing(found: Answer) -> list[str]:
    if found.all_busy and not found.found.considered:
        return [
            f"Nothing qualifies: whatever was timed ({_settings(found.busy)}) ran while the "
            f"machine was busy, and nothing is claimed of such seconds; {_AGAIN}."
        ]
    said = [f"Nothing qualifies among {_settings(found.found.considered)}."]
    return said + [f"Nearest: {_missed(found, i)}." for i in found.found.nearest]


def _missed(found: Answer, i: int) -> str:
    row, budget = found.analysis.rows[i], found.asked.budget
    seconds = found.seconds(i)
    misses = []
    if budget.latency_s is not None and seconds > budget.latency_s:
        misses.append(f"{text.seconds(seconds - budget.latency_s)} too slow")
    if budget.floor is not None and row.quality < found.found.floor:
        misses.append(f"{text.points(found.found.floor - row.quality)} points too low")
    measured = f"{row.scale.text(row.quality)}, p{budget.percentile} {text.seconds(seconds)}"
    return f"{_setting(found, i)}: {measured}, {' and '.join(misses)}"


def as_data(found: Answer) -> dict[str, Any]:
    """The answer as plain data; what is unknown is None."""
    budget, result = found.asked.budget, found.found
    return {
        "suite": found.analysis.table.suite,
        "task": found.analysis.table.task,
        "metric": found.analysis.table.metric,
        "place": found.place,
        "placement": found.analysis.rows[found.considered_row].configuration.placement.kind,
        "latency_s": budget.latency_s,
        "percentile": budget.percentile,
        "quality_floor": _known(result.floor),
        "considered": result.considered,
        "left_out_busy": found.busy,
        "seconds_of_a_busy_machine": found.all_busy,
        "left_out_untimed": found.untimed,
        "left_out_unfinished": found.unfinished,
        "pick": None if result.pick is None else _data(found, result.pick),
        "instead_of": None if result.instead_of is None else _identity(found, result.instead_of),
        "runner_up": None if result.runner_up is None else _data(found, result.runner_up),
        "nearest": [{**_identity(found, i), "seconds": found.seconds(i)} for i in result.nearest],
        "command": found.command or None,
    }


def _identity(found: Answer, i: int) -> dict[str, Any]:
    row = found.analysis.rows[i]
    x = row.configuration
    return {
        "config_id": x.config_id,
        "model": x.model,
        "kind": x.kind,
        "settings": x.settings,
        "tier": x.tier or None,
        "quality": _known(row.quality),
        "p50_s": _known(row.latency_s),
    }


def _data(found: Answer, pick: Pick) -> dict[str, Any]:
    row = found.analysis.rows[pick.row]
    return {
        **_identity(found, pick.row),
        "quality_interval": [_known(x) for x in _ends(row.quality_interval)],
        "held_out_quality": _known(pick.held_out_quality),
        "same_choice": _known(pick.same_choice),
        "seconds": pick.seconds,
        "p50_interval_s": [_known(x) for x in _ends(row.latency_interval)],
        "p_meets": _known(pick.p_meets),
        "p_best": _known(pick.p_best),
        "nfe": _known(row.costs.nfe),
        "positions": _known(row.costs.positions),
        "visible_tokens_per_s": _known(row.costs.visible_tokens_per_s),
        "usd_per_1000_answers": _known(found.usd(pick.row)),
    }


def _ends(interval: Interval) -> tuple[float, float]:
    return interval.low, interval.high


def _known(value: float) -> float | None:
    return float(value) if math.isfinite(value) else None
