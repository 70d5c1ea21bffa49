"""What a decoding has cost each row, against a plain count, and a canvas that is kept in views."""

import pytest
import torch
from small_transformer import small_model

from dllm_eval.api import Prompt
from dllm_eval.samplers.canvas import Canvas
from dllm_eval.samplers.last_pass import LastPass
from dllm_eval.samplers.tally import Tally, column_of

CPU = torch.device("cpu")


def canvas_of(*prefixes: int) -> Canvas:
    prompts = [Prompt(prefix=tuple(range(5, 5 + length)), seed=1) for length in prefixes]
    return Canvas.build(
        prompts, family=small_model("full").family, vocab_size=40, gen_length=4, device=CPU
    )


def test_steps_passes_and_positions_are_counted_by_row() -> None:
    tally, turns = Tally.of(3, CPU), [(True, True, False), (False, True, False), (True, True, True)]
    expected = [[0, 0, 0] for _ in range(3)]  # steps, passes, positions
    for turn, rows in enumerate(turns):
        columns = [turn + 1, 10, 100]
        tally.charge_step(rows, columns, 2)
        for row, works in enumerate(rows):
            if works:
                expected[row][0] += 1
                expected[row][1] += 2
                expected[row][2] += 2 * columns[row]
    assert tally.steps == [steps for steps, _, _ in expected]
    assert tally.nfe == [passes for _, passes, _ in expected]
    assert tally.all_positions() == [positions for _, _, positions in expected]


def test_positions_that_only_the_device_knows_come_on_top() -> None:
    tally = Tally.of(2, CPU)
    tally.charge_step([True, True], [3, 4], 1)
    tally.charge_step([True, False], torch.tensor([[5], [6]]), 2)
    tally.charge([False, True], torch.tensor([[7], [8]]), 1)
    assert tally.positions == [3, 4]
    assert tally.all_positions() == [3 + 2 * 5, 4 + 8]


def test_a_steps_number_is_that_of_the_rows_own_steps() -> None:
    tally = Tally.of(2, CPU)
    for second in (False, True, False, True):
        tally.charge_step([True, second], [1, 1], 1)
    assert tally.own_steps(0, [-1, 0, 3, 2]) == [-1, 0, 3, 2]
    assert tally.own_steps(1, [-1, 1, 3, -2]) == [-1, 0, 1, -2]


@pytest.mark.parametrize("values", [[True, True], [False, True], [3, 3], [3, 4]])
def test_a_column_has_one_value_per_row(values: list[int]) -> None:
    column = column_of(values, CPU)
    assert column.shape == (2, 1)
    assert column.dtype == (torch.bool if isinstance(values[0], bool) else torch.int64)
    assert column[:, 0].tolist() == values


def test_what_a_rule_changes_is_seen_through_views_made_before() -> None:
    canvas, rows = canvas_of(2, 3), slice(3, 7)
    assert canvas.masked(rows).tolist() == [[True] * 4, [True] * 4]
    canvas.work_on([True, False])
    assert canvas.masked(rows).tolist() == [[True] * 4, [False] * 4]
    canvas.given = canvas.given.clone()
    canvas.given[0, 4] = True
    assert canvas.masked(rows).tolist() == [[True, False, True, True], [False] * 4]
    canvas.write(rows, canvas.open(rows) & (canvas.at(rows).places < 3), canvas.at(rows).tokens + 9)
    assert canvas.masked(rows).tolist() == [[False, False, False, True], [False] * 4]
    canvas.work_on([True, True])
    canvas.let_end([True, False])
    canvas.work_on([True, True])
    assert canvas.masked(rows).tolist() == [[False] * 4, [True] * 4]


def test_rows_that_wait_are_charged_for_what_is_kept_alone() -> None:
    canvas = canvas_of(2, 3)  # columns 1 to 7 and 0 to 7
    canvas.work_on([True, False], [True, True])
    canvas.count_step(LastPass(passes=1, start=0, kept=2, stop=7))
    assert canvas.tally.nfe == [1, 0]
    assert canvas.tally.all_positions() == [6, 2]
    assert canvas.steps_done.tolist() == [[1], [0]]
