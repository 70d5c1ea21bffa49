"""Passes that run out of memory: halved, nothing lost or held, and one line where hopeless."""

import weakref
from collections.abc import Callable
from dataclasses import replace
from math import log2
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from checkpoints import d3pm, diffusion_lm, plaid, sedd
from small_transformer import TOKENS, small_model

from dllm_eval.errors import UsageError
from dllm_eval.families import Attention
from dllm_eval.likelihood import LikelihoodConfig, score
from dllm_eval.likelihood.batch import Request
from dllm_eval.likelihood.budget import Budget, OneRow, is_out_of_memory
from dllm_eval.likelihood.core import log_prob_tables
from dllm_eval.likelihood.pair import Pair
from dllm_eval.likelihood.question import Question
from dllm_eval.loading import load_model

CONFIG = LikelihoodConfig(samples=9, max_enumeration=4, tokens_per_forward=4096)
ERRORS: dict[str, Callable[[], Exception]] = {
    "cuda": lambda: torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB."),
    "cpu": lambda: RuntimeError(
        "[enforce fail at alloc_cpu.cpp:127] err == 0. DefaultCPUAllocator:"
        " can't allocate memory: you tried to allocate 9 bytes. Error code 12"
    ),
    "mps": lambda: RuntimeError("MPS backend out of memory (MPS allocated: 9 GB)"),
    "python": MemoryError,
}


class Little:
    """A denoiser with room for so many rows of a pass; what a failed pass made is watched."""

    def __init__(self, inner: Any, rows: int, error: Callable[[], Exception]) -> None:
        self.inner, self.rows, self.error = inner, rows, error
        self.family, self.device, self.vocab_size = inner.family, inner.device, inner.vocab_size
        self.failures = 0
        self.passes: list[int] = []
        self.watched: list[weakref.ref[torch.Tensor]] = []

    def logits(self, token_ids: torch.Tensor, **keywords: Any) -> torch.Tensor:
        assert all(each() is None for each in self.watched), "a failed pass is still in memory"
        if len(token_ids) > self.rows:
            scratch = torch.zeros(3)
            self.watched.append(weakref.ref(scratch))
            self.failures += 1
            raise self.error()
        self.passes.append(len(token_ids))
        out: torch.Tensor = self.inner.logits(token_ids, **keywords)
        return out


def random_pairs() -> list[tuple[list[int], list[int]]]:
    generator = np.random.default_rng(5)
    lengths = [(6, 9), (0, 3), (11, 3), (1, 8), (6, 7), (6, 9), (20, 1)]
    return [
        (generator.integers(3, size=a).tolist(), generator.integers(3, size=b).tolist())
        for a, b in lengths
    ]


@pytest.mark.parametrize("error", ERRORS)
@pytest.mark.parametrize("rows", [1, 3, 16])
def test_a_batch_is_halved_and_nothing_is_lost(tabular: Any, error: str, rows: int) -> None:
    pairs = random_pairs()
    whole = score(tabular, pairs, CONFIG)
    tabular.canvases.clear()
    little: Any = Little(tabular, rows, ERRORS[error])
    assert score(little, pairs, CONFIG) == whole
    assert sum(little.passes) == len(tabular.canvases) == sum(result.nfe for result in whole)
    # The first pass had 4096 // 21 rows: each failure halves what is tried, for the whole call.
    assert 1 <= little.failures <= log2(4096 // 21 / rows) + 1


@pytest.mark.parametrize("rows", [1, 2, 5])
@pytest.mark.parametrize("attention", ["block_causal", "causal_context"])
def test_prefixes_that_do_not_fit_side_by_side_are_halved_too(
    attention: Attention, rows: int
) -> None:
    model = small_model(attention, block_length=4, logits_shift=1)
    generator = np.random.default_rng(2)
    contexts = [generator.integers(TOKENS, size=7).tolist() for _ in range(3)]
    targets = [generator.integers(TOKENS, size=7).tolist() for _ in range(3)]
    pairs = [(context, target) for context in contexts for target in targets]
    questions = [Question(pairs=(i, i + 1, i + 2)) for i in range(0, 9, 3)]
    config = replace(CONFIG, samples=5, check_greedy=True)
    whole = score(model, pairs, config, questions=questions)
    little: Any = Little(model, rows, ERRORS["cuda"])
    found = score(little, pairs, config, questions=questions)
    for one, other in zip(found, whole, strict=True):
        assert one.value == pytest.approx(other.value, abs=1e-5)
        assert (one.nfe, one.positions) == (other.nfe, other.positions)
    assert little.failures >= 1
    assert sum(little.passes) >= sum(result.nfe for result in whole)


WRITERS = {"sedd": sedd, "d3pm": d3pm, "plaid": plaid, "diffusion_lm": diffusion_lm}


@pytest.mark.parametrize("name", WRITERS)
def test_bounds_of_other_families_are_halved_too(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = WRITERS[name].write(tmp_path / name)
    family = "sedd" if name == "sedd" else "auto"
    model: Any = load_model(str(folder), family=family, dtype="float32", device="cpu")
    pairs = [([9, 8, 7], [10, 11, 12]), ([9], [13, 14, 15, 16, 17])]
    config = LikelihoodConfig(samples=6)
    whole = score(model, pairs, config)
    method = "predict" if hasattr(model, "predict") else "logits"
    plain, failures = getattr(model, method), []

    def little(token_ids: torch.Tensor, **keywords: Any) -> Any:
        if len(token_ids) > 2:
            failures.append(len(token_ids))
            raise ERRORS["cuda"]()
        return plain(token_ids, **keywords)

    monkeypatch.setattr(model, method, little)
    found = score(model, pairs, config)
    for one, other in zip(found, whole, strict=True):
        assert one.value == pytest.approx(other.value, rel=1e-4)
        assert (one.nfe, one.positions) == (other.nfe, other.positions)
    assert 1 <= len(failures) <= log2(failures[0])


def test_one_canvas_that_does_not_fit_is_one_line(tabular: Any) -> None:
    little: Any = Little(tabular, 0, ERRORS["cuda"])
    with pytest.raises(UsageError) as error:
        score(little, random_pairs(), CONFIG)
    assert str(error.value) == (
        "one canvas of 21 positions does not fit into memory; accepted: a lower max_length or"
        " tokens_per_forward, a narrower dtype (such as bfloat16), or a device with more free"
        " memory"
    )
    # 51 rows, then 25, 12, 6, 3 and 1.
    assert little.failures == 6


def test_other_errors_of_a_pass_stay_what_they_are(tabular: Any) -> None:
    little: Any = Little(tabular, 2, lambda: RuntimeError("mat1 and mat2 shapes do not match"))
    with pytest.raises(RuntimeError, match="mat1 and mat2"):
        score(little, random_pairs(), CONFIG)
    assert little.failures == 1


def test_calls_that_share_a_budget_fail_once(tabular: Any) -> None:
    pair = Pair(token_ids=np.array([1, 0, 2, 1, 0, 2]), target_length=4)
    masks = np.array([[bool(code >> i & 1) for i in range(4)] for code in range(1, 16)])
    little: Any = Little(tabular, 4, ERRORS["cpu"])
    budget = Budget(4096)
    for _ in range(3):
        (answer,) = log_prob_tables(little, [Request(pair=pair, masks=masks)], budget)
        assert (answer.nfe, answer.table.shape) == (15, (15, 4))
    assert little.failures == 2  # 15 rows and 7
    assert little.passes == [3, 3, 3, 3, 3] * 3
    assert budget.tokens == 3 * 6


class Item(OneRow):
    def __init__(self, width: int) -> None:
        self.width = width


def test_padding_counts_and_one_row_always_runs() -> None:
    widths = [9, 4, 4, 1, 30, 2, 2, 2, 2, 2, 2]
    taken = [
        [item.width for item in some]
        for some, _ in Budget(12).run(map(Item, widths), lambda some: len(some))
    ]
    assert taken == [[9], [4, 4, 1], [30], [2, 2, 2, 2, 2, 2]]


def test_the_host_s_own_allocator_is_recognised() -> None:
    with pytest.raises(RuntimeError) as error:
        torch.empty(2**50)
    assert is_out_of_memory(error.value)
    with pytest.raises(RuntimeError) as error:
        torch.zeros(2) @ torch.zeros(3)
    assert not is_out_of_memory(error.value)
