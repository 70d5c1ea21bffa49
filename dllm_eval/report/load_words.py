"""Which is ahead under load, diffusion or AR, in words.

Strings only, from the crossovers of `stats/load_crossover.py`. Called by the table and the figure
of loads.
"""

from collections.abc import Sequence

from dllm_eval.report import text
from dllm_eval.stats.load import LoadCurve
from dllm_eval.stats.load_crossover import Axis, Lead, LoadCrossover, LoadLevel, SuiteLoads

NO_MATCH = "No diffusion setting that was run under load matches the AR quality"
NO_AR = "No AR model was run under load beside it"
BUSY = "The machine was busy when these settings were timed: nothing is claimed"
NO_LEVEL = "Diffusion and AR were run at no load in common"
ELSEWHERE = "What a server not started here runs on is not known: nothing is compared"


def sentences(loads: SuiteLoads, machine: str, axis: Axis) -> list[str]:
    """One per diffusion model of a machine, or why there is none; [] where one kind ran alone."""
    own = [x for x in loads.crossovers if x.curve.machine == machine and x.axis == axis]
    told = [_sentence(loads, x) for x in own if x.first]
    return told or _silence(loads, machine)


def name(loads: SuiteLoads, curve: LoadCurve) -> str:
    """A setting with its dial: "reference-diffusion at 8 steps"."""
    x = loads.analysis.rows[curve.row].configuration
    at = text.dial(x)
    return x.series if at == text.UNKNOWN_TEXT else f"{x.series} at {at}"


def rival(loads: SuiteLoads, curve: LoadCurve) -> str:
    """An AR row by its tier, else by its series."""
    return curve.tier or loads.analysis.rows[curve.row].configuration.series


def levels(values: Sequence[float]) -> str:
    """Numbers in a row: "1, 2 and 4"."""
    said = [f"{value:g}" for value in values]
    return said[0] if len(said) == 1 else f"{', '.join(said[:-1])} and {said[-1]}"


def lead(level: LoadLevel | None, rival_name: str) -> str:
    """What a row of the table says of AR."""
    if level is None:
        return text.UNKNOWN_TEXT
    words = {"ahead": "ahead of", "behind": "behind", "open": "not separable from"}
    return f"{words[level.lead]} {rival_name}"


def _silence(loads: SuiteLoads, machine: str) -> list[str]:
    here = [x for x in loads.curves if x.machine == machine]
    kinds = {loads.analysis.rows[x.row].configuration.kind for x in here}
    if any(not x.placement.started_here for x in here):
        return [f"{ELSEWHERE}."]
    if any(loads.analysis.rows[x.row].busy for x in here):
        return [f"{BUSY}."]
    if kinds == {"diffusion"}:
        return [f"{NO_AR}."]
    if len(kinds) == 1:
        return []
    any_axis = any(x.curve.machine == machine for x in loads.crossovers)
    return [f"{NO_LEVEL if any_axis else NO_MATCH}."]


def _sentence(loads: SuiteLoads, found: LoadCrossover) -> str:
    closed = found.axis == "in_flight"
    unit = "in flight" if closed else "requests per second"
    more = "makes more visible tokens per second than AR" if closed else "answers sooner (p90)"
    parts = []
    ahead, behind = _at(found, "ahead"), _at(found, "behind")
    if ahead:
        than = "" if closed else " than AR"
        parts.append(f"{more}{than} {_with(closed)} {levels(ahead)} {unit}")
    if behind:
        start = found.behind_from
        where = f"{_with(closed)} {levels(behind)} {unit}"
        if start is not None and behind[0] == start:
            where = f"from {start:g} {unit} on"
            if len(found.levels) == len(behind):
                where = f"at every load measured ({levels(behind)} {unit})"
        parts.append(f"AR ({_rivals(loads, found)}) is ahead {where}")
    undecided = _at(found, "open")
    if undecided:
        parts.append(f"not separable from AR {_with(closed)} {levels(undecided)} {unit}")
    return f"{name(loads, found.curve)}: {'; '.join(parts)}."


def _with(closed: bool) -> str:
    return "with" if closed else "at"


def _rivals(loads: SuiteLoads, found: LoadCrossover) -> str:
    names = [rival(loads, x.rival_curve) for x in found.levels if x.lead == "behind"]
    return " or ".join(dict.fromkeys(names))


def _at(found: LoadCrossover, wanted: Lead) -> list[float]:
    return [x.at for x in found.levels if x.lead == wanted]
