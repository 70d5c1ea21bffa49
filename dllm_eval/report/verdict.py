"""One plain sentence or two per suite, written from the statistics, whichever way they point.

Strings only; called by `payload.py` and `leaderboard.py`.
"""

import math

from dllm_eval.report import text, tier_text
from dllm_eval.report.advantage import batch_sentences, length_sentences
from dllm_eval.report.contest import fastest_at, rival_of
from dllm_eval.stats.analysis import TaskAnalysis
from dllm_eval.stats.best_stack import BEST_STACK
from dllm_eval.stats.group import GroupAnalysis
from dllm_eval.stats.row import Row
from dllm_eval.stats.scale import Scale
from dllm_eval.stats.speedup import MatchedSpeedup


def verdict(analysis: TaskAnalysis) -> str:
    """What a reader should take away from one suite, group by group.

    Of a machine with several stacks, each model on its best one first: that is the headline, and
    the same stack on both sides stands behind it.
    """
    sentences = [
        sentence
        for found in analysis.best_stacks
        for sentence in _group_sentences(analysis.on_best_stack(found), found.group, where=_BEST)
    ]
    for group in analysis.groups:
        sentences += _group_sentences(analysis, group, where=_where(analysis, group))
    ends = [*batch_sentences(analysis), *length_sentences(analysis)]
    return " ".join([*sentences, *_knees(analysis), *ends, *_told_the_length(analysis)])


_BEST = "On {machine}, each model on its best stack: "


def _where(analysis: TaskAnalysis, group: GroupAnalysis) -> str:
    """What a group's sentences begin with; {place} is its machine and stack."""
    if len(analysis.groups) == 1:
        return ""
    several = any(found.group.machine == group.machine for found in analysis.best_stacks)
    members = [analysis.rows[i].configuration for i in group.members]
    several = several and members[0].of_this_machine and len({x.kind for x in members}) > 1
    return "On {place}, the same stack for both: " if several else "On {place}: "


def _knees(analysis: TaskAnalysis) -> list[str]:
    """The cheapest setting of each diffusion series that is surely near its best, where known.

    Series of which nothing cheaper is sure are said in one sentence, however many they are.
    """
    out: list[str] = []
    dearest: dict[str, list[tuple[str, str]]] = {}
    for curve in (curve for group in analysis.groups for curve in group.curves):
        found = curve.acceptable
        if curve.kind != "diffusion" or found is None or found.row is None:
            continue
        row = analysis.rows[found.row]
        setting = text.dial(row.configuration)
        if not row.above_chance or setting == text.UNKNOWN_TEXT or len(curve.members) < 2:
            continue
        within = f"within {text.points(found.within)} point{'' if found.within == 0.01 else 's'}"
        sure = f"({found.confidence:.0%} confidence)"
        if row.costs.nfe >= max(analysis.rows[i].costs.nfe for i in curve.members):
            named = dearest.setdefault(f"surely comes {within} of its best {sure}", [])
            named.append((curve.series, setting))
        else:
            out.append(
                f"The cheapest setting of {curve.series} that is surely {within} of its best "
                f"{sure} is {setting}."
            )
    return out + [_none_cheaper(names, told) for told, names in dearest.items()]


def _none_cheaper(names: list[tuple[str, str]], told: str) -> str:
    """Of series that need their dearest setting: (series, setting) each."""
    kinds = list(dict.fromkeys(names))
    if len(kinds) == 1:
        series, setting = kinds[0]
        return f"No setting of {series} that is cheaper than the dearest run, {setting}, {told}."
    each = " or ".join(f"{series} ({setting})" for series, setting in kinds)
    return f"No setting of {each} that is cheaper than the dearest run, in parentheses, {told}."


def _told_the_length(analysis: TaskAnalysis) -> list[str]:
    diffusion = [row for row in analysis.rows if row.configuration.kind == "diffusion"]
    told = {r.configuration.model for r in diffusion if "oracle length" in r.costs.request}
    if not told:
        return []
    if told == {row.configuration.model for row in diffusion}:
        return [
            "The diffusion model is told the length of the reference answer; an autoregressive "
            "model is not."
        ]
    names = " and ".join(sorted(told))
    return [f"Told the length of the reference answer: {names}; no other model is."]


def refusal(analysis: TaskAnalysis) -> str:
    """Why seconds are not ranked across the whole suite; "" where they are."""
    names = [
        group.place
        for group in analysis.groups
        if any(not math.isnan(analysis.rows[i].latency_s) for i in group.members)
    ]
    if len(names) < 2:
        return ""
    told = [
        f"Seconds were measured on {len(names)} different machine and stack pairs "
        f"({'; '.join(names)}): they are ranked within each, never across.",
        *((BESIDE_EACH_OTHER,) if analysis.best_stacks else ()),
    ]
    if any(row.configuration.placement.remote for row in analysis.rows):
        told.append(tier_text.OVER_A_NETWORK)
    return " ".join(told)


BESIDE_EACH_OTHER = "The best stack of each model alone sets stacks of one machine side by side."


def _group_sentences(analysis: TaskAnalysis, group: GroupAnalysis, *, where: str) -> list[str]:
    rows = [analysis.rows[i] for i in group.members]
    where = where.format(machine=group.machine, place=group.place)
    rivals = [r for r in rows if r.configuration.kind == "autoregressive"]
    best = _best(rivals)
    models = sorted({r.configuration.model for r in rows if r.configuration.kind == "diffusion"})
    sentences = []
    for model in models:
        own = _best([r for r in rows if r.configuration.model == model])
        if own is None:
            continue
        rival = rival_of(analysis, own, rivals) if rivals else None
        first = where + _first(analysis, own, rival, text.unit(analysis))
        second = _second(analysis, model, group, rival)
        sentences.append(f"{first} {second}".rstrip())
    if not models and best is not None:
        sentences.append(f"{where}{_reach(best, text.unit(analysis))}.")
    return sentences


def _first(analysis: TaskAnalysis, own: Row, rival: Row | None, unit: str) -> str:
    setting = text.dial(own.configuration)
    at = "" if setting == text.UNKNOWN_TEXT else f" at {setting}"
    first = _reach(own, unit, at=at)
    if rival is not None:
        return f"{first}; {_reach(rival, unit)}."
    if own.comparison is None:
        return f"{first}; no autoregressive model was run beside it."
    return f"{first}; {_elsewhere(own, analysis.rows[own.comparison.rival])}."


def _elsewhere(own: Row, rival: Row) -> str:
    """What is known of an AR row that was not timed where this one was."""
    words = ("worse", "better") if own.scale.lower_is_better else ("lower", "higher")
    higher = words[rival.quality > own.quality]
    how = "the same" if rival.quality == own.quality else higher
    guess = "" if rival.above_chance else ", not clearly above chance"
    score = f"{rival.scale.text(rival.quality)}{guess}"
    return f"{_called(rival)} scores {how} ({score}); speed was not compared"


def _second(analysis: TaskAnalysis, model: str, group: GroupAnalysis, rival: Row | None) -> str:
    if rival is None:
        return ""
    rows, speedup = [analysis.rows[i] for i in group.members], group.speedups.get(model)
    rivals = [r for r in rows if r.configuration.kind == "autoregressive"]
    own = [r for r in rows if r.configuration.model == model]
    if any(r.busy for r in rivals) or _all_busy(own):
        return "No matched-quality speed-up: the machine was busy; time again on an idle one."
    if speedup is None:
        return "No matched-quality speed-up: the two were not timed side by side."
    if not rival.above_chance:
        return "The latter is not clearly above chance: there is no quality to match."
    tail = " Settings timed on a busy machine are left out." if any(r.busy for r in own) else ""
    across = group.stack == BEST_STACK
    how = _how(own, speedup, stack=across)
    beside = tier_text.against(fastest_at(rivals, speedup.quality_floor), stack=across)
    scale = analysis.table.scale
    matched = _matched(scale, model, speedup, how, text.unit(analysis), beside)
    plain = tier_text.only_eager(analysis.rows, group.machine) if speedup.reached else ""
    return " ".join(part for part in (matched, plain) if part) + tail


def _how(own: list[Row], speedup: MatchedSpeedup, *, stack: bool) -> str:
    """Which of a model's several series reaches the quality first, at which setting, on what."""
    # The same tolerance as the speed-up's own.
    enough = [r for r in own if not r.busy and r.quality >= speedup.quality_floor - 1e-9]
    timed = [r for r in enough if not math.isnan(r.latency_s)]
    if not timed:
        return ""
    first = min(timed, key=lambda r: r.latency_s).configuration
    if stack:
        setting = text.setting(first)
        return f", with {setting} on {first.stack}," if setting else f", on {first.stack},"
    if len({r.configuration.series for r in own}) == 1:
        return ""
    return f", with {text.setting(first)},"


def _all_busy(rows: list[Row]) -> bool:
    timed = [row for row in rows if not math.isnan(row.latency_s)]
    return bool(timed) and all(row.busy for row in timed)


def _reach(row: Row, unit: str, *, at: str = "") -> str:
    time = "" if math.isnan(row.latency_s) else f" in {text.seconds(row.latency_s)} per {unit}"
    held_up = " (on a busy machine)" if row.busy and time else ""
    series = _called(row)
    guess = "" if row.above_chance else " (not clearly above chance)"
    return f"{series} reaches {text.quality(row)}{guess}{at}{time}{held_up}"


def _called(row: Row) -> str:
    """A series; of AR with its tier."""
    x = row.configuration
    return tier_text.named(x) if x.kind == "autoregressive" else x.series


def _matched(
    scale: Scale, model: str, speedup: MatchedSpeedup, how: str, unit: str, beside: str
) -> str:
    floor = scale.text(speedup.quality_floor)
    if not speedup.reached:
        return f"Matched quality ({floor}, the AR score less one point) is not reached by {model}."
    low, high = speedup.interval.low, speedup.interval.high
    if math.isnan(low):
        return (
            f"The speed-up at matched quality ({floor}) is not known: one {unit} was timed, or two "
            "rounds were."
        )
    span = f"95 % interval {text.ratio(low)} to {text.ratio(high)}"
    if low == 0:
        share = text.percent(1 - speedup.reached_share, digits=0)
        span = f"interval open: {share} of resamples do not reach it; upper end {text.ratio(high)}"
    faster, factor = "diffusion", speedup.ratio
    if factor < 1:
        faster, factor = "the autoregressive model", 1 / factor
        beside = beside.replace(", against the fastest", ", by the fastest", 1)
        if low > 0:
            span = f"95 % interval {text.ratio(1 / high)} to {text.ratio(1 / low)}"
        else:
            span = span.split("; upper")[0]
    clear = low > 1 or (0 < high < 1)
    tail = "" if clear else ", so the two are not separable in speed"
    times = text.ratio(factor)
    return f"At matched quality ({floor}){how} {faster} is {times} faster ({span}){beside}{tail}."


def _best(rows: list[Row]) -> Row | None:
    """The highest quality; of equals the fastest, untimed last, and of these the cheapest."""

    def rank(row: Row) -> tuple[float, float, float]:
        seconds = math.inf if math.isnan(row.latency_s) else row.latency_s
        forwards = math.inf if math.isnan(row.costs.nfe) else row.costs.nfe
        return -row.quality, seconds, forwards

    return min(rows, key=rank, default=None)
