"""One pass over the vocabulary against a slow statement of it in float64, torch and Triton alike.

Triton's interpreter runs the kernel on a CPU, in a process of its own because it has to be chosen
before Triton is imported; where Triton is not installed, that test is skipped. Where there is a
device, its own kernel is compared.
"""

import math
import os
import subprocess
import sys
from importlib.util import find_spec

import pytest
import torch
from torch import Tensor

from dllm_eval.samplers import row_statistics as module
from dllm_eval.samplers.row_statistics import (
    RowStatistics,
    join,
    join_columns,
    row_statistics,
)

VOCABULARIES = (1, 2, 7, 300, 511, 512, 513, 2048, 2049, 4096, 5003, 8192, 12345)


def oracle(row: list[float]) -> tuple[float, int, float, float, float]:
    """Largest, its first place, logsumexp, entropy, second largest; from the definitions."""
    best = max(row)
    if best == -math.inf:
        return best, 0, -math.inf, math.nan, best
    normaliser = best + math.log(math.fsum(math.exp(x - best) for x in row))
    entropy = -math.fsum(math.exp(x - normaliser) * (x - normaliser) for x in row if x > best - 700)
    place = row.index(best)
    rest = row[:place] + row[place + 1 :]
    return best, place, normaliser, entropy, max(rest, default=-math.inf)


def agree(found: RowStatistics, logits: Tensor) -> None:
    assert found.entropy is not None
    assert found.runner_up is not None
    assert found.token.dtype == torch.int64
    rows = logits.float().cpu().reshape(-1, logits.shape[-1]).tolist()
    expected = [oracle(row) for row in rows]
    columns = [
        torch.tensor(column, dtype=torch.float64).view(logits.shape[:-1])
        for column in zip(*expected, strict=True)
    ]
    best, token, normaliser, entropy, second = columns
    assert torch.equal(found.best.cpu().double(), best)
    assert torch.equal(found.runner_up.cpu().double(), second)
    usable = best > -math.inf
    assert torch.equal(found.token.cpu()[usable], token.long()[usable])
    assert not found.normaliser.cpu()[~usable].isfinite().any()
    for one, other in (
        (found.normaliser.cpu()[usable], normaliser[usable]),
        (found.entropy, entropy),
    ):
        torch.testing.assert_close(one.cpu().double(), other, rtol=1e-6, atol=1e-5, equal_nan=True)


def logits_of(vocab: int, dtype: torch.dtype, *, seed: int = 0) -> Tensor:
    """(2, 4, vocab): smooth, peaked, many ties, and forbidden ids."""
    generator = torch.Generator().manual_seed(seed)
    logits = torch.randn(2, 4, vocab, generator=generator) * 4
    logits[0, 1] *= 10
    logits[0, 2] = logits[0, 2].round()
    logits[0, 3] = 2.5
    logits[1, 0, :: max(1, vocab // 3)] = -torch.inf
    logits[1, 1, : vocab - 1] = -torch.inf
    logits[1, 2] = -torch.inf
    logits[1, 3] += 1000
    return logits.to(dtype)


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16, torch.float16], ids=str)
@pytest.mark.parametrize("vocab", VOCABULARIES)
def test_every_number_is_that_of_the_definition(vocab: int, dtype: torch.dtype) -> None:
    logits = logits_of(vocab, dtype)
    kept = logits.clone()
    agree(row_statistics(logits, entropy=True, runner_up=True), logits)
    assert torch.equal(logits, kept)


def test_what_is_not_asked_for_is_not_computed() -> None:
    found = row_statistics(torch.randn(3, 9))
    assert found.entropy is None
    assert found.runner_up is None


@pytest.mark.parametrize("vocab", [300, 5003])
def test_many_rows_are_worked_on_in_chunks_with_the_same_results(
    vocab: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    logits = torch.randn(37, vocab, generator=torch.Generator().manual_seed(1))
    monkeypatch.setattr(module, "CACHED_ELEMENTS", 5 * vocab // torch.get_num_threads() + 1)
    agree(row_statistics(logits, entropy=True, runner_up=True), logits)
    halves = [row_statistics(half) for half in torch.split(logits, 20)]
    assert torch.equal(join(halves).token, row_statistics(logits).token)


@pytest.mark.parametrize("size", [1, 300, 5003, 9000])
@pytest.mark.parametrize("vocab", [7, 12345])
def test_columns_in_parts_have_the_same_statistics(vocab: int, size: int) -> None:
    logits = logits_of(vocab, torch.float32)
    logits[1, 3] -= 1000  # shares of parts are as exact as the normalisers, which are rounded
    if vocab // size > 100:
        logits = logits[..., :60]
    starts = range(0, logits.shape[-1], size)
    parts = [
        row_statistics(
            logits[..., at : at + size].reshape(8, -1).clone(),
            entropy=True,
            runner_up=True,
            overwrite=True,
        )
        for at in starts
    ]
    agree(join_columns(parts, starts), logits.reshape(8, -1))


def test_overwritten_logits_give_the_same_numbers() -> None:
    for vocab in VOCABULARIES:
        logits = logits_of(vocab, torch.float32)
        kept = logits.clone()
        agree(row_statistics(logits, entropy=True, runner_up=True, overwrite=True), kept)


def test_rows_that_do_not_lie_side_by_side() -> None:
    logits = torch.randn(600, 5, generator=torch.Generator().manual_seed(1)).T[::2]
    agree(row_statistics(logits, entropy=True, runner_up=True), logits)


@pytest.mark.parametrize("value", [math.nan, math.inf])
@pytest.mark.parametrize("vocab", [7, 5003])
@pytest.mark.parametrize("place", [0, 5])
def test_a_row_without_a_usable_best_shows_it_and_its_neighbours_do_not(
    value: float, vocab: int, place: int
) -> None:
    logits = torch.randn(3, vocab, generator=torch.Generator().manual_seed(1))
    logits[1, place] = value
    found = row_statistics(logits, entropy=True, runner_up=True)
    assert found.best.isfinite().tolist() == [True, False, True]
    assert found.normaliser.isfinite().tolist()[::2] == [True, True]


def test_an_empty_set_of_rows() -> None:
    found = row_statistics(torch.empty(0, 5003), entropy=True, runner_up=True)
    assert found.best.shape == found.token.shape == (0,)


def check_kernel(device: str) -> None:
    """The kernel itself, without the choice by device."""
    from dllm_eval.samplers.row_statistics_triton import reduce_rows

    for vocab in VOCABULARIES:
        for dtype in (torch.float32, torch.bfloat16, torch.float16):
            rows = logits_of(vocab, dtype).view(8, vocab).to(device)
            agree(reduce_rows(rows, entropy=True, runner_up=True), rows)
            alone = reduce_rows(rows, entropy=False, runner_up=False)
            both = reduce_rows(rows, entropy=True, runner_up=True)
            assert torch.equal(alone.best, both.best)
            assert torch.equal(alone.token, both.token)
            assert (alone.entropy, alone.runner_up) == (None, None)
    strided = torch.randn(5003, 6, device=device).T
    agree(reduce_rows(strided, entropy=True, runner_up=True), strided)
    padded = torch.randn(6, 6000, device=device)[:, :5003]
    agree(reduce_rows(padded, entropy=True, runner_up=True), padded)
    for value in (math.nan, math.inf):
        for place in (0, 300, 5002):
            rows = torch.randn(3, 5003, device=device)
            rows[1, place] = value
            found = reduce_rows(rows, entropy=True, runner_up=True)
            assert found.best.isfinite().tolist() == [True, False, True]
    assert reduce_rows(padded[:0], entropy=True, runner_up=True).best.shape == (0,)


@pytest.mark.skipif(find_spec("triton") is None, reason="Triton is not installed")
def test_the_kernel_under_tritons_interpreter() -> None:
    code = (
        "import runpy, warnings; warnings.simplefilter('ignore'); "
        f"runpy.run_path({__file__!r})['check_kernel']('cpu')"
    )
    environment = {**os.environ, "TRITON_INTERPRET": "1", "CUDA_VISIBLE_DEVICES": ""}
    done = subprocess.run(
        [sys.executable, "-c", code], env=environment, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr


@pytest.mark.gpu
@pytest.mark.filterwarnings("ignore:TRITON_DEFAULT_FP_FUSION")  # Triton 3.9 on its next version
def test_the_kernel_on_the_device() -> None:
    check_kernel("cuda")
    logits = logits_of(126464, torch.bfloat16).cuda()
    agree(row_statistics(logits, entropy=True, runner_up=True), logits)


@pytest.mark.gpu
def test_torch_on_the_device_gives_the_same(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "_has_triton", lambda: False)
    logits = logits_of(12345, torch.bfloat16).cuda()
    agree(row_statistics(logits, entropy=True, runner_up=True), logits)
