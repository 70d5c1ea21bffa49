"""A pair whose likelihood is a product over blocks, cut at their borders.

Knows pairs and the family's attention; knows no estimator's formula and no batch. `score` cuts
pairs here and puts the parts' estimates together; `look_back` asks what lies before a part.
"""

from collections.abc import Sequence

from dllm_eval.families import Family
from dllm_eval.likelihood.pair import Pair
from dllm_eval.likelihood.plan import Estimate


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

    It is exact where all of its parts are, and a log-likelihood where all of them are one.
    """
    if len(estimates) == 1:
        return estimates[0]
    return Estimate(
        value=sum(part.value for part in estimates),
        stderr=sum(part.stderr**2 for part in estimates) ** 0.5,
        exact=all(part.exact for part in estimates),
        quantity=(
            "log_likelihood"
            if all(part.quantity == "log_likelihood" for part in estimates)
            else "elbo"
        ),
        estimator="+".join(sorted({part.estimator for part in estimates})),
        samples=sum(part.samples for part in estimates),
    )
