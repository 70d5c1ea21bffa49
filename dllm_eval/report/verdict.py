"""One plain sentence or two per suite, written from the statistics, whichever way they point.

Strings only; called by `payload.py` and `leaderboard.py`.
"""

import math

from dllm_eval.report import text
from dllm_eval.report.advantage import batch_sentences, length_sentences
from dllm_eval.stats.analysis import TaskAnalysis
from dllm_eval.stats.group import GroupAnalysis
from dllm_eval.stats.row import Row
from dllm_eval.stats.speedup import MatchedSpeedup


def verdict(analysis: TaskAnalysis) -> str:
    """What a reader should take away from one suite, group by group."""
    sentences = [s for group in analysis.groups for s in _group_sentences(analysis, group)]
    ends = [*batch_sentences(analysis), *length_sentences(analysis)]
    return " ".join([*sentences, *_knees(analysis), *ends, *_told_the_length(analysis)])


def _knees(analysis: TaskAnalysis) -> list[str]:
    """The cheapest setting of each diffusion series that is surely near its best, where known."""
    out = []
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
            out.append(
                f"No setting of {curve.series} that is cheaper than the dearest run, {setting}, "
                f"surely comes {within} of its best {sure}."
            )
        else:
            out.append(
                f"The cheapest setting of {curve.series} that is surely {within} of its best "
                f"{sure} is {setting}."
            )
    return out


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
    return (
        f"Seconds were measured on {len(names)} different machine and stack pairs "
        f"({'; '.join(names)}): they are ranked within each, never across."
    )


def _group_sentences(analysis: TaskAnalysis, group: GroupAnalysis) -> list[str]:
    rows = [analysis.rows[i] for i in group.members]
    where = f"On {group.place}: " if len(analysis.groups) > 1 else ""
    rival = _best([r for r in rows if r.configuration.kind == "autoregressive"])
    models = sorted({r.configuration.model for r in rows if r.configuration.kind == "diffusion"})
    sentences = []
    for model in models:
        own = _best([r for r in rows if r.configuration.model == model])
        if own is None:
            continue
        first = where + _first(analysis, own, rival, text.unit(analysis))
        second = _second(analysis, model, rows, rival, group.speedups.get(model))
        sentences.append(f"{first} {second}".rstrip())
    if not models and rival is not None:
        sentences.append(f"{where}{_reach(rival, text.unit(analysis))}.")
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
    higher = "lower" if rival.quality < own.quality else "higher"
    how = "the same" if rival.quality == own.quality else higher
    guess = "" if rival.above_chance else ", not clearly above chance"
    score = f"{text.percent(rival.quality)}{guess}"
    return f"{rival.configuration.series} scores {how} ({score}); speed was not compared"


def _second(
    analysis: TaskAnalysis,
    model: str,
    rows: list[Row],
    rival: Row | None,
    speedup: MatchedSpeedup | None,
) -> str:
    if rival is None:
        return ""
    rivals = [r for r in rows if r.configuration.kind == "autoregressive"]
    own = [r for r in rows if r.configuration.model == model]
    if any(r.busy for r in rivals) or _all_busy(own):
        return "No matched-quality speed-up: the machine was busy; time again on an idle one."
    if speedup is None:
        return "No matched-quality speed-up: the two were not timed side by side."
    if not rival.above_chance:
        return "The latter is not clearly above chance: there is no quality to match."
    tail = " Settings timed on a busy machine are left out." if any(r.busy for r in own) else ""
    return _matched(model, speedup, _how(own, speedup), text.unit(analysis)) + tail


def _how(own: list[Row], speedup: MatchedSpeedup) -> str:
    """Which of a model's several series reaches the quality first, and at which setting."""
    # The same tolerance as the speed-up's own.
    enough = [r for r in own if not r.busy and r.quality >= speedup.quality_floor - 1e-9]
    timed = [r for r in enough if not math.isnan(r.latency_s)]
    if not timed or len({r.configuration.series for r in own}) == 1:
        return ""
    first = min(timed, key=lambda r: r.latency_s).configuration
    return f", with {text.setting(first)},"


def _all_busy(rows: list[Row]) -> bool:
    timed = [row for row in rows if not math.isnan(row.latency_s)]
    return bool(timed) and all(row.busy for row in timed)


def _reach(row: Row, unit: str, *, at: str = "") -> str:
    time = "" if math.isnan(row.latency_s) else f" in {text.seconds(row.latency_s)} per {unit}"
    held_up = " (on a busy machine)" if row.busy else ""
    series = row.configuration.series
    guess = "" if row.above_chance else " (not clearly above chance)"
    return f"{series} reaches {text.percent(row.quality)}{guess}{at}{time}{held_up}"


def _matched(model: str, speedup: MatchedSpeedup, how: str, unit: str) -> str:
    floor = text.percent(speedup.quality_floor)
    if not speedup.reached:
        return f"Matched quality ({floor}, the AR score less one point) is not reached by {model}."
    low, high = speedup.interval.low, speedup.interval.high
    if math.isnan(low):
        return f"The speed-up at matched quality ({floor}) is not known: one {unit} was timed."
    span = f"95 % interval {text.ratio(low)} to {text.ratio(high)}"
    if low == 0:
        share = text.percent(1 - speedup.reached_share, digits=0)
        span = f"interval open: {share} of resamples do not reach it; upper end {text.ratio(high)}"
    faster, factor = "diffusion", speedup.ratio
    if factor < 1:
        faster, factor = "the autoregressive model", 1 / factor
        if low > 0:
            span = f"95 % interval {text.ratio(1 / high)} to {text.ratio(1 / low)}"
        else:
            span = span.split("; upper")[0]
    clear = low > 1 or (0 < high < 1)
    tail = "" if clear else ", so the two are not separable in speed"
    times = text.ratio(factor)
    return f"At matched quality ({floor}){how} {faster} is {times} faster ({span}){tail}."


def _best(rows: list[Row]) -> Row | None:
    """The highest quality; of equals the fastest, untimed last, and of these the cheapest."""

    def rank(row: Row) -> tuple[float, float, float]:
        seconds = math.inf if math.isnan(row.latency_s) else row.latency_s
        forwards = math.inf if math.isnan(row.costs.nfe) else row.costs.nfe
        return -row.quality, seconds, forwards

    return min(rows, key=rank, default=None)
