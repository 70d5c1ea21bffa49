"""Routed experts against plain loops over tokens and experts."""

from importlib import import_module
from typing import Any

import pytest
import torch
from torch import Tensor

Experts: Any = import_module("dllm_eval.adapters.bodies.moe").Experts

WIDTH, INNER, NUM_EXPERTS = 16, 12, 5


def experts_of(dtype: torch.dtype = torch.float32) -> Any:
    generator = torch.Generator().manual_seed(0)
    experts = Experts(num_experts=NUM_EXPERTS, width=WIDTH, inner_width=INNER)
    for parameter in experts.parameters():
        parameter.data = torch.randn(parameter.shape, generator=generator).div(4).to(dtype)
        parameter.requires_grad = False
    return experts


def inputs(num_tokens: int) -> tuple[Tensor, Tensor, Tensor]:
    """Hidden states, experts (the last one is never chosen) and weights."""
    generator = torch.Generator().manual_seed(1)
    hidden = torch.randn(num_tokens, WIDTH, generator=generator)
    order = torch.rand(num_tokens, NUM_EXPERTS - 1, generator=generator).argsort(dim=1)
    return hidden, order[:, :3], torch.rand(num_tokens, 3, generator=generator)


def slow(experts: Any, hidden: Tensor, chosen: Tensor, weights: Tensor) -> Tensor:
    rows = []
    for i, row in enumerate(hidden.double()):
        total = torch.zeros(WIDTH, dtype=torch.float64)
        for expert, weight in zip(chosen[i].tolist(), weights[i].tolist(), strict=True):
            both = experts.gate_up_proj[expert].double() @ row
            gate, up = both[:INNER], both[INNER:]
            inner = gate / (1 + (-gate).exp()) * up
            total += weight * (experts.down_proj[expert].double() @ inner)
        rows.append(total)
    return torch.stack(rows)


@pytest.mark.parametrize("num_tokens", [1, 2, 33])
def test_each_token_gets_the_sum_of_its_experts(num_tokens: int) -> None:
    hidden, chosen, weights = inputs(num_tokens)
    found = experts_of()(hidden, chosen, weights)
    assert (found - slow(experts_of(), hidden, chosen, weights)).abs().max() < 1e-5


def test_a_token_does_not_depend_on_its_batch() -> None:
    hidden, chosen, weights = inputs(9)
    together = experts_of()(hidden, chosen, weights)
    alone = [
        experts_of()(hidden[i : i + 1], chosen[i : i + 1], weights[i : i + 1])[0] for i in (0, 8)
    ]
    assert torch.allclose(together[0], alone[0], atol=1e-6)
    assert torch.allclose(together[8], alone[1], atol=1e-6)


def test_float32_weights_are_summed_in_float32_and_rounded_once() -> None:
    hidden, chosen, weights = inputs(7)
    found = experts_of(torch.bfloat16)(hidden.bfloat16(), chosen, weights)
    exact = slow(experts_of(torch.bfloat16), hidden.bfloat16(), chosen, weights)
    assert found.dtype == torch.bfloat16
    assert (found.double() - exact).abs().max() < 0.02 * exact.abs().max()
