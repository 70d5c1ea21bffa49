"""Which of a report's tables are one suite to a reader, asked in several ways.

The same task under several lengths of gaps or prompts, the templates of one base task, and the same
questions under several protocols. Strings; called by `report/write.py` for the page's headline.
"""

from collections.abc import Mapping, Sequence

from dllm_eval.stats.protocol_scores import protocol_tables
from dllm_eval.stats.protocols import facts_of
from dllm_eval.stats.score_index import ScoreIndex
from dllm_eval.stats.tables import TaskTable


def topics(tables: Sequence[TaskTable], index: ScoreIndex) -> Mapping[str, str]:
    """Title of each table -> the title that stands for its suite: that of the first of its tables.

    Args:
        tables: Of all suites.
        index: Of all scores.
    """
    head: dict[str, str] = {}
    bases: dict[str, str] = {}
    for table in sorted(tables, key=lambda x: _base(x) != x.task):
        head[table.suite] = bases.setdefault(_base(table), table.suite)
    for found in protocol_tables(tables, index):
        first = head[found.suites[0]]
        joined = {head[suite] for suite in found.suites}
        head = {suite: first if own in joined else own for suite, own in head.items()}
    return {table.suite: head[table.suite] for table in tables}


def _base(table: TaskTable) -> str:
    """The task whose documents it asks, under whatever template."""
    told = (found for x in table.configurations for found in facts_of(x.provenance))
    return next((str(found["base"]) for found in told if found.get("base")), table.task)
