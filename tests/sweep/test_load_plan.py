"""Load cells: which there are, what they are called, what is refused before anything runs."""

from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from small_spec import SPEC, TAKES

from dllm_eval.errors import UsageError
from dllm_eval.load import Load
from dllm_eval.sweep.load_tasks import left_out, offerable
from dllm_eval.sweep.models import accepted_arguments
from dllm_eval.sweep.plan import Cell, plan
from dllm_eval.sweep.spec import Sweep
from dllm_eval.sweep.spec_file import load_spec
from dllm_eval.sweep.spec_runs import LoadSpec

LOAD: dict[str, Any] = {
    "in_flight": [1, 4],
    "arrivals_per_s": [0.5],
    "seconds": 20,
    "requests": 8,
    "rounds": 1,
}
BATCHED = {name: takes | {"batch_size"} for name, takes in TAKES.items()}


def cells_of(load: dict[str, Any] | None = LOAD, **changes: Any) -> list[Cell]:
    sweep = Sweep.model_validate({**SPEC, "load": load, **changes})
    return plan(sweep, BATCHED.__getitem__)


def under_load(cells: list[Cell]) -> list[Cell]:
    return [cell for cell in cells if cell.purpose == "load"]


def test_every_setting_is_offered_every_load_once() -> None:
    cells = cells_of()
    found = under_load(cells)
    assert found == cells[-15:]
    settings = {cell.config_id for cell in cells if cell.purpose == "quality"}
    assert len(settings) == 5
    told = Counter((cell.config_id, cell.load.words) for cell in found if cell.load)
    words = ("1 in flight", "4 in flight", "0.5 arrivals/s")
    assert told == Counter((config, word) for config in settings for word in words)
    assert len({cell.cell_id for cell in cells}) == len(cells)


def test_a_load_cell_says_all_that_a_model_needs() -> None:
    by_words = {cell.load.words: cell for cell in under_load(cells_of()) if cell.load}
    closed, arriving = by_words["4 in flight"], by_words["0.5 arrivals/s"]
    assert closed.load == Load(in_flight=4, seconds=20.0, requests=8, warmup=1)
    assert (closed.batch_size, closed.in_flight, closed.arrivals_per_s) == (4, 4, None)
    assert (arriving.batch_size, arriving.in_flight, arriving.arrivals_per_s) == (16, None, 0.5)
    assert closed.limit == 5  # the suite's, below the load's requests
    assert closed.timing is None
    assert {cell.limit for cell in under_load(cells_of({**LOAD, "requests": 3}))} == {3}
    assert Cell.from_dict(closed.as_dict()) == closed
    labels = {cell.label for cell in under_load(cells_of())}
    assert "D, t steps=1 block_length=4 (load, 4 in flight, round 1)" in labels
    assert "A, t (load, 0.5 arrivals/s, round 1)" in labels


def test_a_load_changes_no_other_cell() -> None:
    without = cells_of(None)
    assert cells_of()[: len(without)] == without
    assert not under_load(without)


def test_the_order_is_shuffled_and_always_the_same() -> None:
    found = under_load(cells_of())
    assert found == under_load(cells_of())
    written = sorted(found, key=lambda cell: (cell.name, cell.load is None, str(cell.load)))
    assert [cell.cell_id for cell in found] != [cell.cell_id for cell in written]
    assert found[0].config_id != found[1].config_id or found[1].config_id != found[2].config_id


def test_at_one_rate_all_settings_meet_the_same_arrivals() -> None:
    found = [c.load for c in under_load(cells_of(seeds=[0, 7])) if c.arrivals_per_s]
    arrivals = {tuple(load.arrivals_s() or ()) for load in found if load}
    assert len(found) == 10
    assert len(arrivals) == 2
    assert {load.seed for load in found if load} == {0, 7}


def test_every_round_goes_through_all_cells_in_an_order_of_its_own() -> None:
    found = under_load(cells_of({**LOAD, "rounds": 3}))
    assert [cell.round for cell in found] == [0] * 15 + [1] * 15 + [2] * 15
    orders = [
        [(c.config_id, c.load.words) for c in found if c.round == turn and c.load]
        for turn in range(3)
    ]
    assert sorted(orders[0]) == sorted(orders[1]) == sorted(orders[2])
    assert orders[0] != orders[1] != orders[2] != orders[0]
    assert len({cell.cell_id for cell in found}) == 45
    assert len({cell.config_id for cell in found}) == 5
    assert LoadSpec(in_flight=[1]).rounds == 3
    assert found[-1].label.endswith(", round 3)")


def test_a_round_has_arrivals_of_its_own_and_all_settings_the_same() -> None:
    found = under_load(cells_of({**LOAD, "rounds": 3}, seeds=[0, 1, 2]))
    arrivals: dict[tuple[int, int], set[tuple[float, ...]]] = {}
    for cell in found:
        if cell.load and cell.arrivals_per_s:
            met = tuple(cell.load.arrivals_s() or ())
            arrivals.setdefault((cell.load.seed, cell.round), set()).add(met)
    assert len(arrivals) == 9
    assert {len(met) for met in arrivals.values()} == {1}
    assert len(set.union(*arrivals.values())) == 9


def test_a_cell_without_a_round_is_of_the_first() -> None:
    one, three = (under_load(cells_of({**LOAD, "rounds": rounds})) for rounds in (1, 3))
    # Rounds that are added later keep what is finished; so do folders of versions without rounds.
    assert [cell.cell_id for cell in one] == [cell.cell_id for cell in three[:15]]
    old = three[0].as_dict()
    del old["load"]["round"]
    assert Cell.from_dict(old) == three[0]
    second = three[15]
    assert second.load is not None
    assert Cell.from_dict(second.as_dict()) == second
    assert second.load.round == 1


def test_entries_leave_out_all_rounds() -> None:
    exclude: list[dict[str, Any]] = [{"purpose": "load", "in_flight": [4]}]
    left = under_load(cells_of({**LOAD, "rounds": 2}, exclude=exclude))
    assert Counter(cell.round for cell in left) == {0: 10, 1: 10}
    assert {cell.in_flight for cell in left} == {1, None}


def test_entries_name_loads() -> None:
    exclude: list[dict[str, Any]] = [{"purpose": "load", "in_flight": [4], "model": "D"}]
    left = Counter(c.load.words for c in under_load(cells_of(exclude=exclude)) if c.load)
    assert left == {"1 in flight": 5, "4 in flight": 1, "0.5 arrivals/s": 5}
    only = [{"arrivals_per_s": 0.5}]
    assert {cell.purpose for cell in cells_of(only=only)} == {"load"}
    # A batch size of quality or latency cells is not the load's, unless nothing else is said.
    exclude = [{"purpose": "quality", "batch_size": 16}]
    assert len(under_load(cells_of(exclude=exclude))) == 15


@pytest.mark.parametrize(
    ("text", "line"),
    [
        ("load: {}", "6: in 'load': it names no load; write in_flight: [1, 4] or arrivals_per_s"),
        ("load: {in_flight: [0]}", "6: 'load.in_flight[0]' should be greater than or equal to 1"),
        ("load: {in_flight: [2, 1, 2]}", "6: in 'load.in_flight': 2 stands there twice; keep one"),
        ("load: {in_flight: 4}", "6: 'load.in_flight' should be a valid list, not 4"),
        ("load: {arrivals_per_s: [-1]}", "6: 'load.arrivals_per_s[0]' should be greater than 0"),
        ("load: {arrivals_per_s: [.inf]}", "6: 'load.arrivals_per_s[0]' should be a finite number"),
        ("load: {in_flight: [1], second: 3}", "6: unknown key 'load.second' (did you mean 'second"),
        ("load: {in_flight: [1], requests: 0}", "6: 'load.requests' should be greater than or equ"),
        ("load: {in_flight: [1], rounds: 0}", "6: 'load.rounds' should be greater than or equal"),
        ("load: 4", "6: 'load' must be a mapping with the keys in_flight, arrivals_per_s, seconds"),
        (
            "load: {arrivals_per_s: [3, 0.0001]}",
            "6: at 0.0001 arrivals/s nothing arrives within 30 s (seed 0, round 1); raise load.s",
        ),
    ],
)
def test_what_is_wrong_with_a_load_is_one_line(
    text: str, line: str, spec_file: Callable[[object], Path]
) -> None:
    path = spec_file(
        "name: n\nmodels:\n  - {name: D, model: dllm, args: {pretrained: d}}\n"
        f"suites:\n  - {{task: t, metric: m}}\n{text}\n"
    )
    with pytest.raises(UsageError) as caught:
        plan(load_spec(path), accepted_arguments)
    assert str(caught.value).startswith(f"{path}:{line}")
    assert "\n" not in str(caught.value)


def test_models_whose_requests_are_not_timed_are_offered_nothing() -> None:
    stock = {"name": "S", "model": "hf", "args": {"pretrained": "s"}}
    sweep = {**SPEC, "models": [*SPEC["models"], stock], "load": LOAD}
    cells = plan(Sweep.model_validate(sweep), BATCHED.__getitem__)
    assert {cell.name for cell in under_load(cells)} == {"D", "A"}
    alone = {**sweep, "models": [stock], "suites": [{"task": "t", "metric": "m"}]}
    with pytest.raises(UsageError, match="no model of the sweep keeps the time of each request"):
        plan(Sweep.model_validate(alone), BATCHED.__getitem__)


def written_out(tasks: list[str], model: str = "dllm") -> list[Cell]:
    suites = [{"task": task, "metric": "m", "title": task.upper()} for task in tasks]
    models = [{"name": "D", "model": model, "args": {"pretrained": "reference-diffusion"}}]
    models[0]["args"] = {} if model != "dllm" else models[0]["args"]
    sweep = {"name": "n", "models": models, "suites": suites, "load": LOAD}
    return plan(Sweep.model_validate(sweep), accepted_arguments)


def test_suites_that_ask_for_likelihoods_have_no_load_cells() -> None:
    planned = written_out(["ref_humaneval", "ref_reversal_choice"])
    kept = offerable(planned, ())
    assert {cell.task for cell in under_load(kept)} == {"ref_humaneval"}
    assert [c for c in planned if c.purpose != "load"] == [c for c in kept if c.purpose != "load"]
    assert left_out(planned, kept) == [
        "no load cells for REF_REVERSAL_CHOICE: it asks for likelihoods, not for text"
    ]
    with pytest.raises(UsageError, match="no suite of the load cells asks for text"):
        offerable(written_out(["ref_reversal_choice"]), ())


def test_a_model_class_that_knows_no_load_is_named() -> None:
    planned = written_out(["ref_humaneval"], model="fake_model:FakeLM")
    with pytest.raises(UsageError, match="model 'fake_model:FakeLM' cannot be offered a load"):
        offerable(planned, ())


def test_the_shipped_sweep_plans_every_setting_under_every_load() -> None:
    sweep = load_spec(Path("load"))
    cells = offerable(plan(sweep, accepted_arguments), tuple(sweep.include))
    found = under_load(cells)
    assert sweep.load is not None
    levels = len(sweep.load.in_flight) + len(sweep.load.arrivals_per_s)
    settings = {cell.config_id for cell in cells}
    assert len(settings) == 6  # two of diffusion and one of AR, on two suites
    assert len(found) == (6 * levels - 2) * 3  # of three rounds; two are excluded
    assert {cell.name for cell in found} == {"Reference diffusion", "Reference AR"}
