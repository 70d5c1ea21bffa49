"""`row_statistics` on a CUDA device: each row of logits is read once, by one program.

The same numbers as the torch version there, to rounding. Only `row_statistics.py` imports it, and
only for a CUDA tensor, because Triton exists nowhere else.
"""

# mypy: disable-error-code="import-not-found,import-untyped,no-untyped-def,untyped-decorator"

import torch
import triton
import triton.language as tl
from torch import Tensor

from dllm_eval.samplers.row_statistics import RowStatistics

COLUMNS = 4096
"""Columns that a program reads at once; fewer where the vocabulary is smaller."""

WARPS = 8


def reduce_rows(rows: Tensor, *, entropy: bool, runner_up: bool) -> RowStatistics:
    """Reduces (rows, vocab) logits; see `row_statistics.row_statistics`."""
    num_rows, vocab = rows.shape
    if rows.stride(1) != 1:
        rows = rows.contiguous()
    numbers = torch.empty(4, num_rows, device=rows.device, dtype=torch.float32)
    token = torch.empty(num_rows, device=rows.device, dtype=torch.int64)
    if num_rows:
        _reduce[(num_rows,)](
            rows,
            numbers,
            token,
            vocab,
            rows.stride(0),
            num_rows,
            ENTROPY=entropy,
            RUNNER_UP=runner_up,
            COLUMNS=min(COLUMNS, triton.next_power_of_2(vocab)),
            num_warps=WARPS,
            # Triton's default of today, said aloud: 3.9 warns of unset, and 3.10 changes it.
            enable_fp_fusion=True,
        )
    return RowStatistics(
        best=numbers[0],
        token=token,
        probability=(numbers[0] - numbers[1]).exp(),
        entropy=numbers[2] if entropy else None,
        runner_up=numbers[3] if runner_up else None,
    )


@triton.jit
def _reduce(  # noqa: ANN202, PLR0913 - a kernel has no types, and every argument is a register
    logits,  # noqa: ANN001
    numbers,  # noqa: ANN001
    token,  # noqa: ANN001
    vocab,  # noqa: ANN001
    stride,  # noqa: ANN001
    num_rows,  # noqa: ANN001
    ENTROPY: tl.constexpr,  # noqa: N803
    RUNNER_UP: tl.constexpr,  # noqa: N803
    COLUMNS: tl.constexpr,  # noqa: N803
):
    row = tl.program_id(0)
    start = logits + row.to(tl.int64) * stride
    lanes = tl.arange(0, COLUMNS)
    first = tl.full((COLUMNS,), -float("inf"), tl.float32)  # each lane's largest, and its second
    second = tl.full((COLUMNS,), -float("inf"), tl.float32)
    share = tl.zeros((COLUMNS,), tl.float32)  # sums of e^(x - top), and of (x - top) e^(x - top)
    weighted = tl.zeros((COLUMNS,), tl.float32)
    top = tl.full((), -float("inf"), tl.float32)
    best_at = tl.full((), 0, tl.int32)
    for at in range(0, vocab, COLUMNS):
        x = tl.load(start + at + lanes, mask=at + lanes < vocab, other=-float("inf"))
        x = x.to(tl.float32)
        number = tl.where(x != x, -float("inf"), x)
        if RUNNER_UP:
            second = tl.maximum(second, tl.minimum(first, number))
            first = tl.maximum(first, number)
        here = tl.max(number, 0)
        best_at = tl.where(here > top, at, best_at)  # the first of equals stays
        above = tl.maximum(top, here)
        zero = tl.where(above == -float("inf"), 0.0, above)  # -inf minus -inf is no number
        below = x - zero  # where x is no number, `share` is none from here on
        part = tl.exp(below)
        shrink = tl.exp(top - zero)
        if ENTROPY:
            fall = tl.where(top == -float("inf"), 0.0, top - zero)
            weighted = shrink * (weighted + fall * share) + part * tl.maximum(below, -200.0)
        share = shrink * share + part
        top = above
    x = tl.load(start + best_at + lanes, mask=best_at + lanes < vocab, other=-float("inf"))
    place = tl.min(tl.where(x.to(tl.float32) == top, lanes, COLUMNS), 0)
    tl.store(token + row, tl.where(place < COLUMNS, best_at + place, 0).to(tl.int64))
    total = tl.sum(share, 0)
    zero = tl.where(top == -float("inf"), 0.0, top)
    # An infinite best is as unusable as no number, and says which it was.
    best = tl.where((total != total) & (top < float("inf")), float("nan"), top)
    tl.store(numbers + row, best)
    tl.store(numbers + num_rows + row, tl.log(total) + zero)
    if ENTROPY:
        spread = tl.log(total) - tl.sum(weighted, 0) / total
        tl.store(numbers + 2 * num_rows + row, spread)
    if RUNNER_UP:
        winners = tl.sum((first == top).to(tl.int32), 0)
        others = tl.max(tl.where(first == top, -float("inf"), first), 0)
        runner_up = tl.maximum(others, tl.max(second, 0))
        tl.store(numbers + 3 * num_rows + row, tl.where(winners > 1, top, runner_up))
