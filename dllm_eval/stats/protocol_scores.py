"""The same questions put in several ways: a letter's likelihood, an answer's, a written letter.

Tables of one stated benchmark whose documents carry categories are put together; a document is its
category and its number, so that those of another benchmark's subjects never match. Arrays; called
by `report/protocol_table.py` and `topics.py`.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from dllm_eval.stats.categories import CategoryScore, paths_of, score_of
from dllm_eval.stats.score_index import ScoreIndex
from dllm_eval.stats.tables import Configuration, TaskTable

Question = tuple[str, int]
"""Category and doc_id."""


@dataclass(frozen=True, kw_only=True)
class ProtocolScore:
    """One setting under one protocol, over the questions that all protocols asked."""

    configuration: Configuration
    protocol: str
    score: CategoryScore


@dataclass(frozen=True, kw_only=True)
class ProtocolTable:
    """One benchmark under at least two protocols."""

    benchmark: str
    suites: tuple[str, ...]
    """The titles of its tables, in the order of `protocols`."""
    metrics: tuple[str, ...]
    protocols: tuple[str, ...]
    chances: tuple[float, ...]
    num_questions: int
    """That were asked under all protocols."""
    scores: tuple[ProtocolScore, ...]
    """Of every setting, in the order of the tables and of their rows."""

    @property
    def best(self) -> dict[tuple[str, str], dict[str, ProtocolScore]]:
        """(model, place) -> protocol -> the score of its best setting there."""
        out: dict[tuple[str, str], dict[str, ProtocolScore]] = {}
        for one in self.scores:
            own = out.setdefault((one.configuration.model, one.configuration.group), {})
            known = own.get(one.protocol)
            if known is None or one.score.quality > known.score.quality:
                own[one.protocol] = one
        return out


def protocol_tables(
    tables: Sequence[TaskTable], index: ScoreIndex, *, seed: int = 0
) -> list[ProtocolTable]:
    """One for each benchmark whose questions were put under several protocols.

    Args:
        tables: Of all suites.
        index: Of all scores, which hold the categories.
        seed: Of the resamples, which scores outside 0 to 1 need.
    """
    by_benchmark: dict[str, dict[int, dict[Question, int]]] = {}
    if not index.has("category"):
        return []
    for number, table in enumerate(tables):
        benchmark, questions = _stated(table, "suite"), _questions(table, index)
        if benchmark and questions:
            by_benchmark.setdefault(benchmark, {})[number] = questions
    found = []
    for benchmark, members in by_benchmark.items():
        for own in _overlapping(members):
            asked = {i: members[i] for i in own}
            if len({_stated(tables[i], "scoring") for i in own}) > 1 and _shared(asked):
                found.append(_table(benchmark, tables, asked, np.random.default_rng(seed)))
    return found


def _stated(table: TaskTable, name: str) -> str:
    return next((x.values[name] for x in table.protocols if name in x.values), "")


def _questions(table: TaskTable, index: ScoreIndex) -> dict[Question, int]:
    """Question -> its column in the table."""
    paths = zip(paths_of(table, index), table.documents, strict=True)
    return {(path, doc): i for i, (path, (_, doc)) in enumerate(paths) if path}


def _overlapping(members: Mapping[int, Mapping[Question, int]]) -> list[list[int]]:
    """Tables that share questions with the first of their group."""
    groups: list[list[int]] = []
    for number, questions in members.items():
        alike = (own for own in groups if not questions.keys().isdisjoint(members[own[0]]))
        group = next(alike, None)
        if group is None:
            groups.append([number])
        else:
            group.append(number)
    return groups


def _shared(asked: Mapping[int, Mapping[Question, int]]) -> list[Question]:
    return sorted(set.intersection(*(set(questions) for questions in asked.values())))


def _table(
    benchmark: str,
    tables: Sequence[TaskTable],
    asked: Mapping[int, Mapping[Question, int]],
    generator: np.random.Generator,
) -> ProtocolTable:
    shared = _shared(asked)
    names = _names([tables[i] for i in asked])
    scores: list[ProtocolScore] = []
    for (i, questions), name in zip(asked.items(), names, strict=True):
        table, columns = tables[i], [questions[one] for one in shared]
        clusters = None if table.clusters is None else table.clusters[columns]
        for x, row in zip(table.configurations, table.quality, strict=True):
            found = score_of(row[columns], clusters, generator)
            if found.num_documents:
                scores.append(ProtocolScore(configuration=x, protocol=name, score=found))
    return ProtocolTable(
        benchmark=benchmark,
        suites=tuple(tables[i].suite for i in asked),
        metrics=tuple(tables[i].metric for i in asked),
        protocols=tuple(names),
        chances=tuple(tables[i].chance for i in asked),
        num_questions=len(shared),
        scores=tuple(scores),
    )


def _names(tables: Sequence[TaskTable]) -> list[str]:
    """How each is scored; with its title where two are scored alike."""
    scorings = [_stated(table, "scoring") or table.metric for table in tables]
    return [
        name if scorings.count(name) == 1 else f"{name} ({table.suite})"
        for name, table in zip(scorings, tables, strict=True)
    ]
