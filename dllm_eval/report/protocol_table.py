"""One benchmark's protocols side by side: the same questions, put and scored in several ways.

Texts of `stats/protocol_scores.py`. A line of `suite_tables.TABLES`.
"""

import pandas as pd

from dllm_eval.report import text
from dllm_eval.report.setting_rows import name_of, place_note, places_of, scored
from dllm_eval.report.suite_table import Frames, SuiteTable
from dllm_eval.stats.protocol_scores import ProtocolScore, ProtocolTable, protocol_tables

ABOUT = (
    "The same questions under each protocol, with 95 % intervals over the questions that all of "
    "them asked. Protocols are not one ranking: to weigh four letters, to weigh the texts of the "
    "answers and to write a letter are different tasks, so compare models down a column, and no "
    "score with one of another column. Of each model under each protocol the setting of the best "
    "score, which is chosen on these very questions and flatters where several were run."
)


def protocol_score_tables(frames: Frames) -> list[SuiteTable]:
    """One for each benchmark whose questions were put in several ways."""
    return [_table(found) for found in protocol_tables(frames.tables, frames.index)]


def _table(found: ProtocolTable) -> SuiteTable:
    places = places_of([one.configuration for one in found.scores])
    names = dict(zip(found.protocols, zip(found.metrics, found.chances, strict=True), strict=True))
    best = {
        name_of(next(iter(own.values())).configuration, places)[0]: own
        for own in found.best.values()
    }
    several = _several(found)
    more = [_line(name_of(one.configuration, places), found, one) for one in found.scores]
    return SuiteTable(
        name="protocols",
        title=f"{found.benchmark}: protocols side by side ({found.num_questions} questions)",
        about=ABOUT,
        suites=found.suites,
        header=(
            *("model", "setting"),
            *(
                f"{name} ({metric}, chance {text.percent(chance, digits=0)})"
                for name, (metric, chance) in names.items()
            ),
        ),
        rows=tuple((model, _settings(own), *_cells(found, own)) for model, own in best.items()),
        more=tuple(more) if several else (),
        more_title=f"Every setting ({len(more)})",
        notes=place_note(places),
        data=pd.DataFrame([_data(found, one) for one in found.scores]),
    )


def _several(found: ProtocolTable) -> bool:
    """Whether a model was run in several settings under some protocol."""
    return len(found.scores) > sum(len(own) for own in found.best.values())


def _settings(own: dict[str, ProtocolScore]) -> str:
    """The best settings, each with its protocol where they differ."""
    told = {name: text.setting(one.configuration) for name, one in own.items()}
    known = {name: setting for name, setting in told.items() if setting}
    if len(set(told.values())) == 1:
        return next(iter(told.values())) or text.UNKNOWN_TEXT
    return "; ".join(f"{name}: {setting}" for name, setting in known.items())


def _cells(found: ProtocolTable, own: dict[str, ProtocolScore]) -> list[str]:
    return [_shown(own.get(name)) for name in found.protocols]


def _shown(one: ProtocolScore | None) -> str:
    return text.UNKNOWN_TEXT if one is None else scored(one.score.quality, one.score.interval)


def _line(name: tuple[str, str], found: ProtocolTable, one: ProtocolScore) -> tuple[str, ...]:
    shown = (one if protocol == one.protocol else None for protocol in found.protocols)
    return (*name, *map(_shown, shown))


def _data(found: ProtocolTable, one: ProtocolScore) -> dict[str, object]:
    x, at = one.configuration, found.protocols.index(one.protocol)
    return {
        "benchmark": found.benchmark,
        "protocol": one.protocol,
        "suite": found.suites[at],
        "metric": found.metrics[at],
        "chance": found.chances[at],
        "config_id": x.config_id,
        "model": x.model,
        "setting": text.setting(x),
        "place": x.group,
        "quality": one.score.quality,
        "quality_low": one.score.interval.low,
        "quality_high": one.score.interval.high,
        "num_documents": one.score.num_documents,
    }
