"""A pair whose likelihood is a product over blocks, cut at their borders.

Knows pairs and the family's attention; knows no estimator's formula and no batch. `score` cuts
pairs here and puts the parts' estimates together; `look_back` asks what lies before a part.
"""

from collections.abc import Sequence

from dllm_eval.api import Quantity
from dllm_eval.families import Family
from dllm_eval.likelihood.pair import Pair
from dllm_eval.likelihood.plan import Estimate

WEAKEST_FIRST: tuple[Quantity, ...] = (
    "pseudo_log_likelihood",
    "one_step",
    "upper_bound",
    "elbo",
    "importance_bound",
    "log_likelihood",
)
"""A sum is called what the least of its parts is; no estimator mixes upper and lower bounds."""


def parts(pair: Pair, family: Family, estimator: str) -> list[Pair]:
    """The pair as a chain: log p(target | context) is the sum of the parts' (BD3-LM, 2503.09573).

    Each part holds the context and the target up to its own last token, and scores its own tokens
    alone. Nothing lies behind them: in the last block, the positions behind the target are absent
    rather than masked, because visible masks would tell the model that more is to come. Within a
    block the estimator's orders count, whatever order the family's own decoding prefers.

    block_causal: blocks count from position 0 of the row, so the first part may share its block
    with the end of the context. causal_context: blocks count from the first target token. reordered
    attention has no blocks; left to right, every token is a part of its own, since what is masked
    behind a token is not seen by it. full attention cannot be cut.

    Args:
        pair: What to score.
        family: Its attention and block length.
        estimator: A name in `registry.ESTIMATORS`.
    """
    if family.looks_ahead:
        return [pair]
    if family.attention == "reordered":
        length = 1 if estimator == "left_to_right" else pair.target_length
    else:
        length = family.block_length or pair.target_length
    first = 0 if family.attention == "block_causal" else pair.start
    # The first border behind the first scored token, and then every `length` positions.
    border = first + ((pair.start - first) // length + 1) * length
    stops = [*range(border, pair.stop, length), pair.stop]
    starts = [pair.start, *stops[:-1]]
    return [
        Pair(token_ids=pair.token_ids[:stop], target_length=stop - start)
        for start, stop in zip(starts, stops, strict=True)
    ]


def finished(part: Pair, family: Family) -> int:
    """How many leading positions of a part see nothing of what is masked in it.

    Their keys are the same for every mask set of the part, and for all parts behind it.
    """
    if family.looks_ahead:
        return 0
    if family.attention == "block_causal":
        length = family.block_length or part.length
        return part.start // length * length
    return part.start


def combined(estimates: Sequence[Estimate]) -> Estimate:
    """The sum over parts whose noise is independent, so that variances add.

    It is exact where all of its parts are, and a log-likelihood where all of them are one. Bounds
    of the parts add up to one of the whole.
    """
    if len(estimates) == 1:
        return estimates[0]
    quantities = {part.quantity for part in estimates}
    return Estimate(
        value=sum(part.value for part in estimates),
        stderr=sum(part.stderr**2 for part in estimates) ** 0.5,
        exact=all(part.exact for part in estimates),
        quantity=next(name for name in WEAKEST_FIRST if name in quantities),
        estimator="+".join(sorted({n for part in estimates for n in part.estimator.split("+")})),
        samples=sum(part.samples for part in estimates),
        degrees=_degrees(estimates),
        importance_bound=_sum([_said(part, part.importance_bound) for part in estimates]),
        upper_bound=_sum([_said(part, part.upper_bound) for part in estimates]),
        upper_bound_stderr=_root(
            [_said(part, part.upper_bound_stderr, exact=0.0) for part in estimates]
        ),
    )


def _said(part: Estimate, bound: float | None, exact: float | None = None) -> float | None:
    """What a part says of a bound; a part that is a log-likelihood is its own."""
    if part.quantity != "log_likelihood":
        return bound
    return part.value if exact is None else exact


def _sum(values: Sequence[float | None]) -> float | None:
    known = [value for value in values if value is not None]
    return sum(known) if len(known) == len(values) else None


def _root(values: Sequence[float | None]) -> float | None:
    total = _sum([None if value is None else value**2 for value in values])
    return None if total is None else total**0.5


def _degrees(estimates: Sequence[Estimate]) -> float | None:
    """Of a sum of independent parts, by Satterthwaite (Biometrics Bulletin 2, 1946).

    None where nothing was drawn, or where a part's error is unknown.
    """
    drawn = [part for part in estimates if part.stderr > 0]
    if not drawn or any(part.degrees is None for part in drawn):
        return None
    total = sum(part.stderr**2 for part in drawn)
    if total == float("inf"):
        return None
    return total**2 / sum(part.stderr**4 / (part.degrees or 1.0) for part in drawn)
