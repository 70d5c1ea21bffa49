"""Per-model settings, axes and suites, batch sizes and searches: which cells they make."""

import json
from collections import Counter
from pathlib import Path
from typing import Any

import pytest
from small_spec import SPEC, TAKES

from dllm_eval.errors import UsageError
from dllm_eval.sweep.models import accepted_arguments
from dllm_eval.sweep.plan import Cell, plan
from dllm_eval.sweep.spec import Sweep
from dllm_eval.sweep.spec_file import load_spec

D, A = SPEC["models"]
SUITE = SPEC["suites"][0]
SEARCH = {"dial": "steps", "values": [1, 2, 4]}


def cells_of(**changes: Any) -> list[Cell]:
    return plan(Sweep.model_validate({**SPEC, **changes}), TAKES.__getitem__)


def quality(**changes: Any) -> list[Cell]:
    return [cell for cell in cells_of(**changes) if cell.purpose == "quality"]


def told(cells: list[Cell]) -> list[tuple[str, str, dict[str, Any]]]:
    return [(cell.name, cell.suite, cell.settings) for cell in cells]


def test_ids_of_the_shipped_demo_stay_what_they_were() -> None:
    cells = plan(load_spec(Path("demo")), accepted_arguments)
    assert sum(cell.batch_size == 1 or cell.purpose == "quality" for cell in cells) == 294
    pinned = {0: "6a0b70cea3e3c74a", 5: "2d0663bb0285ebe4"}
    assert {place: cells[place].cell_id for place in pinned} == pinned
    assert {"e54de04f1c17e290", "aff6feab22b91432"} <= {cell.cell_id for cell in cells}


def test_a_cell_written_by_an_older_version_is_read() -> None:
    new = ("swept", "search", "search_dial", "search_within", "search_confidence")
    for cell in (cells_of()[0], cells_of()[-1]):
        old = {name: value for name, value in cell.as_dict().items() if name not in new}
        found = Cell.from_dict(json.loads(json.dumps(old)))
        assert (found.cell_id, found.timing, found.search) == (cell.cell_id, cell.timing, "")


def test_a_models_settings_win_over_the_suites() -> None:
    found = quality(models=[{**D, "settings": {"gen_length": 16}}, A])
    assert {cell.name: cell.settings["gen_length"] for cell in found} == {"D": 16, "A": 8}
    assert {cell.arguments["pretrained"] for cell in found} == {"d", "a"}


def test_a_models_sweep_takes_the_place_of_the_suites_whatever_its_kind() -> None:
    found = quality(models=[{**D, "sweep": {"steps": [7]}}, {**A, "sweep": {"gen_length": [1, 2]}}])
    assert told(found) == [
        ("D", "t", {"gen_length": 8, "steps": 7}),
        ("A", "t", {"gen_length": 1}),
        ("A", "t", {"gen_length": 2}),
    ]
    assert found[-1].swept == ("gen_length",)
    assert [c.settings for c in quality(models=[{**D, "sweep": {}}])] == [{"gen_length": 8}]


def test_models_and_suites_choose_each_other() -> None:
    suites = [{**SUITE, "title": "T", "sweep": {}}, {"task": "u", "metric": "m"}]
    found = quality(models=[{**D, "suites": ["u"]}, A], suites=suites)
    assert [(c.name, c.task) for c in found] == [("D", "u"), ("A", "t"), ("A", "u")]
    found = quality(suites=[{**suites[0], "models": ["A"]}, suites[1]])
    assert [(c.name, c.task) for c in found] == [("D", "u"), ("A", "t"), ("A", "u")]
    found = quality(models=[{**D, "suites": ["T"]}, A], suites=[suites[0]])
    assert {cell.name for cell in found} == {"D", "A"}


def test_every_round_has_every_batch_size_in_an_order_of_its_own() -> None:
    takes = TAKES | {"dllm-ar": TAKES["dllm-ar"] | {"batch_size"}}
    spec = {**SPEC, "latency": {"batch_sizes": [1, 4], "rounds": 3}, "suites": [{**SUITE}]}
    spec["suites"][0]["limit"] = 20
    cells = plan(Sweep.model_validate(spec), takes.__getitem__)
    latency = [cell for cell in cells if cell.timing is not None]
    rounds = [latency[i : i + 10] for i in (0, 10, 20)]
    for turn, timed in enumerate(rounds):
        assert {cell.timing.round for cell in timed if cell.timing} == {turn}
        assert Counter(cell.batch_size for cell in timed) == {1: 5, 4: 5}
    orders = [[(cell.config_id, cell.batch_size) for cell in timed] for timed in rounds]
    assert orders[0] != orders[1] != orders[2]
    assert [size for _, size in orders[0]] != sorted(size for _, size in orders[0])
    assert any(cell.label.endswith("(latency, round 1, batch 4)") for cell in latency)


def test_batch_size_one_has_the_ids_it_had_without_the_others() -> None:
    alone = {cell.cell_id for cell in cells_of(latency={"rounds": 1})}
    more = cells_of(latency={"rounds": 1, "batch_sizes": [1, 2]})
    assert {c.cell_id for c in more if c.purpose == "quality" or c.batch_size == 1} == alone
    assert len({c.cell_id for c in more}) == len(more)


@pytest.mark.parametrize(
    ("requests", "size", "limit", "documents", "relaxed"),
    [
        (10, 1, None, 10, False),
        (10, 4, None, 10, False),
        (10, 8, None, 16, False),
        (10, 8, 12, 12, False),
        (10, 8, 8, 8, True),
        (3, 2, None, 4, True),
        (3, 1, 2, 2, True),
    ],
)
def test_two_full_batches_are_timed_as_far_as_there_are_documents(
    requests: int, size: int, limit: int | None, documents: int, relaxed: bool
) -> None:
    latency = {"requests": requests, "batch_sizes": [size], "rounds": 1}
    cells = cells_of(latency=latency, suites=[{**SUITE, "limit": limit}], models=[D])
    timed = [cell for cell in cells if cell.timing is not None]
    assert len(timed) == 4
    assert {cell.limit for cell in timed} == {documents}
    assert {cell.timing.requests for cell in timed if cell.timing} == {documents}
    assert {cell.timing.relaxed for cell in timed if cell.timing} == {relaxed}
    assert {cell.batch_size for cell in timed} == {size}


def test_a_model_without_batches_is_timed_alone_only() -> None:
    cells = cells_of(latency={"batch_sizes": [1, 4], "rounds": 1})
    assert {c.batch_size for c in cells if c.name == "A" and c.timing is not None} == {1}


def test_a_search_has_a_candidate_for_every_value_at_every_point() -> None:
    suite = {**SUITE, "sweep": {"block_length": [4, 8]}, "search": SEARCH}
    cells = cells_of(suites=[suite], seeds=[0, 1], latency={"rounds": 2})
    candidates = [cell for cell in cells if cell.search]
    assert {cell.name for cell in candidates} == {"D"}
    assert len(candidates) == 3 * 2 * 2 * (1 + 2)
    searches = {cell.search: cell.arguments["block_length"] for cell in candidates}
    assert sorted(map(str, searches.values())) == ["4", "8"]
    for name, length in searches.items():
        own = [cell for cell in candidates if cell.search == name]
        assert {cell.arguments["block_length"] for cell in own} == {length}
        assert Counter(cell.dial_value for cell in own) == {1.0: 6, 2.0: 6, 4.0: 6}
        assert {cell.purpose for cell in own} == {"quality", "latency"}
    first = candidates[0]
    assert (first.search_dial, first.search_within, first.search_confidence) == (
        "steps",
        0.01,
        0.95,
    )
    assert [cell.search for cell in cells if cell.name == "A"] == [""] * 6


def test_a_candidate_has_the_id_of_the_same_cell_in_a_grid() -> None:
    searched = cells_of(suites=[{**SUITE, "sweep": {}, "search": SEARCH}])
    grid = cells_of(suites=[{**SUITE, "sweep": {"steps": [1, 2, 4]}}])
    assert {c.cell_id for c in searched} == {c.cell_id for c in grid}
    assert [c for c in grid if c.search] == []
    assert len({c.search for c in searched if c.search}) == 1


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"models": [{**D, "suites": ["T"]}, A]}, "entry of 'models[0].suites' 'T'; known: t"),
        ({"suites": [{**SUITE, "models": ["d"]}]}, "entry of 'suites[0].models' 'd'; known: A, D"),
        ({"suites": [{**SUITE, "models": ["D"]}]}, "model 'A' is run on no suite"),
        (
            {"suites": [SUITE, {"task": "u", "metric": "m"}], "models": [{**D, "suites": ["t"]}]},
            "suite 'u' is run by no model",
        ),
        ({"models": [D, {**A, "settings": {"steps": 1}}]}, "unknown setting of model 'A' 'steps'"),
        ({"models": [D, {**A, "sweep": {"steps": [1]}}]}, "sweep axis of model 'A' 'steps'"),
        ({"models": [{**D, "settings": {"steps": 1}}]}, "or give the model a sweep of its own"),
        ({"latency": {"batch_sizes": [1, 6]}}, "batch size 6 is above the limit of suite 't'"),
        ({"suites": [{**SUITE, "search": SEARCH}]}, "and stands in its sweep too"),
        (
            {"suites": [{**SUITE, "sweep": {}, "search": {**SEARCH, "dial": "gen_length"}}]},
            "'gen_length' is searched on suite 't' and stands in its settings too",
        ),
        (
            {
                "suites": [{**SUITE, "sweep": {}, "search": SEARCH}],
                "models": [{**D, "settings": {"steps": 3}}],
            },
            "'steps' is searched on suite 't' and stands in the settings of model 'D' too",
        ),
        (
            {
                "suites": [{**SUITE, "sweep": {}, "search": SEARCH}],
                "models": [{**D, "sweep": {"steps": [3]}}],
            },
            "'steps' is searched on suite 't' and stands in the sweep of model 'D' too",
        ),
        (
            {"suites": [{**SUITE, "sweep": {}, "search": {**SEARCH, "dial": "stepz"}}]},
            "unknown dial of suite 't' for model 'D' 'stepz' (did you mean 'steps'?)",
        ),
        (
            {"suites": [{**SUITE, "sweep": {}, "search": SEARCH}], "models": [A]},
            "suite 't' searches a dial and no diffusion model runs it",
        ),
    ],
)
def test_contradictions_are_named(changes: dict[str, Any], message: str) -> None:
    with pytest.raises(UsageError) as caught:
        cells_of(**changes)
    assert message in str(caught.value)
    assert "\n" not in str(caught.value)


def test_a_batch_size_above_a_limit_matters_only_where_something_is_timed() -> None:
    assert cells_of(latency={"batch_sizes": [99], "enabled": False})
