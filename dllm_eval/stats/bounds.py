"""Which rows of a likelihood metric are bounds, and what may then be said of two of them.

An ELBO is at most log p, so a perplexity made of it is at most so low: a row of bounds that beats
an exact one truly does, and one that is beaten may be the better model. Reads the records'
`quantity`; computes no statistic. Called by `compare.py` and by the report's remarks.
"""

from typing import Literal

from dllm_eval.stats.tables import TaskTable

Kind = Literal["exact", "bound", "neither"]

LOWER_BOUNDS = frozenset({"elbo", "importance_bound"})
EXACT = "log_likelihood"
UPWARDS, DOWNWARDS = frozenset({"no worse", "better"}), frozenset({"worse", "no better"})
EVERYTHING = UPWARDS | DOWNWARDS


def kind_of(table: TaskTable, row: int) -> Kind:
    """What a row's likelihoods are; records that do not say are taken for exact.

    "neither" of scores that are no likelihood, and of estimates from above.
    """
    configuration = table.configurations[row]
    told = table.requests_of(configuration.quality_cells)
    if "quantity" not in told:
        return "exact"
    names = {name for x in told["quantity"].dropna().unique() for name in str(x).split("+")}
    if names <= {EXACT}:
        return "exact"
    return "bound" if names <= {EXACT, *LOWER_BOUNDS} else "neither"


def may_be_said(table: TaskTable, row: int, rival: int) -> frozenset[str]:
    """The parts of a verdict on quality, of `paired.PARTS`, that these two rows can show."""
    if not table.scale.of_likelihood:
        return EVERYTHING
    kinds = kind_of(table, row), kind_of(table, rival)
    if kinds == ("exact", "exact"):
        return EVERYTHING
    if kinds == ("bound", "exact"):
        return UPWARDS
    return DOWNWARDS if kinds == ("exact", "bound") else frozenset()
