"""Canvases of the chain rule in random orders, each once, and the chains' sums.

Knows mask sets and arithmetic only. `random_order` makes its estimators of them.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from dllm_eval.likelihood.draws import completed, in_order_of_use, rows_after
from dllm_eval.likelihood.plan import Draws, Masks, Setting, Table

FEWEST_PAIRED = 8
"""From so many chains on, each order is followed by its reverse: four draws or more are left."""

Orders = NDArray[np.int64]
"""(chains, length) positions, in the order in which they are revealed."""


@dataclass(frozen=True, kw_only=True, eq=False)
class Chains:
    """Chains of orders that are independent, or independent in pairs."""

    masks: Masks
    """(rows, length), in order of use."""
    read: Masks
    """(rows, length)"""
    row_of: NDArray[np.int64]
    """(chains, length) the row of each step."""
    orders: Orders
    per_draw: int
    """Chains that make one draw, 1 or 2."""

    @property
    def needed(self) -> NDArray[np.int64]:
        """(draws,) how many rows the first 1, 2, ... draws need."""
        per_chain = rows_after(self.row_of.max(axis=1))
        return per_chain[self.per_draw - 1 :: self.per_draw]

    def values(self, table: Table) -> Draws:
        """(draws, chains per draw) the log-probabilities of the chains that the table completes."""
        done = completed(self.needed, len(table)) * self.per_draw
        terms = table[self.row_of[:done], self.orders[:done]]
        values: Draws = terms.sum(axis=1).reshape(-1, self.per_draw)
        return values


def draw_chains(setting: Setting, fewest: int) -> Chains:
    """As many chains as `samples` canvases are enough for, but at least `fewest`.

    All chains begin with the fully masked canvas, which is shared, so that each costs L - 1 more.
    """
    length = setting.length
    num_chains = max(fewest, (setting.samples - 1) // max(length - 1, 1))
    per_draw = 2 if num_chains >= FEWEST_PAIRED else 1
    generator = np.random.default_rng(setting.seed)
    # A position's numbers are one run, so that targets of different lengths share them.
    orders = generator.random((length, num_chains // per_draw)).T.argsort(axis=1)
    if per_draw == 2:
        orders = np.stack([orders, orders[:, ::-1]], axis=1).reshape(-1, length)
    ranks = orders.argsort(axis=1)
    # (chains * length, length): step k masks what has rank k or later.
    steps = (ranks[:, None, :] >= np.arange(length)[:, None]).reshape(-1, length)
    masks, inverse = in_order_of_use(steps)
    read = np.zeros_like(masks)
    read[inverse, orders.ravel()] = True
    return Chains(
        masks=masks,
        read=read,
        row_of=inverse.reshape(-1, length),
        orders=orders,
        per_draw=per_draw,
    )
