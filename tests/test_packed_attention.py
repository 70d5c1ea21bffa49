"""Attention within each request of a packed batch, in one call or one for each length.

Against loops over single requests, queries and heads; `varlen_attn`, which runs on CUDA alone, is
replaced by its documentation written out in loops.
"""

import math
from collections.abc import Callable, Sequence
from functools import cache
from importlib import import_module
from pathlib import Path

import pytest
import torch
from tiny_float64 import table_of, tiny_float64
from torch import Tensor

from dllm_eval import packing as packing_module
from dllm_eval.denoiser import ModelDenoiser
from dllm_eval.loading import load_model
from dllm_eval.packing import Packing, attend_packed, has_varlen
from dllm_eval.samplers.packed import packing_of

CPU = torch.device("cpu")
FAMILIES = ("llada", "dream", "mdlm")
SPANS = [(3, 9), (0, 9), (7, 8), (3, 9), (2, 12), (5, 9)]
LENGTH = 12


@pytest.fixture(scope="module")
def tiny(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], ModelDenoiser]:
    """`tiny("dream")`: that family's tiny random checkpoint, in float64."""
    return cache(lambda writer: tiny_float64(writer, tmp_path_factory.mktemp(writer) / "tiny"))


def near(writer: str, found: Tensor, expected: Tensor) -> None:
    """The same up to rounding; MDLM's residual stream is float32, as published."""
    torch.testing.assert_close(found, expected, rtol=0, atol=1e-4 if writer == "mdlm" else 1e-10)


def slow_attention(query: Tensor, key: Tensor, value: Tensor, scaling: float) -> Tensor:
    """(heads, queries, width): one request, one query and one head at a time."""
    out = torch.empty_like(query)
    shared = query.shape[0] // key.shape[0]
    for head in range(query.shape[0]):
        for place in range(query.shape[1]):
            scores = [
                float((query[head, place] * one).sum()) * scaling for one in key[head // shared]
            ]
            most = max(scores)
            weights = [math.exp(score - most) for score in scores]
            mixed = sum(
                (w * one for w, one in zip(weights, value[head // shared], strict=True)),
                start=torch.zeros_like(value[0, 0]),
            )
            out[head, place] = mixed / sum(weights)
    return out


def random_parts(*heads: int, positions: Sequence[int], width: int) -> list[Tensor]:
    generator = torch.Generator().manual_seed(1)
    return [
        torch.randn(1, count, length, width, generator=generator, dtype=torch.float64)
        for count, length in zip(heads, positions, strict=True)
    ]


@pytest.mark.parametrize("asked", [None, 1, 2])
@pytest.mark.parametrize(("heads", "key_heads"), [(4, 4), (4, 2)])
@pytest.mark.parametrize("scaling", [None, 0.3])
def test_attention_stays_within_each_request(
    asked: int | None, heads: int, key_heads: int, scaling: float | None
) -> None:
    own = Packing.of(SPANS, LENGTH, CPU)
    looking = own if asked is None else own.asking(asked * len(SPANS))
    total = own.num_positions
    queries = total if asked is None else asked * len(SPANS)
    query, key, value = random_parts(
        heads, key_heads, key_heads, positions=(queries, total, total), width=8
    )
    found = attend_packed(query, key, value, packing=looking, scaling=scaling)
    first = first_query = 0
    for length in own.lengths:
        here = slice(first, first + length)
        asks = slice(first_query, first_query + (asked or length))
        first, first_query = here.stop, asks.stop
        expected = slow_attention(
            query[0, :, asks], key[0, :, here], value[0, :, here], scaling or 8**-0.5
        )
        torch.testing.assert_close(found[0, :, asks], expected, rtol=0, atol=1e-12)


def slow_varlen(
    query: Tensor,
    key: Tensor,
    value: Tensor,
    cu_seq_q: Tensor,
    cu_seq_k: Tensor,
    max_q: int,
    max_k: int,
    *,
    scale: float | None = None,
    enable_gqa: bool = False,
    num_splits: int | None = None,
) -> Tensor:
    """`varlen_attn` as torch 2.13 documents it, in loops; what it would not take is an error."""
    assert cu_seq_q.dtype == cu_seq_k.dtype == torch.int32
    assert len(cu_seq_q) == len(cu_seq_k)
    assert (int(cu_seq_q[0]), int(cu_seq_k[0])) == (0, 0)
    assert (int(cu_seq_q[-1]), int(cu_seq_k[-1])) == (query.shape[0], key.shape[0])
    assert key.shape == value.shape
    assert query.shape[2] == key.shape[2]
    assert enable_gqa == (query.shape[1] != key.shape[1])
    assert max_q == int(cu_seq_q.diff().max())
    assert max_k == int(cu_seq_k.diff().max())
    assert num_splits == 1  # or a request's answer hangs on its neighbours
    out = torch.empty_like(query)
    for index in range(len(cu_seq_q) - 1):
        asks = slice(int(cu_seq_q[index]), int(cu_seq_q[index + 1]))
        seen = slice(int(cu_seq_k[index]), int(cu_seq_k[index + 1]))
        own = [part.transpose(0, 1) for part in (query[asks], key[seen], value[seen])]
        scaling = query.shape[2] ** -0.5 if scale is None else scale
        out[asks] = slow_attention(own[0], own[1], own[2], scaling).transpose(0, 1)
    return out


@pytest.mark.parametrize("writer", FAMILIES)
def test_one_call_for_unequal_lengths_is_given_what_its_documentation_asks_for(
    writer: str, tiny: Callable[[str], ModelDenoiser], monkeypatch: pytest.MonkeyPatch
) -> None:
    model = tiny(writer)
    ids, _ = table_of(SPANS, LENGTH)
    own = Packing.of(SPANS, LENGTH, CPU)
    rows = [slice(7, 9), slice(0, LENGTH)]
    expected = [model.states(ids, rows=some, packing=own) for some in rows]
    asked: list[tuple[torch.device, torch.dtype, int]] = []

    def always(device: torch.device, dtype: torch.dtype, head_width: int) -> bool:
        asked.append((device, dtype, head_width))
        return True

    monkeypatch.setattr(packing_module, "has_varlen", always)
    monkeypatch.setattr(packing_module, "_VARLEN", slow_varlen)
    for some, states in zip(rows, expected, strict=True):
        near(writer, model.states(ids, rows=some, packing=own), states)
    assert len(asked) == 2 * 2  # once for each layer of each pass
    assert {head_width for _, _, head_width in asked} == {8}


@pytest.mark.parametrize(
    ("device", "dtype", "head_width"),
    [
        ("cpu", torch.bfloat16, 64),
        ("cuda", torch.float32, 64),
        ("cuda", torch.bfloat16, 264),
        ("cuda", torch.bfloat16, 20),
    ],
)
def test_where_there_is_no_one_call(device: str, dtype: torch.dtype, head_width: int) -> None:
    assert not has_varlen(torch.device(device), dtype, head_width)


@pytest.mark.parametrize(
    ("capability", "keywords", "has"), [((9, 0), True, True), ((7, 5), True, False)]
)
def test_one_call_needs_the_hardware_and_its_keywords(
    capability: tuple[int, int], keywords: bool, has: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(packing_module, "_capability", lambda _: capability)
    monkeypatch.setattr(packing_module, "_takes_all_keywords", lambda: keywords)
    assert has_varlen(torch.device("cuda"), torch.bfloat16, 64) is has
    monkeypatch.setattr(packing_module, "_takes_all_keywords", lambda: False)
    assert not has_varlen(torch.device("cuda"), torch.bfloat16, 64)


@pytest.mark.gpu
@pytest.mark.parametrize("dtype", ["bfloat16", "float16"])
@pytest.mark.parametrize("writer", ["llada", "dream"])
def test_on_cuda_one_call_gives_what_each_request_has_alone(
    writer: str, dtype: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import_module(f"checkpoints.{writer}").write(tmp_path / "tiny")
    model = load_model(str(tmp_path / "tiny"), device="cuda", dtype=dtype)
    assert isinstance(model, ModelDenoiser)
    assert has_varlen(model.device, model.dtype, 8)
    ids, _ = table_of(SPANS, LENGTH)
    ids = ids.cuda()
    torch.cuda.set_sync_debug_mode("error")
    try:
        own = packing_of(model, SPANS, LENGTH)
        assert own is not None
        found = model.states(ids, packing=own)
    finally:
        torch.cuda.set_sync_debug_mode("default")
    monkeypatch.setattr(packing_module, "has_varlen", lambda *_: False)
    by_length = model.states(ids, packing=own)
    for row, (start, stop) in enumerate(SPANS):
        expected = model.states(ids[row : row + 1, start:stop])[0].float()
        scale = float(expected.abs().max())
        for states in (found, by_length):
            difference = (states[row, start:stop].float() - expected).abs().max()
            assert float(difference) < 0.05 * scale
