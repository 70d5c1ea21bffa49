"""The order that the adaptive parts count in is the order that `by_quota` reveals in."""

from types import SimpleNamespace
from typing import Any

import torch

from dllm_eval.samplers.parts.shared import in_order, unbroken
from dllm_eval.samplers.selection import by_quota


def look_at(score: list[list[float]], eligible: list[list[int]]) -> Any:
    return SimpleNamespace(score=torch.tensor(score), eligible=torch.tensor(eligible).bool())


def test_values_come_in_the_order_of_their_scores() -> None:
    look = look_at([[0.1, 0.9, 0.5, 0.7], [3.0, 2.0, 1.0, 0.0]], [[1, 1, 0, 1], [0, 0, 0, 0]])
    values = torch.tensor([[1.0, 2.0, 3.0, 4.0], [5.0, 6.0, 7.0, 8.0]])
    assert in_order(values, look, -1.0).tolist() == [[2.0, 4.0, 1.0, -1.0], [-1.0] * 4]


def test_ties_fall_as_they_are_revealed() -> None:
    """The first n in this order are the n that a quota takes, ties and all."""
    generator = torch.Generator().manual_seed(0)
    for _ in range(50):
        score = torch.randint(0, 3, (4, 9), generator=generator).float()
        eligible = torch.rand(4, 9, generator=generator) < 0.6
        look: Any = SimpleNamespace(score=score, eligible=eligible)
        places = in_order(torch.arange(9.0).expand(4, 9), look, -1.0)
        for count in range(1, 10):
            taken = by_quota(score, eligible, torch.full((4, 1), count))
            for row in range(4):
                first = {int(place) for place in places[row, :count] if place >= 0}
                assert first == set(taken[row].nonzero()[:, 0].tolist())


def test_equal_scores_are_taken_from_the_left_however_the_count_is_given() -> None:
    """A row's answer must not hang on whether the other rows of its batch have its count."""
    generator, columns = torch.Generator().manual_seed(1), torch.arange(40)
    for _ in range(20):
        score = torch.randint(0, 3, (3, 40), generator=generator).float()
        eligible = torch.rand(3, 40, generator=generator) < 0.8
        for count in (1, 2, 7, 40, 50):
            own = by_quota(score, eligible, torch.full((3, 1), count))
            assert torch.equal(by_quota(score, eligible, count), own)
            assert torch.equal(by_quota(score, eligible, count, places=columns), own)


def test_only_an_unbroken_beginning_counts() -> None:
    passes = torch.tensor([[1, 1, 0, 1], [0, 1, 1, 1], [1, 1, 1, 1]]).bool()
    assert unbroken(passes).tolist() == [[2], [0], [4]]
