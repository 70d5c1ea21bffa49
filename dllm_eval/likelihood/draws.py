"""Random mask sets: stratified counts, uniform subsets, and the error of their mean.

Knows nothing of models and tokens. The Monte-Carlo estimators call it.
"""

from collections.abc import Sequence
from hashlib import blake2b

import numpy as np
from numpy.typing import NDArray

from dllm_eval.likelihood.plan import Draws, Masks

Counts = NDArray[np.int64]

_FEWEST_FOR_ONE_WAY = 4
"""Up to so many draws there is one way of grouping neighbours that leaves more than one group."""


def context_seed(seed: int, context: Sequence[int] | NDArray[np.int64]) -> int:
    """A seed from the run's seed and the context alone.

    Order, batch and neighbours cannot enter it, and all choices of a question get the same one, so
    that part of the noise cancels when they are compared.
    """
    return _seed_of(seed, context)


def salted_seed(seed: int, token_ids: Sequence[int] | NDArray[np.int64], salt: str) -> int:
    """A seed from the run's seed, a pair's whole ids and a salt: shared with no other pair.

    For pairs whose values are added up: their errors must be independent to add as variances.
    """
    return _seed_of(seed, token_ids, f"/{salt}")


def part_seed(seed: int, part: int) -> int:
    """A seed for each part of a pair, so that the parts' errors are independent.

    Pairs with one seed share it part by part: choices of a question are cut at the same borders.
    """
    return seed if part == 0 else _seed_of(seed, [part])


def _seed_of(seed: int, token_ids: Sequence[int] | NDArray[np.int64], salt: str = "") -> int:
    digest = blake2b(np.asarray(token_ids, dtype="<i8").tobytes(), digest_size=16)
    digest.update(f"{seed}{salt}".encode())
    return int.from_bytes(digest.digest(), "little")


def stratified_counts(length: int, uniforms: Draws) -> Counts:
    """Mask counts l_j = 1 + floor(length * (u_j + j) / n), one from each of n equal strata.

    Over the u_j, the expected number of draws with count l is exactly n / length for every l from 1
    to `length`, whatever n is: (u_j + j) / n over all j covers the unit interval evenly. A rounded
    grid, as in LLaDA's released code, favours even counts where length / n has a fraction of 1/2.

    Each stratum has its own u_j, rather than one u for all: draws are then independent, which is
    what lets `stderr_of_mean` be honest, and errors at the borders of strata do not add up.

    Args:
        length: Target tokens.
        uniforms: (n,) in [0, 1).

    Returns:
        (n,) counts in 1..length, ascending.
    """
    num_draws = len(uniforms)
    points = (uniforms + np.arange(num_draws)) / num_draws
    counts: Counts = 1 + np.floor(length * points).astype(np.int64)
    # (1 - 2^-53 + n - 1) / n rounds to 1.
    return np.minimum(counts, length)


def uniform_subsets(counts: Counts, length: int, generator: np.random.Generator) -> Masks:
    """One subset of each size, every subset of that size equally likely.

    Position i takes the generator's i-th run of numbers, so that targets of different lengths share
    those of their common positions.

    Returns:
        (n, length) bool with counts[j] True entries in row j.
    """
    ranks = generator.random((length, len(counts))).T.argsort(axis=1).argsort(axis=1)
    masks: Masks = ranks < counts[:, None]
    return masks


def spread_order(num_draws: int, rotation: float) -> NDArray[np.int64]:
    """An order of n strata whose every beginning is spread evenly over them.

    The strata in the order of the base-2 radical inverse (van der Corput), turned by a random
    number of places: each stratum is then equally likely at every place of the order, so that the
    first draws alone are unbiased, too.

    Args:
        num_draws: Strata.
        rotation: Uniform in [0, 1).
    """
    order = np.zeros(1, dtype=np.int64)
    while len(order) < num_draws:
        order = np.concatenate([2 * order, 2 * order + 1])  # one more bit, put behind the others
    order = order[order < num_draws]
    return (order + int(rotation * num_draws)) % num_draws


def in_order_of_use(masks: Masks) -> tuple[Masks, NDArray[np.int64]]:
    """The different rows as they come, and for each given row the index of its equal among them.

    A short target has few mask sets, so draws repeat; one forward pass serves all repeats.
    """
    packed = np.packbits(masks, axis=1)
    keys = packed.view(f"V{packed.shape[1]}").ravel()
    _, first, inverse = np.unique(keys, return_index=True, return_inverse=True)
    order = np.argsort(first)
    place = np.empty_like(order)
    place[order] = np.arange(len(order))
    return masks[first[order]], place[inverse]


def rows_after(inverse: NDArray[np.int64], fixed: int = 0) -> NDArray[np.int64]:
    """How many rows the first 1, 2, ... draws need, `fixed` ones in front included.

    Args:
        inverse: (draws,) the row of each draw, as `in_order_of_use` gives it.
        fixed: Rows before those, that every draw needs.
    """
    return np.maximum.accumulate(inverse) + 1 + fixed


def completed(needed: NDArray[np.int64], num_rows: int) -> int:
    """How many draws the first rows complete, by what `rows_after` says each needs."""
    return int(np.searchsorted(needed, num_rows, side="right"))


def stderr_of_mean(draws: Draws) -> float:
    """The standard error of the mean of draws from n ordered strata, one each.

    Neighbouring strata are collapsed into groups of size_g, each with its sample variance v_g: the
    sum over groups of size_g * v_g, over n^2, is in expectation the true variance plus a
    non-negative term, the spread of the strata's means within groups, so it is never too small on
    average (Cochran, Sampling Techniques, section 5A.12). Groups are pairs, one triple if n is odd;
    from n = 5 on, the mean is taken of that and of the pairs shifted by one stratum, with a triple
    at one end or both, which knows a third more. For n of 2 or 3 it is the plain sd / sqrt(n); a
    single draw says nothing of its error, so for n = 1 it is infinite, as it is when a draw is, and
    where all are equal: the same few mask sets came again and again, and others were not seen.

    Args:
        draws: (n,) in the order of the strata.
    """
    if len(draws) == 1 or not np.isfinite(draws).all():
        return float("inf")
    squares = float(np.mean([terms.sum() for terms, _ in _collapsed(draws)]))
    return squares**0.5 / len(draws) if squares > 0 else float("inf")


def effective_degrees(draws: Draws) -> float | None:
    """Of freedom of Student's t behind `stderr_of_mean`, by Satterthwaite, from the draws.

    Groups whose variances differ know less together than their number says: few masked tokens, say,
    may hold most of the variance. A sum of terms T_g = size_g * v_g has sum(T)^2 / sum(T_g^2 / d_g)
    degrees with the true variances (Biometrics Bulletin 2, 1946). With those of the draws, that is
    much too few; were draws normal, d_g + 2 in the place of d_g and 2 less would put it right, and
    be too many for draws with heavy tails. This takes d_g + 1 and 1 less: a third too few for
    normal draws, which is what the second way of grouping adds. With it 95 % intervals cover 93 to
    97 % on tables of both kinds (tests/likelihood/test_coverage.py).

    At least 1 and at most n - 1; None where `stderr_of_mean` is infinite.

    Args:
        draws: (n,) in the order of the strata.
    """
    if len(draws) == 1 or not np.isfinite(draws).all():
        return None
    ways = _collapsed(draws)
    total = np.mean([terms.sum() for terms, _ in ways])
    squares = np.mean([(terms**2 / sizes).sum() for terms, sizes in ways])
    most = float(len(draws) - 1)
    return None if squares == 0 else float(min(max(total**2 / squares - 1, 1.0), most))


def _collapsed(draws: Draws) -> list[tuple[Draws, Counts]]:
    """For each way of grouping neighbours: size_g * v_g and size_g of every group."""
    num_draws = len(draws)
    ways = []
    for first in (2, 3) if num_draws > _FEWEST_FOR_ONE_WAY else (2,):
        starts = np.concatenate([[0], np.arange(first, num_draws - 1, 2)])
        sizes = np.diff(starts, append=num_draws)
        means = np.add.reduceat(draws, starts) / sizes
        squares = np.add.reduceat((draws - np.repeat(means, sizes)) ** 2, starts)
        ways.append((squares * sizes / (sizes - 1), sizes))
    return ways
