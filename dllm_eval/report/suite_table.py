"""A table that one kind of suite adds to the report, and the frames that it is made from.

Texts only; what stands in a table is computed in `stats/`. `suite_tables.py` collects the tables,
`write.py` puts them into the page, the leaderboards and one csv file for each name.
"""

from dataclasses import dataclass
from functools import cached_property

import pandas as pd

from dllm_eval.stats.load_crossover import SuiteLoads
from dllm_eval.stats.score_index import ScoreIndex
from dllm_eval.stats.tables import TaskTable


@dataclass(frozen=True, kw_only=True, eq=False)
class Frames:
    """The three data frames of results folders, as `sweep.store.read_results` gives them."""

    cells: pd.DataFrame
    requests: pd.DataFrame
    scores: pd.DataFrame
    tables: tuple[TaskTable, ...] = ()
    """The suites' tables, which the leaderboard is made from as well."""
    loads: tuple[SuiteLoads, ...] = ()
    """The suites that were run under load."""

    @cached_property
    def index(self) -> ScoreIndex:
        """Finds scores of single cells, metrics and filters without reading all of them again."""
        return ScoreIndex(self.scores)


@dataclass(frozen=True, kw_only=True, eq=False)
class SuiteTable:
    """One table of texts."""

    name: str
    """Stem of its csv file; tables of one name stand below each other in one file."""
    title: str
    about: str
    """One or two sentences: what is compared, and how the intervals are made. Shown once where
    several tables of one name stand below each other."""
    header: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]
    notes: tuple[str, ...] = ()
    """Shown below the rows."""
    more: tuple[tuple[str, ...], ...] = ()
    """Further rows under the same header, folded away on the page and left out of markdown."""
    more_title: str = ""
    """What is folded away, for example "All 57 subjects"."""
    folded: bool = False
    """Whether the page folds all of its rows away."""
    suites: tuple[str, ...] = ()
    """Titles of the suites that it is about: the page hides it where none of them is chosen."""
    figure: str = ""
    """Stem of a figure of this report that the page shows above the rows, for example "stress"."""
    data: pd.DataFrame | None = None
    """What the csv file holds where its numbers should be unrounded, one line per row or per
    number; None where it holds `rows` and `more`."""

    @property
    def frame(self) -> pd.DataFrame:
        """What the csv file holds of this table."""
        if self.data is not None:
            return self.data
        return pd.DataFrame([*self.rows, *self.more], columns=list(self.header))
