"""Where a pass with a late head is read, against going through the positions one by one."""

import pytest
import torch
from torch import Tensor

from dllm_eval.samplers.reads import Reads

MASKED = [
    [False, True, False, True, True, False],
    [True, False, False, False, False, False],
    [True, True, True, True, True, True],
    [False, False, False, False, False, False],
]


def slow(counts: list[int]) -> list[list[int]]:
    """Of each request its masked rows, then the others, as many as the longest counts."""
    found = []
    for own in MASKED:
        masked = [row for row, is_masked in enumerate(own) if is_masked]
        others = [row for row, is_masked in enumerate(own) if not is_masked]
        found.append((masked + others)[: max(counts)])
    return found


@pytest.mark.parametrize("counts", [[3, 1, 6, 0], [2, 2, 2, 2], [3, 1, 5, 2], [1, 0, 0, 0]])
def test_masked_rows_come_first_and_as_many_as_counted(counts: list[int]) -> None:
    reads = Reads.of(torch.tensor(MASKED), counts)
    expected = slow(counts)
    assert reads.rows.tolist() == expected
    places = [request * 6 + row for request, own in enumerate(expected) for row in own]
    assert reads.places.tolist() == places
    longest = max(counts)
    numbers = [at + longest * request for request, n in enumerate(counts) for at in range(n)]
    assert reads.counted().tolist() == numbers
    asked: Tensor = torch.tensor(places[::-1])
    assert reads.places[reads.numbers_of(asked)].tolist() == places[::-1]
