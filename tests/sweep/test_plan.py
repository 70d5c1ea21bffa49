"""Cells: which there are, in which order, and what their ids depend on."""

import hashlib
import json
from collections import Counter
from pathlib import Path
from typing import Any

import pytest
from small_spec import SPEC, TAKES

from dllm_eval.errors import UsageError
from dllm_eval.sweep.folder import ResultsFolder
from dllm_eval.sweep.plan import Cell, plan
from dllm_eval.sweep.spec import Sweep
from dllm_eval.sweep.store import read_results


def cells_of(**changes: Any) -> list[Cell]:
    return plan(Sweep.model_validate({**SPEC, **changes}), TAKES.__getitem__)


def test_axes_multiply_in_the_order_written_and_for_diffusion_only() -> None:
    quality = [cell for cell in cells_of() if cell.purpose == "quality"]
    points = [(c.arguments.get("steps"), c.arguments.get("block_length")) for c in quality]
    assert points == [(1, 4), (1, 8), (2, 4), (2, 8), (None, None)]
    assert [c.dial for c in quality] == ["steps"] * 4 + [""]
    assert quality[-1].arguments == {"pretrained": "a", "gen_length": 8}
    assert quality[0].settings == {"gen_length": 8, "steps": 1, "block_length": 4}


WAYS: list[dict[str, Any]] = [
    {"sampler": ["entropy", "margin"], "steps": [4, 8]},
    {"sampler": "threshold", "threshold": [0.7, 0.9]},
    {"sampler": "klass"},
    {"sampler": ["entropy"], "steps": [8, 16]},
]


def ways(listed: list[dict[str, Any]], **changes: Any) -> list[Cell]:
    takes = TAKES | {"dllm": TAKES["dllm"] | {"sampler", "threshold"}}
    suite = {"task": "t", "metric": "m", "settings": {"gen_length": 8}, "sweep": listed}
    sweep = Sweep.model_validate(SPEC | {"suites": [suite]} | changes)
    return plan(sweep, lambda name: takes[name])


def test_products_of_a_list_come_one_after_the_other_and_nothing_twice() -> None:
    quality = [cell for cell in ways(WAYS) if cell.purpose == "quality"]
    told = [{k: v for k, v in c.settings.items() if k != "gen_length"} for c in quality]
    assert told == [
        {"sampler": "entropy", "steps": 4},
        {"sampler": "entropy", "steps": 8},
        {"sampler": "margin", "steps": 4},
        {"sampler": "margin", "steps": 8},
        {"sampler": "threshold", "threshold": 0.7},
        {"sampler": "threshold", "threshold": 0.9},
        {"sampler": "klass"},
        {"sampler": "entropy", "steps": 16},
        {},
    ]
    assert quality[-1].name == "A"


def test_every_round_of_latency_has_the_cells_of_the_list_once() -> None:
    cells = ways(WAYS)
    for turn in range(3):
        timed = [c.config_id for c in cells if c.timing is not None and c.timing.round == turn]
        assert Counter(timed) == Counter(c.config_id for c in cells if c.purpose == "quality")


def test_a_setting_of_a_list_has_the_id_it_has_in_a_mapping() -> None:
    listed = ways([{"steps": [1]}, {"steps": [2]}])
    assert {c.cell_id for c in listed} == {c.cell_id for c in ways([{"steps": [1, 2]}])}


def test_a_label_names_all_that_is_swept() -> None:
    labels = [cell.label for cell in ways(WAYS) if cell.purpose == "quality"]
    assert labels[0] == "D, t sampler=entropy steps=4 (quality)"
    assert labels[5] == "D, t sampler=threshold threshold=0.9 (quality)"
    assert labels[6] == "D, t sampler=klass (quality)"
    assert labels[-1] == "A, t (quality)"


def test_the_same_value_twice_in_one_product_is_a_mistake() -> None:
    with pytest.raises(UsageError, match="two cells of the sweep are the same run: D, t steps=4"):
        ways([{"steps": [4, 4]}])


def test_an_unknown_axis_is_found_in_every_entry_of_a_list() -> None:
    with pytest.raises(UsageError, match=r"unknown sweep axis .* 'stepz' \(did you mean 'steps'"):
        ways([{"steps": [4]}, {"stepz": [8]}])


def test_cells_of_older_folders_still_have_their_label() -> None:
    cell = cells_of()[0]
    old = {k: v for k, v in cell.as_dict().items() if k != "swept"}
    assert Cell.from_dict(old).label == "D, t steps=1 (quality)"


@pytest.mark.parametrize("dial", ["threshold", "entropy_threshold", "entropy_bound"])
def test_a_swept_threshold_is_the_dial_of_its_suite(dial: str) -> None:
    suite = {"task": "t", "metric": "m", "sweep": {dial: [0.5, 0.95]}}
    takes = TAKES | {"dllm": TAKES["dllm"] | {dial}}
    cells = plan(Sweep.model_validate(SPEC | {"suites": [suite]}), lambda name: takes[name])
    turned = [(c.dial, c.dial_value) for c in cells if c.name == "D" and c.purpose == "quality"]
    assert turned == [(dial, 0.5), (dial, 0.95)]
    assert f"{dial}=0.95" in {cell.label.split()[2] for cell in cells if cell.dial}


def test_quality_comes_first_and_every_round_of_latency_has_another_order() -> None:
    cells = cells_of(seeds=[0, 1])
    assert [c.purpose for c in cells] == ["quality"] * 10 + ["latency"] * 30
    parts = [[c.config_id for c in cells[i : i + 10]] for i in range(0, 40, 10)]
    assert all(Counter(part) == Counter(parts[0]) for part in parts)
    assert len({tuple(part) for part in parts}) == 4
    rounds = [c.timing.round for c in cells if c.timing is not None]
    assert rounds == [0] * 10 + [1] * 10 + [2] * 10
    assert cells == cells_of(seeds=[0, 1])
    assert all(c.batch_size == 1 and c.limit == 5 for c in cells if c.purpose == "latency")


def test_ids_are_the_hash_of_the_canonical_description() -> None:
    cell = cells_of()[0]
    config = {
        "apply_chat_template": False,
        "arguments": {"pretrained": "d", "gen_length": 8, "steps": 1, "block_length": 4},
        "model": "dllm",
        "num_fewshot": None,
        "protocol": 1,
        "task": "t",
    }
    run = {"purpose": "quality", "limit": 5, "batch_size": 16, "timing": None, "seed": 0}
    for value, found in ((config, cell.config_id), ({**config, **run}, cell.cell_id)):
        text = json.dumps(value, sort_keys=True, separators=(",", ":"))
        assert found == hashlib.sha256(text.encode()).hexdigest()[:16]


def test_names_and_titles_change_no_id_and_seeds_do() -> None:
    ids = {cell.cell_id for cell in cells_of()}
    renamed = [{**model, "name": model["name"] + "!"} for model in SPEC["models"]]
    titled = [{**SPEC["suites"][0], "title": "T", "chance": 0.5}]
    assert {c.cell_id for c in cells_of(models=renamed, suites=titled)} == ids
    assert not {c.cell_id for c in cells_of(seeds=[3])} & ids


def test_seeds_of_one_setting_share_its_configuration() -> None:
    cells = [c for c in cells_of(seeds=[0, 1, 2, 3, 4]) if c.purpose == "quality"]
    assert Counter(Counter(c.config_id for c in cells).values()) == {5: 5}
    assert len({c.cell_id for c in cells}) == 25


def test_the_protocol_reaches_the_frames(tmp_path: Path) -> None:
    suites = [{**SPEC["suites"][0], "num_fewshot": 3, "apply_chat_template": True}]
    sweep = Sweep.model_validate({**SPEC, "suites": suites})
    ResultsFolder(tmp_path).begin(sweep, plan(sweep, TAKES.__getitem__))
    cells = read_results([tmp_path]).cells
    assert set(cells["num_fewshot"]) == {3}
    assert cells["apply_chat_template"].all()


def test_cells_survive_json() -> None:
    for cell in cells_of():
        assert Cell.from_dict(json.loads(json.dumps(cell.as_dict()))) == cell


def test_models_without_a_clock_get_no_latency_cell_and_one_seed() -> None:
    models = [{"name": "H", "model": "hf", "args": {"pretrained": "h"}}, SPEC["models"][0]]
    cells = [c for c in cells_of(models=models, seeds=[0, 1]) if c.name == "H"]
    assert [c.purpose for c in cells] == ["quality"]


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        (
            {"suites": [{**SPEC["suites"][0], "settings": {"gen_lenght": 8}}]},
            "unknown setting of suite 't' 'gen_lenght' (did you mean 'gen_length'?)",
        ),
        (
            {"suites": [{**SPEC["suites"][0], "sweep": {"stepz": [8]}}]},
            "unknown sweep axis of suite 't' 'stepz' (did you mean 'steps'?)",
        ),
        (
            {"models": [{"name": "D", "model": "dllm", "args": {"batch_size": 3}}]},
            "argument 'batch_size' of model 'D' is set by the sweep",
        ),
        (
            {"models": [{"name": "D", "model": "dllm", "args": {"pretraned": "d"}}]},
            "unknown argument of model 'D' 'pretraned' (did you mean 'pretrained'?)",
        ),
        (
            {"models": [SPEC["models"][0], {**SPEC["models"][0], "name": "E"}]},
            "two cells of the sweep are the same run: D, t steps=1 block_length=4 (quality) and "
            "E, t steps=1 block_length=4 (quality)",
        ),
    ],
)
def test_mistakes_are_named(changes: dict[str, Any], message: str) -> None:
    with pytest.raises(UsageError) as caught:
        cells_of(**changes)
    assert message in str(caught.value)


def test_fewer_timed_documents_than_the_rules_ask_for_are_recorded() -> None:
    timing = [c.timing for c in cells_of() if c.timing]
    assert timing[0].relaxed
    suites = [{**SPEC["suites"][0], "limit": None}]
    assert not next(c.timing for c in cells_of(suites=suites) if c.timing).relaxed
