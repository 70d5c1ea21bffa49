"""A head in tiles against its definition in float64, whatever the size and the row's trouble."""

import math

import pytest
import torch
from torch import Tensor, nn

from dllm_eval.samplers import head_tiles
from dllm_eval.samplers.head_tiles import TiledHead

WIDTH = 6


def head_of(vocab: int, *, bias: bool = True, dtype: torch.dtype = torch.float32) -> nn.Linear:
    generator = torch.Generator().manual_seed(vocab)
    head = nn.Linear(WIDTH, vocab, bias=bias).requires_grad_(requires_grad=False)
    head.weight.copy_(torch.randn(vocab, WIDTH, generator=generator))
    if bias:
        head.bias.copy_(torch.randn(vocab, generator=generator))
    return head.to(dtype)


def states_of(rows: int, copies: int = 1) -> Tensor:
    return torch.randn(copies, rows, WIDTH, generator=torch.Generator().manual_seed(rows))


def only(logits: Tensor, first: int) -> Tensor:
    del first
    return logits[0]


def slow(head: nn.Linear, state: Tensor) -> list[float]:
    """One row of logits, a product at a time."""
    bias = head.state_dict().get("bias", torch.zeros(head.out_features)).double().tolist()
    return [
        math.fsum(w * x for w, x in zip(row, state.double().tolist(), strict=True)) + added
        for row, added in zip(head.weight.double().tolist(), bias, strict=True)
    ]


def entropy_of(row: list[float]) -> tuple[float, float]:
    """Logsumexp and entropy, from the definitions."""
    normaliser = math.log(math.fsum(math.exp(x) for x in row))
    return normaliser, -math.fsum(math.exp(x - normaliser) * (x - normaliser) for x in row)


@pytest.mark.parametrize("bias", [True, False])
@pytest.mark.parametrize("rows", [1, 3, 11])
@pytest.mark.parametrize(("vocab", "size"), [(2, 1), (7, 3), (129, 4096), (300, 128), (2600, 2100)])
def test_every_number_is_that_of_the_definition(
    vocab: int, size: int, rows: int, bias: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(head_tiles, "TILE_COLUMNS", size)
    monkeypatch.setattr(head_tiles, "TILE_ROWS", 4)
    head, states = head_of(vocab, bias=bias), states_of(rows)
    found = TiledHead(head).reduce(states, finish=only, entropy=True, runner_up=True)
    assert found.entropy is not None
    assert found.runner_up is not None
    for at in range(rows):
        row = slow(head, states[0, at])
        ordered = sorted(row, reverse=True)
        normaliser, entropy = entropy_of(row)
        assert int(found.token[at]) == row.index(ordered[0])
        numbers = (found.best, found.runner_up, found.normaliser, found.entropy)
        told = [float(each[at]) for each in numbers]
        assert told == pytest.approx([*ordered[:2], normaliser, entropy], rel=1e-5, abs=1e-5)


def test_what_is_not_asked_for_is_not_computed() -> None:
    found = TiledHead(head_of(20)).reduce(states_of(3), finish=only)
    assert (found.entropy, found.runner_up) == (None, None)


def test_tiles_are_finished_from_left_to_right_with_every_copy(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(head_tiles, "TILE_COLUMNS", 8)
    monkeypatch.setattr(head_tiles, "TILE_ROWS", 6)
    head, states = head_of(20), states_of(5, copies=2)
    seen = []

    def difference(logits: Tensor, first: int) -> Tensor:
        seen.append((first, tuple(logits.shape)))
        return logits[0] - 2 * logits[1]

    found = TiledHead(head).reduce(states, finish=difference)
    assert seen == [
        (first, (2, rows, columns))
        for rows in (3, 2)
        for first, columns in ((0, 8), (8, 8), (16, 4))
    ]
    for at in range(5):
        pairs = zip(slow(head, states[0, at]), slow(head, states[1, at]), strict=True)
        row = [one - 2 * other for one, other in pairs]
        assert int(found.token[at]) == row.index(max(row))
        assert float(found.normaliser[at]) == pytest.approx(entropy_of(row)[0], rel=1e-5)


@pytest.mark.parametrize("value", [math.nan, math.inf])
@pytest.mark.parametrize("place", [0, 10, 19])
def test_a_row_without_a_usable_best_shows_it_and_its_neighbours_do_not(
    value: float, place: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(head_tiles, "TILE_COLUMNS", 8)

    def broken(logits: Tensor, first: int) -> Tensor:
        if first <= place < first + logits.shape[2]:
            logits[0, 1, place - first] = value
        return logits[0]

    found = TiledHead(head_of(20)).reduce(states_of(3), finish=broken, entropy=True, runner_up=True)
    assert found.entropy is not None
    assert found.best.isfinite().tolist() == [True, False, True]
    assert found.normaliser.isfinite().tolist() == [True, False, True]
    assert found.entropy.isfinite().tolist() == [True, False, True]


def test_forbidden_tiles_have_no_share_and_forbidden_rows_no_best(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(head_tiles, "TILE_COLUMNS", 8)
    head, states = head_of(20), states_of(2)

    def forbidden(logits: Tensor, first: int) -> Tensor:
        logits[0, 1] = -torch.inf
        if first != 8:
            logits[:] = -torch.inf
        return logits[0]

    found = TiledHead(head).reduce(states, finish=forbidden, entropy=True, runner_up=True)
    assert found.entropy is not None
    row = slow(head, states[0, 0])[8:16]
    assert int(found.token[0]) == 8 + row.index(max(row))
    told = [float(found.normaliser[0]), float(found.entropy[0])]
    assert told == pytest.approx(entropy_of(row), rel=1e-5)
    assert float(found.best[1]) == -math.inf
    assert not bool(found.normaliser[1].isfinite())
    assert bool(found.entropy[1].isnan())


def test_of_equals_the_lowest_id_wins_across_tiles(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(head_tiles, "TILE_COLUMNS", 4)
    head = head_of(16, bias=False)
    head.weight.copy_(torch.ones(16, WIDTH))
    states = states_of(4).abs()
    found = TiledHead(head).reduce(states, finish=only, runner_up=True)
    assert found.token.tolist() == [0] * 4
    assert found.runner_up is not None
    assert torch.equal(found.best, found.runner_up)


def test_half_precision_is_read_as_it_is() -> None:
    head, states = head_of(50, dtype=torch.bfloat16), states_of(3).bfloat16()
    found = TiledHead(head).reduce(states, finish=only)
    logits = head(states[0]).float()
    assert torch.equal(found.token, logits.argmax(dim=1))
    torch.testing.assert_close(found.normaliser, logits.logsumexp(dim=1))


def test_without_onednn_the_numbers_are_the_same(monkeypatch: pytest.MonkeyPatch) -> None:
    head, states = head_of(50), states_of(3)
    found = TiledHead(head).reduce(states, finish=only)
    monkeypatch.setattr(torch.backends.mkldnn, "is_available", lambda: False)
    plain = TiledHead(head).reduce(states, finish=only)
    assert torch.equal(found.token, plain.token)
    torch.testing.assert_close(found.normaliser, plain.normaliser)
