"""The settings among which one is chosen, as arrays: quality, seconds and cost.

Reads a suite's analysis and its table; decides nothing. Called by `recommendation.py` and
`report/recommend.py`.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from dllm_eval.stats.analysis import TaskAnalysis
from dllm_eval.stats.clusters import unit_means
from dllm_eval.stats.resample import Floats
from dllm_eval.stats.rounds import NO_ROUNDS, RoundSpread, median_variance, round_spread
from dllm_eval.stats.servers import servers

Indices = NDArray[np.int64]


@dataclass(frozen=True, kw_only=True, eq=False)
class Candidates:
    """Settings of one suite on one machine and stack, timed on an idle machine but for `busy`."""

    rows: tuple[int, ...]
    """Their indices in the suite's table."""
    quality: Floats
    """(candidates, documents), NaN where a document was not scored; where documents come in
    clusters, (candidates, clusters) their means, each of which counts as one document."""
    seconds: tuple[Floats, ...]
    """Seconds of each timed unit, one array per candidate."""
    round_spread: Floats
    """(candidates,) standard deviation of the logarithm of its percentile because the machine is a
    little faster or slower in each round; 0 where that is not known."""
    round_degrees: int
    """Of freedom of these deviations."""
    rounds_too_few: bool = False
    """Whether nothing can be said of these deviations: of two rounds."""
    busy: bool = False
    """Whether all of their seconds are those of a busy machine, of which nothing is claimed."""
    cost: Floats
    """(candidates, 3) token positions and forward passes per unit, and dollars per thousand answers
    of a server; inf where unknown."""
    autoregressive: Floats | None
    """(documents,) scores of the AR row that a relative floor is measured from."""
    autoregressive_row: int | None
    """Its index in the suite's table."""

    @property
    def shares(self) -> bool:
        """Whether all scores lie between 0 and 1."""
        return not bool(((self.quality < 0.0) | (self.quality > 1.0)).any())

    def means(self, documents: Indices) -> Floats:
        """(candidates,) mean quality over these documents; NaN where none of them was scored."""
        return mean_over(self.quality[:, documents])


def mean_over(scores: Floats) -> Floats:
    """The mean along the last axis of what is known; NaN where nothing is."""
    known = ~np.isnan(scores)
    count = known.sum(axis=-1)
    out = np.full(scores.shape[:-1], np.nan)
    np.divide(np.where(known, scores, 0.0).sum(axis=-1), count, out=out, where=count > 0)
    return out


def candidates_of(
    analysis: TaskAnalysis, rows: Sequence[int], autoregressive: int | None
) -> Candidates:
    """These rows of a suite, with the AR row that a relative floor is measured from."""
    table = analysis.table
    costs = [analysis.rows[i].costs for i in rows]
    usd = {x.row: x.usd for x in servers(table)}
    cost = np.array(
        [[x.positions, x.nfe, usd.get(i, np.nan)] for i, x in zip(rows, costs, strict=True)],
        dtype=np.float64,
    ).reshape(-1, 3)
    deviations, spread = _rounds(analysis, rows)
    quality = unit_means(table.quality, table.clusters)
    return Candidates(
        rows=tuple(rows),
        quality=quality[list(rows)],
        seconds=tuple(table.latencies_s[i] for i in rows),
        round_spread=deviations,
        round_degrees=spread.degrees,
        rounds_too_few=spread.too_few,
        busy=any(analysis.rows[i].busy for i in rows),
        cost=np.where(np.isnan(cost), np.inf, cost),
        autoregressive=None if autoregressive is None else quality[autoregressive],
        autoregressive_row=autoregressive,
    )


def _rounds(analysis: TaskAnalysis, rows: Sequence[int]) -> tuple[Floats, RoundSpread]:
    table = analysis.table
    if not table.rounds_s or not rows:
        return np.zeros(len(rows)), NO_ROUNDS
    group = table.configurations[rows[0]].group
    idle = [
        table.rounds_s[i]
        for i, row in enumerate(analysis.rows)
        if row.configuration.group == group and not row.busy
    ]
    spread = round_spread(idle)
    parts = [median_variance(table.rounds_s[i].shape[1]) for i in rows]
    return spread.deviation * np.sqrt(np.array(parts)), spread
