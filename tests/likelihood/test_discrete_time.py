"""D3PM's bound against sums over every path of the chain, on five tokens and eight steps."""

from functools import cache
from itertools import product
from math import prod

import numpy as np
import pytest
import torch
from torch import Tensor

from dllm_eval.api import Likelihood
from dllm_eval.errors import UsageError
from dllm_eval.families import NO_MASK, Family
from dllm_eval.likelihood.config import LikelihoodConfig
from dllm_eval.likelihood.discrete_time import discrete_time
from dllm_eval.likelihood.pair import Pair
from dllm_eval.processes.token_chain import Kind, TokenChain

VOCAB, STEPS = 5, 8
KINDS: list[Kind] = ["absorbing", "uniform"]


class TableDenoiser:
    """Random logits for every (canvas, step, place); the first `shown` tokens are the context."""

    def __init__(self, kind: Kind, length: int = 2, seed: int = 0) -> None:
        generator = torch.Generator().manual_seed(seed)
        shape = (STEPS + 1, *[VOCAB] * length, length, VOCAB)
        self.table = 1.5 * torch.randn(*shape, generator=generator, dtype=torch.float64)
        mask_id = VOCAB - 1 if kind == "absorbing" else NO_MASK
        self.chain = TokenChain.build(
            kind=kind,
            schedule="standard",
            num_steps=STEPS,
            vocab_size=VOCAB,
            mask_id=mask_id,
            device=torch.device("cpu"),
        )
        self.family = Family(
            name="table",
            mask_id=mask_id,
            eos_id=0,
            pad_id=0,
            context_length=16,
            time_conditioned=True,
        )
        self.device, self.vocab_size, self.rows = torch.device("cpu"), VOCAB, 0

    def logits(
        self,
        token_ids: Tensor,
        *,
        valid: Tensor | None = None,
        rows: slice | None = None,
        time: Tensor | None = None,
        cache: object = None,  # noqa: ARG002
        self_conditioning: Tensor | None = None,  # noqa: ARG002
    ) -> Tensor:
        assert time is not None
        self.rows += len(token_ids)
        out = torch.zeros(*token_ids.shape, VOCAB, dtype=torch.float64)
        for row, ids in enumerate(token_ids):
            start = 0 if valid is None else int((~valid[row]).sum())
            out[row, start:] = self.table[(round(float(time[row]) * STEPS), *ids[start:].tolist())]
        found: Tensor = out if rows is None else out[:, rows]
        return found


@cache
def matrix(kind: Kind, step: int) -> Tensor:
    """Row to column: the chance of each token after step `step` (1 to STEPS), as D3PM writes it."""
    replaced = 1 / (STEPS - step + 1)
    out = torch.zeros(VOCAB, VOCAB, dtype=torch.float64)
    for before in range(VOCAB):
        out[before, before] += 1 - replaced
        if kind == "absorbing":
            out[before, VOCAB - 1] += replaced
        else:
            out[before] += replaced / VOCAB
    return out


@cache
def product_to(kind: Kind, step: int) -> Tensor:
    out = torch.eye(VOCAB, dtype=torch.float64)
    for one in range(1, step + 1):
        out = out @ matrix(kind, one)
    return out


def reverse(kind: Kind, belief: Tensor, noisy: int, step: int) -> Tensor:
    """p(x_{step - 1} | x_step = noisy), token by token from the dense matrices."""
    before, last, chances = product_to(kind, step - 1).tolist(), matrix(kind, step).tolist(), []
    for to in range(VOCAB):
        reached = sum(before[clean][to] * chance for clean, chance in enumerate(belief.tolist()))
        chances.append(last[to][noisy] * reached)
    out = torch.tensor(chances, dtype=torch.float64)
    return out / out.sum()


def slow_bound(model: TableDenoiser, context: tuple[int, ...], target: tuple[int, ...]) -> float:
    """The bound with every expectation summed over all canvases."""
    kind, total = model.chain.kind, 0.0
    for step in range(1, STEPS + 1):
        forward = product_to(kind, step)
        for noisy in product(range(VOCAB), repeat=len(target)):
            chance = prod(float(forward[x, n]) for x, n in zip(target, noisy, strict=True))
            if chance == 0:
                continue
            logits = model.table[(step, *context, *noisy)]
            for place, (x, n) in enumerate(zip(target, noisy, strict=True)):
                sure = torch.eye(VOCAB, dtype=torch.float64)[x]
                true = reverse(kind, sure, n, step)
                belief = logits[len(context) + place].softmax(0)
                modelled = reverse(kind, belief, n, step)
                for q, p in zip(true.tolist(), modelled.tolist(), strict=True):
                    total -= chance * (q * np.log(q / p) if q > 0 else 0.0)
    return float(total)


def exact_log_p(model: TableDenoiser, context: tuple[int, ...]) -> dict[tuple[int, ...], float]:
    """Log p of every two-token target, summed over all paths of the reverse chain."""
    kind = model.chain.kind
    canvases = list(product(range(VOCAB), repeat=2))
    if kind == "absorbing":
        chance = {c: float(c == (VOCAB - 1, VOCAB - 1)) for c in canvases}
    else:
        chance = dict.fromkeys(canvases, 1 / VOCAB**2)
    for step in range(STEPS, 0, -1):
        after = dict.fromkeys(canvases, 0.0)
        for canvas, weight in chance.items():
            if weight == 0:
                continue
            logits = model.table[(step, *context, *canvas)]
            first, second = (
                reverse(kind, logits[len(context) + place].softmax(0), canvas[place], step)
                for place in range(2)
            )
            for to in canvases:
                after[to] += weight * float(first[to[0]]) * float(second[to[1]])
        chance = after
    assert sum(chance.values()) == pytest.approx(1.0, abs=1e-12)
    return {canvas: float(np.log(weight)) for canvas, weight in chance.items() if weight > 0}


def estimate(
    model: TableDenoiser, context: tuple[int, ...], target: tuple[int, ...], samples: int = 4000
) -> Likelihood:
    pair = Pair(token_ids=np.array([*context, *target]), target_length=len(target))
    config = LikelihoodConfig(samples=samples, tokens_per_forward=10**6)
    return next(iter(discrete_time(model, [pair], [7], config)))


@pytest.mark.parametrize("kind", KINDS)
def test_the_estimate_is_the_enumerated_bound(kind: Kind) -> None:
    model = TableDenoiser(kind)
    for target in ((0, 1), (2, 2), (3, 0)):
        found, wanted = estimate(model, (), target), slow_bound(model, (), target)
        assert abs(found.value - wanted) < 4 * found.stderr
        assert 0 < found.stderr < 0.2
        assert (found.quantity, found.exact, found.samples) == ("elbo", False, 4000)


@pytest.mark.parametrize("kind", KINDS)
def test_the_bound_lies_below_the_sum_over_all_paths(kind: Kind) -> None:
    model = TableDenoiser(kind)
    exact = exact_log_p(model, ())
    for target in product(range(VOCAB - (kind == "absorbing")), repeat=2):
        assert slow_bound(model, (), target) <= exact[target] + 1e-9


@pytest.mark.parametrize("kind", KINDS)
def test_a_context_is_never_noised(kind: Kind) -> None:
    model = TableDenoiser(kind, length=3)
    found, wanted = estimate(model, (3,), (0, 1)), slow_bound(model, (3,), (0, 1))
    assert abs(found.value - wanted) < 4 * found.stderr
    assert wanted <= exact_log_p(model, (3,))[0, 1]


def test_it_is_exact_where_the_model_is() -> None:
    """One token, and a belief that knows its distribution: the bound is tight."""
    model = TableDenoiser("absorbing", length=1)
    model.table[:] = torch.tensor([0.1, 0.2, 0.3, 0.4, 0.0], dtype=torch.float64).log()
    found = estimate(model, (), (2,))
    assert slow_bound(model, (), (2,)) == pytest.approx(np.log(0.3), abs=1e-12)
    assert abs(found.value - np.log(0.3)) < 4 * found.stderr


def test_batches_neighbours_and_order_change_nothing() -> None:
    model = TableDenoiser("uniform", length=3)
    pairs = [
        Pair(token_ids=np.array([1, 2, 3]), target_length=2),
        Pair(token_ids=np.array([0, 4, 1]), target_length=3),
    ]
    alone = [
        next(iter(discrete_time(model, [pair], [seed], LikelihoodConfig(samples=20))))
        for pair, seed in zip(pairs, (5, 6), strict=True)
    ]
    config = LikelihoodConfig(samples=20, tokens_per_forward=35)
    together = list(discrete_time(model, pairs[::-1], [6, 5], config))[::-1]
    for one, other in zip(alone, together, strict=True):
        assert one.value == pytest.approx(other.value, abs=1e-9)
    model.rows = 0
    list(discrete_time(model, pairs, [5, 6], config))
    assert model.rows == sum(one.nfe for one in alone) == 40
    assert [one.positions for one in alone] == [60, 60]


class ByLength(TableDenoiser):
    """One table for canvases of two tokens and one for those of three."""

    def __init__(self) -> None:
        super().__init__("uniform")
        self.models = {length: TableDenoiser("uniform", length, seed=length) for length in (2, 3)}

    def logits(
        self,
        token_ids: Tensor,
        *,
        valid: Tensor | None = None,
        rows: slice | None = None,
        time: Tensor | None = None,
        cache: object = None,  # noqa: ARG002
        self_conditioning: Tensor | None = None,  # noqa: ARG002
    ) -> Tensor:
        assert time is not None
        seen = torch.ones_like(token_ids).bool() if valid is None else valid
        out = torch.zeros(*token_ids.shape, VOCAB, dtype=torch.float64)
        for row, own in enumerate(seen):
            model = self.models[int(own.sum())]
            out[row, own] = model.logits(token_ids[row, own][None], time=time[row : row + 1])[0]
        assert rows is not None
        return out[:, rows]


def test_unequal_lengths_are_padded() -> None:
    model, config = ByLength(), LikelihoodConfig(samples=20)
    pairs = [
        Pair(token_ids=np.array([1, 2]), target_length=1),
        Pair(token_ids=np.array([0, 1, 2]), target_length=2),
    ]
    found = list(discrete_time(model, pairs, [5, 6], config))
    for pair, seed, one in zip(pairs, (5, 6), found, strict=True):
        alone = next(iter(discrete_time(model.models[pair.length], [pair], [seed], config)))
        assert one.value == pytest.approx(alone.value, abs=1e-9)


def test_nan_logits_are_an_error() -> None:
    model = TableDenoiser("uniform")
    model.table[:] = torch.nan
    with pytest.raises(UsageError, match="the model's logits are NaN"):
        estimate(model, (), (0, 1), samples=4)
