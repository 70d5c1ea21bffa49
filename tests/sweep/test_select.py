"""`exclude` and `only`: which cells are left, and which entries are slips."""

from typing import Any

import pytest
from small_spec import SPEC, TAKES

from dllm_eval.errors import UsageError
from dllm_eval.sweep.plan import Cell, plan
from dllm_eval.sweep.select import written
from dllm_eval.sweep.spec import Sweep

FOUR = [(1, 4), (1, 8), (2, 4), (2, 8)]


def left(**changes: Any) -> list[Cell]:
    spec = {**SPEC, "latency": {"rounds": 2}, **changes}
    return plan(Sweep.model_validate(spec), TAKES.__getitem__)


def points(cells: list[Cell]) -> list[tuple[Any, Any]]:
    quality = [cell for cell in cells if cell.purpose == "quality"]
    return [(c.arguments.get("steps"), c.arguments.get("block_length")) for c in quality]


@pytest.mark.parametrize(
    ("entries", "expected"),
    [
        ([{"steps": 1}], [(2, 4), (2, 8), (None, None)]),
        ([{"steps": [1, 2], "block_length": 8}], [(1, 4), (2, 4), (None, None)]),
        ([{"steps": 1, "block_length": 4}, {"steps": 2}], [(1, 8), (None, None)]),
        ([{"model": "D"}], [(None, None)]),
        ([{"model": ["A"]}], FOUR),
        ([{"suite": "t", "model": "D", "steps": [2, 99]}], [(1, 4), (1, 8), (None, None)]),
        ([{"steps": None}], FOUR),
        ([{"gen_length": 8, "block_length": [4]}], [(1, 8), (2, 8), (None, None)]),
        ([{"steps": 1.0}], [(2, 4), (2, 8), (None, None)]),
    ],
)
def test_a_cell_that_matches_every_key_of_an_entry_is_left_out(
    entries: list[Any], expected: list[Any]
) -> None:
    cells = left(exclude=entries)
    assert points(cells) == expected
    for turn in range(2):
        timed = {c.config_id for c in cells if c.timing is not None and c.timing.round == turn}
        assert timed == {c.config_id for c in cells if c.purpose == "quality"}


def test_purpose_batch_size_and_seed_of_a_cell_can_be_left_out() -> None:
    latency = {"rounds": 1, "batch_sizes": [1, 4]}
    all_cells = left(latency=latency, seeds=[0, 7])
    cells = left(
        latency=latency,
        seeds=[0, 7],
        exclude=[{"purpose": "latency", "batch_size": 4, "steps": 1}, {"seed": 7, "steps": 2}],
    )
    gone = {cell.cell_id for cell in all_cells} - {cell.cell_id for cell in cells}
    for cell in all_cells:
        slow_batch = cell.timing is not None and cell.batch_size == 4
        steps = cell.arguments.get("steps")
        assert (cell.cell_id in gone) == (
            (slow_batch and steps == 1) or (cell.seed == 7 and steps == 2)
        )
    assert len(gone) > 2


def test_a_cell_must_match_one_entry_of_only() -> None:
    assert points(left(only=[{"steps": 2}])) == [(2, 4), (2, 8)]
    assert points(left(only=[{"steps": 2, "block_length": 4}, {"model": "A"}])) == [
        (2, 4),
        (None, None),
    ]
    both = left(only=[{"model": "D"}], exclude=[{"steps": 1}])
    assert points(both) == [(2, 4), (2, 8)]


def test_what_is_left_keeps_its_ids_and_its_order() -> None:
    every = [cell.cell_id for cell in left()]
    some = [cell.cell_id for cell in left(exclude=[{"steps": 1}])]
    assert some == [cell for cell in every if cell in set(some)]
    assert len(some) == 9


def test_a_suite_goes_by_its_title_or_its_task() -> None:
    suites = [{**SPEC["suites"][0], "title": "Code"}, {"task": "u", "metric": "m"}]
    for name in ("Code", "t"):
        assert {c.task for c in left(suites=suites, exclude=[{"suite": name}])} == {"u"}


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"exclude": [{"steps": True}]}, "'exclude[0]' matches no cell: {steps: true}"),
        ({"exclude": [{"steps": 1}, {"steps": 4}]}, "'exclude[1]' matches no cell: {steps: 4}"),
        ({"only": [{"model": "A", "steps": 1}]}, "'only[0]' matches no cell: {model: A, steps: 1}"),
        ({"exclude": [{"suite": "t"}]}, "'exclude' leaves none of the 15 cells"),
        ({"only": [{"steps": 1}], "exclude": [{"steps": 1}]}, "'exclude' leaves none of the 15"),
        ({"only": [{"model": "E"}]}, "unknown model in 'only[0]' 'E'; known: A, D"),
        ({"only": [{"suite": "T"}]}, "unknown suite in 'only[0]' 'T'; known: t"),
        ({"exclude": [{"stepz": 1}]}, "unknown key of 'exclude[0]' 'stepz' (did you mean 'steps'?"),
        ({"exclude": [{"warmup": 0}]}, "unknown key of 'exclude[0]' 'warmup'"),
        ({"exclude": [{"purpose": "timing"}]}, "unknown purpose in 'exclude[0]' 'timing'"),
    ],
)
def test_slips_are_named(changes: dict[str, Any], message: str) -> None:
    with pytest.raises(UsageError) as caught:
        left(**changes)
    assert message in str(caught.value)


def test_an_entry_is_written_as_it_would_be_typed() -> None:
    entry: dict[str, Any] = {"model": "A: b", "steps": [8], "threshold": [0.5, None], "stop": True}
    assert written(entry) == "{model: 'A: b', steps: 8, threshold: [0.5, null], stop: true}"
