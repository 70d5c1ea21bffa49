"""What the sampler needs of every row of logits, in one pass over the vocabulary.

The best token, how probable it is, and where asked the entropy and the second best: without a
tensor of probabilities. A Triton kernel on CUDA (`row_statistics_triton.py`), torch elsewhere.
float32 throughout. Knows rows of numbers; knows nothing of masks, rules or models. `proposal.py`
calls it.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from importlib import import_module
from importlib.util import find_spec

import torch
from torch import Tensor

TILE = {"wide": 512, "narrow": 128}
"""Columns whose largest value is looked for at once; the best token is then sought in one tile.
About the square root of all columns is fastest."""

WIDE = 32768
"""From this many columns on tiles are wide."""

CACHED_ELEMENTS = 2**19
"""Logits per thread that are worked on at once on a CPU: 2 MiB, about a core's own cache."""

SMALL_VOCABULARY = 2048
"""Up to this size the number of operations costs more than their work does."""

NO_MASS = -200.0
"""Two, or e, to this is 0 in float32; keeps 0 * -inf out of the entropy."""

LOG2_E = math.log2(math.e)


@dataclass(frozen=True, kw_only=True)
class RowStatistics:
    """Each of the shape of the logits without their last dimension."""

    best: Tensor
    """float32: the largest logit; NaN where the row holds a NaN, so that nobody trusts it."""
    token: Tensor
    """int64: the lowest id that has it; means nothing where `best` is not finite."""
    probability: Tensor
    """float32: of that token; NaN where `best` is not finite."""
    entropy: Tensor | None
    """float32, nats; NaN where `best` is not finite; None where not asked for."""
    runner_up: Tensor | None
    """float32: the second largest logit, `best` itself on a tie; None where not asked for."""

    @property
    def normaliser(self) -> Tensor:
        """float32: logsumexp of the row; NaN where `best` is not finite."""
        return self.best - self.probability.log()


def row_statistics(
    logits: Tensor, *, entropy: bool = False, runner_up: bool = False, overwrite: bool = False
) -> RowStatistics:
    """Reduces every row to a few numbers.

    Args:
        logits: (..., vocab), bfloat16, float16 or float32; forbidden ids at -inf.
        entropy: Whether the entropy is wanted.
        runner_up: Whether the second best is wanted.
        overwrite: Whether the logits are worked on where they lie, and mean nothing afterwards;
            they should fit into a cache then. Else they are left alone.
    """
    if logits.shape[-1] <= SMALL_VOCABULARY and not logits.is_cuda:
        return _reduce_small(logits.float(), entropy=entropy, runner_up=runner_up)
    rows = logits.reshape(-1, logits.shape[-1])
    if rows.is_cuda and _has_triton():
        kernel = import_module("dllm_eval.samplers.row_statistics_triton")
        found: RowStatistics = kernel.reduce_rows(rows, entropy=entropy, runner_up=runner_up)
    elif overwrite:
        found = _reduce(rows.float(), entropy=entropy, runner_up=runner_up, scratch=True)
    else:
        found = _reduce_in_chunks(rows, entropy=entropy, runner_up=runner_up)
    shape = logits.shape[:-1]
    return RowStatistics(
        best=found.best.view(shape),
        token=found.token.view(shape),
        probability=found.probability.view(shape),
        entropy=None if found.entropy is None else found.entropy.view(shape),
        runner_up=None if found.runner_up is None else found.runner_up.view(shape),
    )


@cache
def _has_triton() -> bool:
    """Whether Triton exists here; torch brings it along with CUDA on Linux."""
    return find_spec("triton") is not None


def _reduce_in_chunks(rows: Tensor, *, entropy: bool, runner_up: bool) -> RowStatistics:
    """On a CPU, few rows at a time, so that the passes over them stay in its cache."""
    size = max(1, len(rows))
    if not rows.is_cuda:
        size = max(1, CACHED_ELEMENTS * torch.get_num_threads() // rows.shape[1])
    if size >= len(rows):
        return _reduce(rows, entropy=entropy, runner_up=runner_up)
    chunks = [rows[at : at + size] for at in range(0, len(rows), size)]
    return join([_reduce(chunk, entropy=entropy, runner_up=runner_up) for chunk in chunks])


def join(parts: list[RowStatistics]) -> RowStatistics:
    """The statistics of the rows of all parts, (rows,) each, in order."""
    entropies = [part.entropy for part in parts if part.entropy is not None]
    runners_up = [part.runner_up for part in parts if part.runner_up is not None]
    return RowStatistics(
        best=torch.cat([part.best for part in parts]),
        token=torch.cat([part.token for part in parts]),
        probability=torch.cat([part.probability for part in parts]),
        entropy=torch.cat(entropies) if entropies else None,
        runner_up=torch.cat(runners_up) if runners_up else None,
    )


def join_columns(parts: Sequence[RowStatistics], starts: Sequence[int]) -> RowStatistics:
    """The statistics of rows whose columns were reduced a few at a time.

    The entropy is as exact as the parts' normalisers are in float32.

    Args:
        parts: Of the same rows, (rows,) each, left to right.
        starts: Each part's first id.
    """
    if len(parts) == 1 and starts[0] == 0:
        return parts[0]
    tops = torch.stack([part.best for part in parts])  # (parts, rows)
    tokens = torch.stack([part.token + start for part, start in zip(parts, starts, strict=True)])
    normalisers = torch.stack([part.normaliser for part in parts])
    # A part whose every id is forbidden has no share, whatever it says.
    normalisers = normalisers.masked_fill(tops == -torch.inf, -torch.inf)
    normaliser = normalisers.logsumexp(dim=0)
    entropies = [part.entropy for part in parts if part.entropy is not None]
    spread = second = None
    if entropies:
        # p log p splits into that within a part and that of the parts' own shares.
        log_share = normalisers - normaliser
        share = log_share.exp()
        within = share * (torch.stack(entropies) - log_share)
        spread = torch.where(share == 0, 0.0, within).sum(dim=0)
    runners_up = [part.runner_up for part in parts if part.runner_up is not None]
    if runners_up:
        second = torch.cat([tops, torch.stack(runners_up)]).topk(2, dim=0).values[1]
    best, at = tops.max(dim=0, keepdim=True)
    return RowStatistics(
        best=best[0],
        token=tokens.gather(0, at)[0],
        probability=(best[0] - normaliser).exp(),
        entropy=spread,
        runner_up=second,
    )


def _reduce(
    rows: Tensor, *, entropy: bool, runner_up: bool, scratch: bool = False
) -> RowStatistics:
    """Of (rows, vocab) logits, which are overwritten where they are `scratch`."""
    rows = rows.float()
    if rows.shape[1] < TILE["narrow"]:
        return _reduce_small(rows, entropy=entropy, runner_up=runner_up)
    best, token, second = _largest(rows, runner_up=runner_up)
    # Where every id is forbidden, -inf minus -inf is left.
    top = torch.where(best == -torch.inf, 0.0, best)[:, None]
    # Powers of two cost a CPU a third of powers of e.
    bits = (rows.sub_(top) if scratch else rows - top).mul_(LOG2_E)
    if entropy:
        bits.clamp_(min=NO_MASS)
        share = bits.exp2()
        total = share.sum(dim=1)
        spread = total.log() - torch.linalg.vecdot(share, bits) / (total * LOG2_E)
    else:
        total, spread = bits.exp2_().sum(dim=1), None
    return RowStatistics(
        best=best,
        token=token,
        probability=(best - top[:, 0]).exp() / total,
        entropy=spread,
        runner_up=second,
    )


def _reduce_small(logits: Tensor, *, entropy: bool, runner_up: bool) -> RowStatistics:
    best, token = logits.max(dim=-1)
    spread = second = None
    if entropy:
        log_p = logits.log_softmax(dim=-1)
        probability = log_p.amax(dim=-1).exp()
        log_p.clamp_(min=NO_MASS)
        spread = -torch.linalg.vecdot(log_p.exp(), log_p)
    else:
        probability = logits.softmax(dim=-1).amax(dim=-1)
    if runner_up:
        several = logits.shape[-1] > 1
        second = logits.topk(2, dim=-1).values[..., 1] if several else best - torch.inf
    return RowStatistics(
        best=best, token=token, probability=probability, entropy=spread, runner_up=second
    )


def _largest(rows: Tensor, *, runner_up: bool) -> tuple[Tensor, Tensor, Tensor | None]:
    """(rows,) each: the largest logit, its lowest id, and the second largest.

    The largest of each tile is a fast reduction; looking for its place is slow on a CPU, and is
    done among the tiles and within the best one alone.
    """
    vocab = rows.shape[1]
    width = TILE["wide" if vocab >= WIDE else "narrow"]
    whole = vocab // width * width
    tops = torch.unflatten(rows[:, :whole], 1, (-1, width)).amax(dim=2)
    if whole < vocab:
        tops = torch.cat([tops, rows[:, whole:].amax(dim=1, keepdim=True)], dim=1)
    tile = tops.argmax(dim=1, keepdim=True)
    # A short last tile is read from further left, so that all are equally wide.
    first = (tile * width).clamp_(max=vocab - width)
    within = rows.gather(1, first + torch.arange(width, device=rows.device))
    best, place = within.max(dim=1)
    second = None
    if runner_up:
        second = within.topk(2, dim=1).values[:, 1]
        second = torch.maximum(second, tops.topk(2, dim=1).values[:, 1])
    return best, first[:, 0] + place, second
