"""Where the diffusion advantage ends, by batch size and by answer length, in words.

Strings only, from the crossovers of `stats/`; called by `verdict.py` and the figures.
"""

from collections.abc import Sequence

from dllm_eval.report import text
from dllm_eval.stats.analysis import TaskAnalysis
from dllm_eval.stats.crossover import Crossover

NO_MATCH = "no diffusion setting matches the AR quality"
BUSY = "timed on a busy machine: nothing is claimed"


def batch_sentences(analysis: TaskAnalysis) -> list[str]:
    """One sentence per diffusion model that matches the AR quality and was timed in batches."""
    return [
        f"Batches: {_name(analysis, x)} {_batches(x)}{_beside(analysis, x)}."
        for x in analysis.batch_crossovers
    ]


def length_sentences(analysis: TaskAnalysis) -> list[str]:
    """The same of answer lengths, one request at a time."""
    return [
        f"Answer length: {_name(analysis, x)} {_lengths(x)}{_beside(analysis, x)}."
        for x in analysis.length_crossovers
    ]


def batch_note(analysis: TaskAnalysis, group: str) -> str:
    """What stands above a panel of the batch figure."""
    own = _of(analysis, analysis.batch_crossovers, group)
    return "; ".join(
        f"{_name(analysis, x)} {_batches(x)}{_beside(analysis, x)}" for x in own
    ) or _silence(analysis, group)


def length_note(analysis: TaskAnalysis, group: str) -> str:
    """What stands above a panel of the length figure."""
    own = _of(analysis, analysis.length_crossovers, group)
    return "; ".join(
        f"{_name(analysis, x)} {_lengths(x)}{_beside(analysis, x)}" for x in own
    ) or _silence(analysis, group)


def _silence(analysis: TaskAnalysis, group: str) -> str:
    """Why nothing is said."""
    here = [row for row in analysis.rows if row.configuration.group == group]
    return BUSY if any(row.busy for row in here) else NO_MATCH


def _of(analysis: TaskAnalysis, found: Sequence[Crossover], group: str) -> list[Crossover]:
    return [x for x in found if analysis.rows[x.row].configuration.group == group]


def _name(analysis: TaskAnalysis, found: Crossover) -> str:
    x = analysis.rows[found.row].configuration
    at = text.dial(x)
    return x.series if at == text.UNKNOWN_TEXT else f"{x.series} at {at}"


def _beside(analysis: TaskAnalysis, found: Crossover) -> str:
    """Which AR tiers stood against it, the best at each place; "" where none is known."""
    rows = [analysis.rows[i].configuration for i in dict.fromkeys(found.rivals)]
    told = [x.tier for x in rows if x.tier]
    if not told:
        return ""
    many = "the best AR row at each place: " if len(told) > 1 else "AR row: "
    return f" ({many}{'; '.join(told)})"


def _batches(found: Crossover) -> str:
    sizes = [f"{at:.0f}" for at in found.at]
    more = "makes more visible tokens per second than AR"
    if all(found.ahead):
        return f"{more} at every batch size measured ({_span(sizes)}){_doubt(found)}"
    if not any(found.ahead):
        less = more.replace("more", "fewer", 1)
        return f"{less} at every batch size measured ({_span(sizes)}){_doubt(found)}"
    end = _first_change(found)
    if end is None:
        ahead = [size for size, yes in zip(sizes, found.ahead, strict=True) if yes]
        return f"{more} at batch sizes {', '.join(ahead)} only, of {', '.join(sizes)}"
    if found.ahead[0]:
        return f"{more} up to batch size {sizes[end - 1]}; from {sizes[end]} on AR is ahead" + (
            _doubt_at(found, end)
        )
    return f"{more} from batch size {sizes[end]} on{_doubt_at(found, end)}"


def _lengths(found: Crossover) -> str:
    tokens = [f"{at:.0f}" for at in found.at]
    if all(found.ahead):
        return f"is sooner at every length measured ({_span(tokens)} tokens){_doubt(found)}"
    if not any(found.ahead):
        return f"is later at every length measured ({_span(tokens)} tokens){_doubt(found)}"
    end = _first_change(found)
    if end is None:
        ahead = [size for size, yes in zip(tokens, found.ahead, strict=True) if yes]
        return f"is sooner at about {', '.join(ahead)} tokens only, of {', '.join(tokens)}"
    if found.ahead[0]:
        return f"is sooner up to about {tokens[end - 1]} visible tokens, later from " + (
            f"{tokens[end]} on{_doubt_at(found, end)}"
        )
    return f"is sooner from about {tokens[end]} visible tokens on{_doubt_at(found, end)}"


def _span(values: Sequence[str]) -> str:
    return values[0] if values[0] == values[-1] else f"{values[0]} to {values[-1]}"


def _first_change(found: Crossover) -> int | None:
    """The one place at which the lead changes; None where it changes more than once."""
    changes = [i for i in range(1, len(found.ahead)) if found.ahead[i] != found.ahead[i - 1]]
    return changes[0] if len(changes) == 1 else None


def _doubt(found: Crossover) -> str:
    return "" if all(found.apart) else "; some of the 95 % intervals overlap"


def _doubt_at(found: Crossover, place: int) -> str:
    """The lead is only sure to have changed if intervals lie apart on both sides."""
    sure = any(found.apart[:place]) and any(found.apart[place:])
    return "" if sure else "; the 95 % intervals overlap, so it may not change"
