"""Both ends exact and the rest drawn: unbiased, without noise where it may have none."""

from collections.abc import Callable
from itertools import combinations

import numpy as np
import pytest
from mask_tables import (
    Floats,
    elbo,
    masks_of,
    near_consistent_table,
    plan_of,
    random_table,
    rows_of,
    run,
    standard_errors_off,
)

from dllm_eval.api import Denoiser
from dllm_eval.errors import UsageError
from dllm_eval.likelihood import log_likelihood
from dllm_eval.likelihood.control_variate import control_variate
from dllm_eval.likelihood.end_strata import end_strata


@pytest.mark.parametrize(("length", "samples"), [(3, 10), (4, 11), (7, 20), (7, 64), (10, 32)])
@pytest.mark.parametrize("table_of", [random_table, near_consistent_table])
def test_mean_over_seeds_is_the_elbo(
    table_of: Callable[[int], Floats], length: int, samples: int
) -> None:
    table = table_of(length)
    results = [run(end_strata, table, samples, seed) for seed in range(400)]
    assert {(r.estimator, r.quantity, r.exact) for r in results} == {("end_strata", "elbo", False)}
    assert abs(standard_errors_off([r.value for r in results], elbo(table))) < 4


@pytest.mark.parametrize("length", [4, 5])
def test_mean_over_seeds_is_the_enumeration_through_a_model(tabular: Denoiser, length: int) -> None:
    target = (2, 0, 1, 1, 0)[:length]
    exact = log_likelihood(tabular, (1, 2), target, estimator="enumeration").value
    values = [
        log_likelihood(tabular, (1, 2), target, "end_strata", 14, seed).value for seed in range(150)
    ]
    assert abs(standard_errors_off(values, exact)) < 4


def test_a_draw_by_hand() -> None:
    """The formula, size by size, over the sets that the plan drew."""
    table = random_table(6)
    plan = plan_of(end_strata, 6, 15, seed=3)
    all_masked, alone = table[-1], [table[2**i, i] for i in range(6)]
    expected = []
    for masks in plan.masks[7:]:
        size, gain = int(masks.sum()), 0.0
        for i in np.flatnonzero(masks):
            known = all_masked[i] + (6 - size) / 5 * (alone[i] - all_masked[i])
            gain += table[masks @ (1 << np.arange(6)), i] - known
        expected.append((sum(all_masked) + sum(alone)) / 2 + 4 / size * gain)
    assert plan.sampling is not None
    drawn = plan.sampling.draws(rows_of(plan, table))
    assert set(np.round(drawn, 9)) == set(np.round(expected, 9))


def test_fixed_canvases_come_first_and_are_drawn_no_more() -> None:
    plan = plan_of(end_strata, 7, 40, seed=1)
    assert plan.masks[:8].tolist() == [[True] * 7, *np.eye(7, dtype=bool).tolist()]
    assert set(plan.masks[8:].sum(axis=1)) == {2, 3, 4, 5, 6}
    assert plan.sampling is not None
    assert plan.sampling.rows_after[0] == 9
    assert len(plan.sampling.rows_after) == 32


def test_no_noise_where_visible_tokens_tell_equally_much() -> None:
    """s(S, i) linear in how many are visible: the control is the term itself."""
    length = 7
    masks = masks_of(length)
    visible = length - masks.sum(axis=1, keepdims=True)
    table = np.where(masks, -np.arange(1.0, length + 1) + 0.1 * visible, 0.0)
    found = run(end_strata, table, 20, seed=0)
    assert found.value == pytest.approx(elbo(table), abs=1e-12)
    assert found.stderr < 1e-12
    assert abs(run(control_variate, table, 20, seed=0).value - elbo(table)) > 1e-3


def test_two_tokens_are_exact() -> None:
    table = random_table(2)
    found = run(end_strata, table, 9, seed=0)
    assert found.value == pytest.approx(elbo(table), abs=1e-12)
    assert (found.exact, found.stderr, found.estimator) == (True, 0.0, "end_strata")


@pytest.mark.parametrize(("samples", "name"), [(16, "control_variate"), (17, "end_strata")])
def test_few_canvases_are_spent_on_the_control_alone(samples: int, name: str) -> None:
    assert run(end_strata, random_table(10), samples, seed=0).estimator == name


def test_one_canvas_is_refused() -> None:
    with pytest.raises(UsageError, match="samples is 1; accepted"):
        plan_of(end_strata, 5, 1, seed=0)


@pytest.mark.parametrize("end", ["all", "alone"])
def test_an_impossible_token_makes_the_estimate_infinite(end: str) -> None:
    table = random_table(5).copy()
    table[31 if end == "all" else 4, 2] = -np.inf
    found = run(end_strata, table, 20, seed=0)
    assert (found.value, found.stderr) == (-np.inf, 0.0)


def test_an_impossible_token_in_between_makes_the_error_unknown() -> None:
    table = random_table(5).copy()
    for pair in combinations(range(5), 2):
        table[sum(2**i for i in pair), pair[0]] = -np.inf
    found = run(end_strata, table, 40, seed=0)
    assert (found.value, found.stderr, found.degrees) == (-np.inf, np.inf, None)
