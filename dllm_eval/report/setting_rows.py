"""Which settings of a suite a narrow table shows first, and how it names them.

Strings only. Called by the tables of single kinds of suites.
"""

from collections.abc import Mapping, Sequence

import numpy as np

from dllm_eval.report import text
from dllm_eval.stats.resample import Interval
from dllm_eval.stats.tables import Configuration, TaskTable

MOST_ROWS = 12
"""Settings that are all shown; of more, the best of each model stands out, the rest is folded."""
LONGEST_PLACE = 40
"""Characters of what tells a machine and stack from the others; longer ones get a number."""
BEST_RULE = "Of each model on each machine the setting of the best score over all documents."


def best_of_models(table: TaskTable) -> list[int]:
    """The best setting of each model on each machine and stack, in the table's order."""
    best: dict[tuple[str, str], int] = {}
    quality = np.nanmean(table.quality, axis=1)
    for i, x in enumerate(table.configurations):
        at = best.setdefault((x.model, x.group), i)
        if quality[i] > quality[at]:
            best[x.model, x.group] = i
    return sorted(best.values())


def name_of(x: Configuration, places: Mapping[str, str]) -> tuple[str, str]:
    """(model, setting) as a table's first two columns say them.

    Args:
        x: The setting.
        places: Of `places_of`.
    """
    model = f"{x.model} ({places[x.group]})" if x.group in places else x.model
    return model, text.setting(x) or text.UNKNOWN_TEXT


def places_of(configurations: Sequence[Configuration]) -> dict[str, str]:
    """Each machine and stack -> what tells it from the others in a few words; {} of a single one.

    The whole name is said once, by `place_note`.
    """
    names = sorted({x.group for x in configurations})
    if len(names) < 2:
        return {}
    parts = {
        name: [part for half in name.split(" / ") for part in half.split(", ")] for name in names
    }
    common = set.intersection(*(set(own) for own in parts.values()))
    told = {name: ", ".join(x for x in own if x not in common) for name, own in parts.items()}
    short = all(0 < len(words) <= LONGEST_PLACE for words in told.values())
    if short and len(set(told.values())) == len(names):
        return told
    return {name: f"place {number}" for number, name in enumerate(names, 1)}


def place_note(places: Mapping[str, str]) -> tuple[str, ...]:
    """What stands below a table whose rows name their places in a few words; () without."""
    told = "; ".join(f"{words}: {name}" for name, words in places.items())
    return (f"In parentheses behind a model, where it ran. {told}.",) if places else ()


def scored(quality: float, interval: Interval) -> str:
    """A score and its interval: "61.0 % (53.2 to 68.2)"."""
    return f"{text.percent(quality)} ({text.percent_interval(interval)})"


def points(difference: float, interval: Interval) -> str:
    """A difference of two scores in points: "+3.7 (0.6 to 7.3)"."""
    if difference != difference:
        return text.UNKNOWN_TEXT
    return f"{text.signed(100 * difference)} ({text.percent_interval(interval)})"
