"""What stands beside the tables of a report: scores without documents, searches' ends, and notes.

A score without its documents has no place in a table whose rows are compared document by document.
Computes no statistic. `write.py` calls it.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Protocol

from dllm_eval.errors import UsageError
from dllm_eval.report import text
from dllm_eval.stats.resample import NORMAL_975, UNKNOWN, Interval
from dllm_eval.stats.tables import TaskTable


class LoneScore(Protocol):
    """A score of which no documents are known; `sweep.lm_eval_import.Aggregate` is one."""

    @property
    def model(self) -> str: ...  # noqa: D102

    @property
    def task(self) -> str: ...  # noqa: D102

    @property
    def metric(self) -> str: ...  # noqa: D102

    @property
    def filter(self) -> str: ...  # noqa: D102

    @property
    def num_documents(self) -> int: ...  # noqa: D102

    @property
    def value(self) -> float: ...  # noqa: D102

    @property
    def stderr(self) -> float: ...  # noqa: D102


class FoundBySearch(Protocol):
    """What one search of a sweep found; `sweep.knees.Knee` is one."""

    @property
    def suite(self) -> str: ...  # noqa: D102

    @property
    def line(self) -> str: ...  # noqa: D102


@dataclass(frozen=True, kw_only=True)
class Beside:
    """Scores, notes and findings."""

    scores: Sequence[LoneScore] = ()
    notes: tuple[str, ...] = ()
    searches: tuple[FoundBySearch, ...] = ()
    """What the folders' searches for a cheapest setting found."""
    topics: Mapping[str, str] = field(default_factory=dict)
    """Title of a suite -> the title of the suite that it is counted with: `stats.topics`."""

    def found_for(self, table: TaskTable) -> tuple[str, ...]:
        """What was searched in one suite; alike under every length policy and protocol of it."""
        bare = table.whole_suite.removesuffix(f" ({table.protocol})")
        names = {table.suite, table.whole_suite, bare}
        return tuple(x.line for x in self.searches if x.suite in names)

    def refuse_alone(self, *, has_cells: bool) -> None:
        """Makes sure that there is more than these scores.

        Raises:
            UsageError: There is not.
        """
        if self.scores and not has_cells:
            raise UsageError(
                f"nothing to compare: the folders hold {len(self.scores)} scores of lm-eval "
                "without their documents; run it again with --log_samples"
            )

    def markdown(self) -> str:
        """Sections below the leaderboard; "" where there is nothing to say."""
        lines: list[str] = []
        if self.scores:
            lines += ["", "## Imported scores without their documents", ""]
            lines += ["Compared with nothing: which documents they are of is not known.", ""]
            lines += ["| model | task | metric | documents | score | 95 % interval |"]
            lines += ["| --- | --- | --- | --- | --- | --- |"]
            lines += [_line(score) for score in self.scores]
        if self.searches:
            lines += ["", "Found by searches:", ""]
            lines += [f"- {_cell(found.line)}" for found in self.searches]
        if self.notes:
            lines += ["", "Of the folders:", ""]
            lines += [f"- {_cell(note)}" for note in self.notes]
        return "\n".join([*lines, ""]) if lines else ""


NOTHING_BESIDE = Beside()


def interval(score: LoneScore) -> Interval:
    """95 %, normal, from the standard error over documents; unknown without one."""
    if not math.isfinite(score.stderr):
        return UNKNOWN
    half = NORMAL_975 * score.stderr
    return Interval(low=score.value - half, high=score.value + half)


def _line(score: LoneScore) -> str:
    metric = score.metric if score.filter == "none" else f"{score.metric}, {score.filter}"
    shown = text.percent(score.value), text.percent_interval(interval(score))
    cells = (score.model, score.task, metric, str(score.num_documents), *shown)
    return "| " + " | ".join(_cell(cell) for cell in cells) + " |"


def _cell(value: str) -> str:
    return value.replace("&", "&amp;").replace("<", "&lt;").replace("|", "\\|")
