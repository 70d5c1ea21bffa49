"""The order in which a search tries values: every knee is found, with two failures at most."""

from collections.abc import Sequence

import pytest

from dllm_eval.sweep.ladder import Passes, descend, long_steps


def good_down_to(knee: int) -> Passes:
    return lambda rung, _above, _error: rung <= knee


@pytest.mark.parametrize("rungs", [*range(1, 24), 65])
def test_every_knee_is_found_and_the_rung_below_it_was_tried(rungs: int) -> None:
    for knee in range(rungs):
        climb = descend(rungs, good_down_to(knee), error=0.05)
        assert climb.finished
        assert climb.lowest == knee
        assert climb.run[0] == 0
        assert len(set(climb.run)) == len(climb.run)
        assert len(climb.failed) <= 2
        assert knee == rungs - 1 or knee + 1 in climb.failed


@pytest.mark.parametrize("below", range(1, 60))
def test_long_steps_reach_the_bottom_and_bound_the_number_of_tests(below: int) -> None:
    steps = long_steps(below)
    tests = next(n for n in range(1, 99) if n * (n + 1) // 2 >= below)
    assert sum(steps) == below
    assert all(step >= 1 for step in steps)
    assert steps == sorted(steps, reverse=True)
    # The i-th long step costs one test, and if it fails the rungs between one each.
    assert max(i + step for i, step in enumerate(steps)) <= tests


@pytest.mark.parametrize(("rungs", "share"), [(2, 0.05), (3, 0.05), (4, 0.025), (9, 0.025)])
def test_two_walks_share_the_error_and_a_single_one_keeps_it(rungs: int, share: float) -> None:
    seen: set[float] = set()

    def fails(_rung: int, _above: Sequence[int], error: float) -> bool:
        seen.add(error)
        return False

    descend(rungs, fails, error=0.05)
    assert seen == {share}


def test_a_rung_is_compared_with_every_larger_value_that_was_run() -> None:
    asked: list[tuple[int, tuple[int, ...]]] = []

    def until_five(rung: int, above: Sequence[int], _error: float) -> bool:
        asked.append((rung, tuple(above)))
        return rung < 5

    assert long_steps(8) == [3, 2, 2, 1]
    descend(9, until_five, error=0.05)
    assert asked == [(3, (0,)), (5, (0, 3)), (4, (0, 3))]


def test_it_waits_for_a_verdict_and_then_goes_on_along_the_same_way() -> None:
    truth = [True, True, True, True, False, False, False, False, False]
    known: set[int] = set()
    orders = []
    while True:
        climb = descend(
            9, lambda rung, _above, _error: truth[rung] if rung in known else None, error=0.05
        )
        orders.append(climb.run)
        if climb.finished:
            break
        assert climb.run[-1] not in known
        known.add(climb.run[-1])
    assert orders == [(0, 3), (0, 3, 5), (0, 3, 5, 4), (0, 3, 5, 4)]
    assert climb.lowest == 3
