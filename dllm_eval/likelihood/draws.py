"""Random mask sets: stratified counts, uniform subsets, and the error of their mean.

Knows nothing of models and tokens. The Monte-Carlo estimators call it.
"""

from collections.abc import Sequence
from hashlib import blake2b

import numpy as np
from numpy.typing import NDArray

from dllm_eval.likelihood.plan import Masks

Counts = NDArray[np.int64]
Draws = NDArray[np.float64]


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

    Returns:
        (n, length) bool with counts[j] True entries in row j.
    """
    ranks = generator.random((len(counts), length)).argsort(axis=1).argsort(axis=1)
    masks: Masks = ranks < counts[:, None]
    return masks


def distinct(masks: Masks) -> tuple[Masks, NDArray[np.int64]]:
    """The different rows, and for each given row the index of its equal among them.

    A short target has few mask sets, so draws repeat; one forward pass serves all repeats.
    """
    packed = np.packbits(masks, axis=1)
    keys = packed.view(f"V{packed.shape[1]}").ravel()
    _, first, inverse = np.unique(keys, return_index=True, return_inverse=True)
    return masks[first], inverse


def stderr_of_mean(draws: Draws) -> float:
    """The standard error of the mean of draws from n ordered strata, one each.

    Neighbouring strata are collapsed into pairs (one triple if n is odd), each with its sample
    variance v_g: the result is sqrt(sum over groups of size_g * v_g) / n. The square's expectation
    is the true variance plus a non-negative term, the spread of the strata's means within groups,
    so it is never too small on average (Cochran, Sampling Techniques, section 5A.12). It has about
    n / 2 degrees of freedom: use Student's t for intervals where n is small. For n of 2 or 3 it is
    the plain sd / sqrt(n); a single draw says nothing of its error, so for n = 1 it is infinite, as
    it is when a draw is.

    Args:
        draws: (n,) in the order of the strata.
    """
    num_draws = len(draws)
    if num_draws == 1 or not np.isfinite(draws).all():
        return float("inf")
    odd = num_draws % 2
    pairs = draws[: num_draws - 3 * odd].reshape(-1, 2)
    squares = float(((pairs[:, 0] - pairs[:, 1]) ** 2).sum())
    if odd:
        squares += 3.0 * float(draws[-3:].var(ddof=1))
    return float(np.sqrt(squares)) / num_draws
