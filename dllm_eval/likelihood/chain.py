"""One pair on its way: its parts, their plans, and as much of their tables as has been read.

Knows plans and the core's answers; knows no model and no other pair. `score` drives chains, `race`
and `win` look at their draws.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np

from dllm_eval.likelihood.batch import Request
from dllm_eval.likelihood.blocks import combined
from dllm_eval.likelihood.core import Scored
from dllm_eval.likelihood.draws import completed
from dllm_eval.likelihood.pair import Pair
from dllm_eval.likelihood.plan import Draws, Estimate, Plan, Table


@dataclass(kw_only=True, eq=False)
class Chain:
    """A pair as its parts (`blocks.parts`): one, unless attention goes by blocks."""

    parts: Sequence[Pair]
    plans: Sequence[Plan]
    group: int
    """Its number among the pairs that are scored together."""
    question: int
    """The number of its question; pairs of no question have one of their own."""
    tables: list[Table] = field(default_factory=list)
    nfe: int = 0
    positions: int = 0

    def __post_init__(self) -> None:
        self.tables = [np.zeros((0, plan.masks.shape[1])) for plan in self.plans]

    @property
    def most_draws(self) -> int:
        """Draws that every part which draws at all can make; 0 where nothing is random."""
        drawn = [len(plan.sampling.rows_after) for plan in self.plans if plan.sampling]
        return min(drawn, default=0)

    @property
    def num_draws(self) -> int:
        """Draws that are complete in every part that draws."""
        if not self.most_draws:
            return 0
        return min(
            completed(plan.sampling.rows_after, len(table))
            for plan, table in zip(self.plans, self.tables, strict=True)
            if plan.sampling
        )

    def requests(self, num_draws: int) -> list[Request]:
        """What is still to be read for so many draws; for `most_draws`, all there is."""
        asked = []
        for part, plan, table in zip(self.parts, self.plans, self.tables, strict=True):
            stop = len(plan.masks)
            if plan.sampling and num_draws < self.most_draws:
                stop = int(plan.sampling.rows_after[num_draws - 1])
            whole = Request(
                pair=part,
                masks=plan.masks,
                read=plan.read,
                group=self.group,
                question=self.question,
            )
            asked.append(whole.rows(len(table), max(stop, len(table))))
        return asked

    def receive(self, answers: Sequence[Scored]) -> None:
        """Takes the answers to `requests`, one per part."""
        for index, answer in enumerate(answers):
            self.tables[index] = np.concatenate([self.tables[index], answer.table])
            self.nfe += answer.nfe
            self.positions += answer.positions

    def draws(self) -> Draws:
        """(num_draws,) values of the whole pair, each with the estimate's value as expectation."""
        total = np.zeros(self.num_draws)
        for plan, table in zip(self.plans, self.tables, strict=True):
            if plan.sampling:
                total += plan.sampling.draws(table)[: len(total)]
            else:
                total += plan.estimate(table).value
        return total

    def estimate(self) -> Estimate:
        """What has been read so far says."""
        return combined(
            [plan.estimate(table) for plan, table in zip(self.plans, self.tables, strict=True)]
        )
