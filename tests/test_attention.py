"""Attention patterns against each rule in plain loops, and the cache against none."""

from itertools import product

import pytest
import torch
from torch import Tensor

from dllm_eval.attention import KeyValues, attend, attention_mask
from dllm_eval.families import Attention, Family

MASK = 9
BLOCK = 3
LENGTHS = {"none": (8, 8, 8), "left": (8, 6, 4), "right": (8, 6, 3)}


def family(attention: Attention) -> Family:
    return Family(
        name="test",
        mask_id=MASK,
        eos_id=0,
        pad_id=0,
        attention=attention,
        block_length=BLOCK,
        context_length=64,
    )


def may_look(kind: Attention, ids: list[int], query: int, key: int, rows: set[int]) -> bool:
    """Whether place `query` of an unpadded request sees place `key`, by the rule's own words."""
    if kind == "full":
        return True
    if kind == "block_causal":
        return key // BLOCK <= query // BLOCK
    if kind == "causal_context":
        return key <= query or query in rows
    order = [i for i, t in enumerate(ids) if t != MASK] + [
        i for i, t in enumerate(ids) if t == MASK
    ]
    return order.index(key) <= order.index(query)


def batch(padding: str) -> tuple[list[list[int]], Tensor, Tensor | None, list[int]]:
    generator = torch.Generator().manual_seed(1)
    requests = [
        torch.randint(1, MASK + 1, (length,), generator=generator).tolist()
        for length in LENGTHS[padding]
    ]
    width = max(LENGTHS[padding])
    ids, valid, offsets = [], [], []
    for request in requests:
        free = [0] * (width - len(request))
        left = padding == "left"
        ids.append(free + request if left else request + free)
        own = [True] * len(request)
        hidden = [False] * len(free)
        valid.append(hidden + own if left else own + hidden)
        offsets.append(len(free) if left else 0)
    return requests, torch.tensor(ids), None if padding == "none" else torch.tensor(valid), offsets


@pytest.mark.parametrize("padding", LENGTHS)
@pytest.mark.parametrize("kind", ["full", "block_causal", "causal_context", "reordered"])
@pytest.mark.parametrize("columns", [slice(0, 8), slice(0, 6), slice(3, 8)])
def test_every_position_sees_what_its_family_lets_it_see(
    kind: Attention, padding: str, columns: slice
) -> None:
    requests, ids, valid, offsets = batch(padding)
    rows = slice(max(columns.stop - BLOCK, columns.start), columns.stop)
    found = attention_mask(family(kind), ids, valid=valid, columns=columns, rows=rows)
    if found is not None:
        assert bool(found.any(dim=-1).all())  # no row is empty
        found = found.expand(-1, -1, columns.stop - columns.start, -1)
    for row, (request, offset) in enumerate(zip(requests, offsets, strict=True)):
        seen = range(columns.stop)
        places = [c - offset if 0 <= c - offset < len(request) else None for c in seen]
        shown = [request[place] for place in places if place is not None]
        wanted = {places[column] for column in range(rows.start, rows.stop)} - {None}
        for query, key in product(range(columns.start, columns.stop), seen):
            asking, asked = places[query], places[key]
            if asking is None:
                continue  # what padding sees does not matter
            own = asked is not None and may_look(
                kind, shown, asking, asked, {place for place in wanted if place is not None}
            )
            given = (
                True
                if found is None
                else bool(found[row if len(found) > 1 else 0, 0, query - columns.start, key])
            )
            assert given == own, (kind, padding, row, query, key)


@pytest.mark.parametrize("heads", [(4, 4), (4, 2)])
def test_held_keys_give_what_all_keys_give(heads: tuple[int, int]) -> None:
    generator = torch.Generator().manual_seed(2)
    query = torch.randn(2, heads[0], 9, 8, generator=generator)
    key, value = (torch.randn(2, heads[1], 9, 8, generator=generator) for _ in range(2))
    mask = attention_mask(
        family("block_causal"), torch.ones(2, 9), valid=None, columns=slice(0, 9), rows=slice(6, 9)
    )
    whole = attend(query, key, value, mask=mask)
    cache = KeyValues(9)
    for start, stop, keep in ((0, 6, 3), (3, 6, 3), (3, 9, 6), (6, 9, 6)):
        part = slice(start, stop)
        cache.keep = keep
        assert cache.length == start
        pattern = attention_mask(
            family("block_causal"),
            torch.ones(2, 9),
            valid=None,
            columns=part,
            rows=slice(stop - 3, stop),
        )
        out = attend(
            query[:, :, part], key[:, :, part], value[:, :, part], mask=pattern, cache=cache
        )
        cache.advance()
        torch.testing.assert_close(out, whole[:, :, part])
    assert cache.length == 6


def test_a_pass_that_keeps_nothing_leaves_the_cache_as_it_was() -> None:
    cache = KeyValues(4)
    first, second = torch.zeros(1, 1, 2, 4), torch.ones(1, 1, 2, 4)
    cache.seen(0, first, first)
    cache.advance()
    assert cache.length == 0
    keys, _ = cache.seen(0, second, second)
    torch.testing.assert_close(keys, second)
