"""Batches of unequal lengths without their padding, against each request alone and slow loops.

A request alone has no padding and no neighbour, so it is the oracle of what a packed batch has to
give; where a row stands is stated again in plain loops.
"""

from collections.abc import Callable
from functools import cache

import pytest
import torch
from tiny_float64 import table_of, tiny_float64
from torch import Tensor, nn

from dllm_eval import packing as packing_module
from dllm_eval.denoiser import ModelDenoiser
from dllm_eval.packing import Packing

CPU = torch.device("cpu")
FAMILIES = ("llada", "dream", "mdlm")
SPANS = [(3, 9), (0, 9), (7, 8), (3, 9), (2, 12), (5, 9)]
LENGTH = 12
WANTED = [slice(0, LENGTH), slice(7, 9), slice(4, 20), slice(0, 1), slice(11, 12)]


@pytest.fixture(scope="module")
def tiny(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], ModelDenoiser]:
    """`tiny("dream")`: that family's tiny random checkpoint, in float64."""
    return cache(lambda writer: tiny_float64(writer, tmp_path_factory.mktemp(writer) / "tiny"))


def near(writer: str, found: Tensor, expected: Tensor) -> None:
    """The same up to rounding; MDLM's residual stream is float32, as published."""
    torch.testing.assert_close(found, expected, rtol=0, atol=1e-4 if writer == "mdlm" else 1e-10)


@pytest.mark.parametrize("shift", [0, 1, 2])
@pytest.mark.parametrize("spans", [SPANS, SPANS[:1], [(0, 4), (0, 4)], [(2, 5), (0, 9)]], ids=str)
def test_where_each_position_stands(spans: list[tuple[int, int]], shift: int) -> None:
    ids, _ = table_of(spans, LENGTH)
    own = Packing.of(spans, LENGTH, CPU)
    by_length = sorted(range(len(spans)), key=lambda row: spans[row][1] - spans[row][0])
    tokens: list[int] = []
    positions: list[int] = []
    stands: dict[tuple[int, int], int] = {}
    for row in by_length:
        for column in range(*spans[row]):
            stands[row, column] = len(tokens)
            tokens.append(int(ids[row, column]))
            positions.append(column - spans[row][0])
    assert own.packed(ids).tolist() == [tokens]
    assert own.positions.tolist() == [positions]
    assert own.num_positions == len(tokens)
    assert own.bounds.dtype == torch.int32
    for columns in WANTED:
        seen = range(*columns.indices(LENGTH))
        rows = own.rows_of(columns, shift)
        every = torch.tensor([list(seen)] * len(spans))
        assert own.rows_of(every, shift).tolist() == rows.tolist()
        states = torch.arange(len(tokens), dtype=torch.float64)[None, :, None]
        found = own.unpacked(states.index_select(1, rows[0]))[..., 0]
        assert found.shape == (len(spans), len(seen))
        for row, (start, stop) in enumerate(spans):
            for place, column in enumerate(seen):
                # Nothing is said of padding but that it names one of the request's own.
                read = min(max(column - shift, start), stop - 1)
                assert int(found[row, place]) == stands[row, read]


@pytest.mark.parametrize("writer", FAMILIES)
@pytest.mark.parametrize(
    "spans", [SPANS, [(0, 9), (8, 9)], [(0, LENGTH)], [(4, 5), (4, 5)]], ids=str
)
def test_packed_states_are_those_of_each_request_alone(
    writer: str, spans: list[tuple[int, int]], tiny: Callable[[str], ModelDenoiser]
) -> None:
    model = tiny(writer)
    ids, valid = table_of(spans, LENGTH)
    own = Packing.of(spans, LENGTH, CPU)
    for rows in WANTED:
        seen = range(*rows.indices(LENGTH))
        found = model.head(model.states(ids, rows=rows, packing=own))
        padded = model.logits(ids, valid=valid, rows=slice(seen.start, seen.stop))
        at = torch.tensor([list(seen)[::-1]] * len(spans))
        turned = model.head(model.states(ids, at=at, packing=own))
        for row, (start, stop) in enumerate(spans):
            alone = model.logits(ids[row : row + 1, start:stop])[0]
            for place, column in enumerate(seen):
                if start <= column < stop:
                    near(writer, found[row, place], alone[column - start])
                    near(writer, found[row, place], padded[row, place])
                    near(writer, turned[row, -1 - place], found[row, place])


def leaks(model: ModelDenoiser) -> bool:
    """Whether one request's tokens are seen by another one."""
    ids, _ = table_of(SPANS, LENGTH)
    own = Packing.of(SPANS, LENGTH, CPU)
    before = model.states(ids, packing=own)
    found = False
    for changed, (start, stop) in enumerate(SPANS):
        others = [row for row in range(len(SPANS)) if row != changed]
        twin = ids.clone()
        twin[changed, start:stop] += 1
        after = model.states(twin, packing=own)
        assert not torch.equal(after[changed], before[changed])
        found |= not torch.equal(after[others], before[others])
    return found


@pytest.mark.parametrize("writer", FAMILIES)
def test_no_request_sees_another_one(writer: str, tiny: Callable[[str], ModelDenoiser]) -> None:
    assert not leaks(tiny(writer))


def test_a_planted_leak_is_found(
    tiny: Callable[[str], ModelDenoiser], monkeypatch: pytest.MonkeyPatch
) -> None:
    plain = packing_module._side_by_side

    def shifted(table: Tensor, first: int, count: int, length: int) -> Tensor:
        """A key of the request before in the first one's place."""
        return plain(table, max(first - 1, 0), count, length)

    monkeypatch.setattr(packing_module, "_side_by_side", shifted)
    assert leaks(tiny("llada"))


@pytest.mark.parametrize("writer", FAMILIES)
def test_layers_are_given_what_is_no_padding_and_nothing_else(
    writer: str, tiny: Callable[[str], ModelDenoiser]
) -> None:
    model = tiny(writer)
    ids, _ = table_of(SPANS, LENGTH)
    own = Packing.of(SPANS, LENGTH, CPU)
    met: dict[str, int] = {}

    def note(name: str) -> Callable[..., None]:
        def hook(module: nn.Module, given: tuple[Tensor, ...], out: Tensor) -> None:
            del module, out
            met[name] = given[0].shape[:-1].numel()

        return hook

    linear = {
        name: module
        for name, module in model.body.named_modules()
        if isinstance(module, nn.Linear) and not name.endswith("modulation")
    }
    inner = {name: module for name, module in linear.items() if "layers." in name}
    handles = [module.register_forward_hook(note(name)) for name, module in inner.items()]
    model.states(ids, rows=slice(7, 9), packing=own)
    for handle in handles:
        handle.remove()
    last = max(int(name.split("layers.")[1].split(".")[0]) for name in met)
    total = sum(stop - start for start, stop in SPANS)
    in_last = {count for name, count in met.items() if f"layers.{last}." in name}
    before = {count for name, count in met.items() if f"layers.{last}." not in name}
    assert before == {total}
    assert 2 * len(SPANS) in in_last <= {total, 2 * len(SPANS)}
