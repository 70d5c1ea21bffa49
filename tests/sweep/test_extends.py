"""Sweep files that build on others: what wins, what is merged, and whose line an error names."""

import pickle
from pathlib import Path
from typing import Any

import pytest

from dllm_eval.errors import UsageError
from dllm_eval.sweep.spec_file import load_spec

BASE = """\
name: base
models:
  - {name: D, model: dllm, args: {pretrained: d, dtype: float32}}
  - {name: A, model: dllm-ar, args: {pretrained: a}}
suites:
  - task: t
    title: T
    metric: acc
    limit: 9
    settings: {gen_length: 8, temperature: 1}
    sweep: {steps: [1, 2], block_length: [4]}
  - {task: u, metric: acc}
latency: {rounds: 2, warmup: 1}
seeds: [0, 1]
"""


@pytest.fixture
def load(tmp_path: Path) -> Any:
    (tmp_path / "base.yaml").write_text(BASE)

    def write_and_load(text: str, name: str = "own.yaml") -> Any:
        (tmp_path / name).write_text(text)
        return load_spec(tmp_path / name)

    return write_and_load


def test_keys_override_and_entries_are_merged_by_name(load: Any) -> None:
    found = load(
        "extends: base.yaml\n"
        "name: own\n"
        "models:\n  - {name: D, args: {dtype: bfloat16}}\n  - {name: E, model: hf}\n"
        "suites:\n  - {title: T, settings: {gen_length: 16}, sweep: {steps: [3]}}\n"
        "latency: {rounds: 5}\nseeds: [7]\n"
    )
    assert (found.name, found.seeds) == ("own", [7])
    assert [model.name for model in found.models] == ["D", "A", "E"]
    assert found.models[0].args == {"pretrained": "d", "dtype": "bfloat16"}
    assert found.models[0].kind == "diffusion"
    assert [suite.name for suite in found.suites] == ["T", "u"]
    assert found.suites[0].settings == {"gen_length": 16, "temperature": 1}
    assert found.suites[0].sweep == {"steps": [3]}
    assert (found.suites[0].limit, found.suites[0].metric) == (9, "acc")
    assert (found.latency.rounds, found.latency.warmup) == (5, 1)


def test_a_suite_without_a_title_goes_by_its_task(load: Any) -> None:
    found = load("extends: base.yaml\nsuites:\n  - {task: t, limit: 3}\n  - {task: v, metric: m}\n")
    assert [(suite.task, suite.limit) for suite in found.suites] == [
        ("t", 3),
        ("u", None),
        ("v", None),
    ]


def test_an_empty_addition_is_the_base_and_nothing_is_shared(load: Any) -> None:
    found = load("extends: base.yaml\n")
    base = load(BASE, "again.yaml")
    assert found == base
    assert found.canonical() == base.canonical()
    assert load("extends: base.yaml\nsuites: []\n") == base


def test_files_extend_in_turn_and_a_shipped_one_by_name(load: Any, tmp_path: Path) -> None:
    (tmp_path / "sub").mkdir()
    (tmp_path / "middle.yaml").write_text("extends: base.yaml\nname: middle\nseeds: [3]\n")
    found = load("extends: ../middle.yaml\nseeds: [4]\n", "sub/own.yaml")
    assert (found.name, found.seeds, found.latency.rounds) == ("middle", [4], 2)
    shipped = load("extends: demo\nname: mine\n")
    assert (shipped.name, len(shipped.suites)) == ("mine", len(load_spec(Path("demo")).suites))


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("extends: nowhere.yaml\n", "own.yaml:1: 'extends': cannot read the sweep file"),
        ("name: x\nextends: own.yaml\n", "own.yaml:2: 'extends' leads back to"),
        ("extends: loop.yaml\n", "loop.yaml:1: 'extends' leads back to"),
        ("extends: [base.yaml]\n", "own.yaml:1: 'extends' must name one sweep file"),
        ("extends:\nname: x\n", "own.yaml:1: 'extends' must name one sweep file"),
        ("extends: bad.yaml\n", "bad.yaml:8: unknown key 'suites[0].metrc'"),
        ("extends: broken.yaml\n", "broken.yaml:2: not valid YAML"),
        ("extends: base.yaml\nlatency: {runds: 1}\n", "own.yaml:2: unknown key 'latency.runds'"),
        (
            "extends: base.yaml\nsuites:\n  - {title: N, metric: m}\n",
            "own.yaml:3: missing key 'suites[2].task'",
        ),
        (
            "extends: base.yaml\nsuites:\n  - {title: T, settings: {steps: 1}}\n",
            "own.yaml:3: in 'suites[0]': 'steps' stands in both settings and sweep",
        ),
        (
            "extends: base.yaml\nsuites:\n  - {title: T, sweep: {temperature: 1}}\n",
            "base.yaml:10: in 'suites[0]': 'temperature' stands in both",
        ),
        ("extends: twice.yaml\nsuites:\n  - {task: t}\n", "2 entries of the extended file have"),
        ("extend: base.yaml\n", "own.yaml:1: unknown key 'extend' (did you mean 'extends'?)"),
    ],
)
def test_an_error_names_the_file_and_line_where_the_fault_stands(
    text: str, message: str, load: Any, tmp_path: Path
) -> None:
    (tmp_path / "loop.yaml").write_text("extends: own.yaml\n")
    (tmp_path / "bad.yaml").write_text(BASE.replace("metric: acc", "metrc: acc", 1))
    (tmp_path / "broken.yaml").write_text("name: [\n")
    twice = BASE.replace("{task: u", "{task: t, title: V")
    (tmp_path / "twice.yaml").write_text(twice)
    with pytest.raises(UsageError) as caught:
        load(text)
    assert message in str(caught.value)
    assert "\n" not in str(caught.value)


def test_a_sweep_knows_its_lines_and_travels(load: Any, tmp_path: Path) -> None:
    found = load("extends: base.yaml\nsuites:\n  - {title: T, limit: 3}\n")
    own, base = tmp_path / "own.yaml", tmp_path / "base.yaml"
    assert found.place("suites", 0, "limit") == f"{own}:3: "
    assert found.place("suites", 0, "metric") == f"{base}:8: "
    assert found.place("suites", 0, "sweep", "steps", 1) == f"{base}:11: "
    assert found.place("models", 1, "args", "nothing") == f"{base}:4: "
    again = pickle.loads(pickle.dumps(found))
    assert again == found
    assert again.place("seeds", 1) == found.place("seeds", 1) == f"{base}:14: "
    assert type(found).model_validate(found.canonical()).place("seeds") == ""
