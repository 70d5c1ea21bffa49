"""Every fault in a sweep file is one line that says where it is and what would be accepted."""

from collections.abc import Callable
from pathlib import Path

import pytest

from dllm_eval.errors import UsageError
from dllm_eval.sweep.spec_file import load_spec

GOOD = """\
name: demo
models:
  - {name: A, model: dllm, args: {pretrained: x}}
suites:
  - task: t
    metric: acc
    chance: 0
    sweep: {steps: [1, 2], temperature: 0.5}
latency: {min_seconds: 0}
"""

FAULTS = [
    (
        "suites:",
        "suits:",
        "sweep.yaml:4: unknown key 'suits' (did you mean 'suites'?); known: name",
    ),
    (
        "metric: acc",
        "metrc: acc",
        "sweep.yaml:6: unknown key 'suites[0].metrc' (did you mean 'metric'?)",
    ),
    ("    metric: acc\n", "", "sweep.yaml:5: missing key 'suites[0].metric'; known: task"),
    ("    chance: 0", "    chanc: 0", "sweep.yaml:7: unknown key 'suites[0].chanc' (did you mean"),
    ("{min_seconds: 0}", "{min_secs: 0}", "sweep.yaml:9: unknown key 'latency.min_secs' (did you"),
    ("min_seconds: 0", "min_seconds: fast", "'latency.min_seconds' should be a valid number, not "),
    ("model: dllm, ", "", "sweep.yaml:3: missing key 'models[0].model'; known: name, model, args"),
    (
        "{pretrained: x}",
        "x",
        "sweep.yaml:3: 'models[0].args' must be a mapping such as {pretrained: FOLDER}, not 'x'",
    ),
    ("[1, 2]", "[]", "sweep.yaml:8: 'suites[0].sweep.steps' is empty; it needs at least one entry"),
    (
        "metric: acc",
        "metric: 3",
        "sweep.yaml:6: 'suites[0].metric' should be a valid string, not 3",
    ),
    ("name: demo\n", "", "missing key 'name'; known: name, models, suites"),
    (
        "steps: [1, 2]",
        "steps: 1, 2, 4",
        "sweep.yaml:8: a key is a name, not 2; several values are a list: steps: [1, 2, 4]",
    ),
    ("steps: [1, 2]", "7: 4", "sweep.yaml:8: a key is a name, not 7"),
    ("name: demo", "name: [", "not valid YAML"),
    (
        "chance: 0",
        "limit: 0",
        "sweep.yaml:7: 'suites[0].limit' should be greater than or equal to 1",
    ),
    ("chance: 0", "settings: {steps: 3}", "'steps' stands in both settings and sweep"),
    ("- {name: A", "- 7\n  - {name: A", "'models[0]' must be a mapping with the keys name, model"),
    (
        "name: demo",
        "loggers: {wandbb: {}}\nname: demo",
        "sweep.yaml:1: unknown key 'loggers.wandbb'",
    ),
    ("name: demo", "loggers: {wandb: 3}\nname: demo", "must be a mapping such as {wandb: {project"),
    ("  - {name: A", "  - {name: A, model: hf}\n  - {name: A", "two models are named 'A'"),
]


AXES = "sweep: {steps: [1, 2], temperature: 0.5}"
FAULTS_OF_A_LIST = [
    ("[]", "sweep.yaml:8: 'suites[0].sweep' is empty; it needs at least one entry"),
    (
        "klass",
        "sweep.yaml:8: 'suites[0].sweep' must be a mapping such as {steps: [8, 16]}, or a list of "
        "such mappings, not 'klass'",
    ),
    (
        "[{steps: 1},\n      klass]",
        "sweep.yaml:9: 'suites[0].sweep[1]' must be a mapping such as {steps: [8, 16]}, not "
        "'klass'",
    ),
    (
        "[{steps: 1},\n      {}]",
        "sweep.yaml:9: 'suites[0].sweep[1]' is empty; it needs at least one entry",
    ),
    (
        "[{steps: 1},\n      {sampler: []}]",
        "sweep.yaml:9: 'suites[0].sweep[1].sampler' is empty; it needs at least one entry",
    ),
    (
        "[{steps: 1},\n      {sampler: [{klass: 1}]}]",
        "sweep.yaml:9: 'suites[0].sweep[1].sampler[0]' must be a number, a name, true, false or "
        "null, not {'klass': 1}",
    ),
    (
        "[{steps: 1}, {steps: 2, temperature: 0}]\n    settings: {temperature: 1}",
        "'temperature' stands in both settings and sweep[1]; keep one of them",
    ),
]


@pytest.mark.parametrize(("value", "message"), FAULTS_OF_A_LIST)
def test_a_fault_in_a_list_of_products_names_its_entry(
    value: str, message: str, spec_file: Callable[[object], Path]
) -> None:
    with pytest.raises(UsageError) as caught:
        load_spec(spec_file(GOOD.replace(AXES, f"sweep: {value}")))
    assert message in str(caught.value)
    assert "\n" not in str(caught.value)


def test_a_mapping_and_a_list_of_one_mapping_say_the_same(
    spec_file: Callable[[object], Path],
) -> None:
    one = load_spec(spec_file(GOOD)).suites[0]
    listed = load_spec(spec_file(GOOD.replace(AXES, "sweep:\n      - " + AXES[7:]))).suites[0]
    assert one.products == listed.products == [{"steps": [1, 2], "temperature": [0.5]}]


def test_a_shipped_sweep_has_a_name_and_a_file_of_that_name_goes_before_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    assert load_spec(Path("samplers")).name == "samplers"
    (tmp_path / "demo").mkdir()
    assert load_spec(Path("demo")).name == "demo"
    (tmp_path / "samplers").write_text(GOOD.replace("name: demo", "name: mine"))
    assert load_spec(Path("samplers")).name == "mine"
    with pytest.raises(UsageError, match=r"'sampler': No such file.*by name: demo, load, samplers"):
        load_spec(Path("sampler"))


@pytest.mark.parametrize(("old", "new", "message"), FAULTS)
def test_a_fault_is_one_line_that_names_it(
    old: str, new: str, message: str, spec_file: Callable[[object], Path]
) -> None:
    assert old in GOOD
    with pytest.raises(UsageError) as caught:
        load_spec(spec_file(GOOD.replace(old, new)))
    assert message in str(caught.value)
    assert "sweep.yaml" in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("section", ["models", "suites"])
def test_an_empty_list_is_refused(section: str, spec_file: Callable[[object], Path]) -> None:
    lists = {"models": [{"name": "A", "model": "dllm"}], "suites": [{"task": "t", "metric": "m"}]}
    with pytest.raises(UsageError, match=f"'{section}' is empty; it needs at least one entry"):
        load_spec(spec_file({"name": "n", **lists, section: []}))


def test_a_missing_file_and_a_list_are_refused(
    tmp_path: Path, spec_file: Callable[[object], Path]
) -> None:
    with pytest.raises(UsageError, match=r"cannot read the sweep file .*No such file"):
        load_spec(tmp_path / "none.yaml")
    with pytest.raises(UsageError, match="a sweep is a mapping with the keys name, models"):
        load_spec(spec_file("- 1"))


def test_a_good_file_is_read_with_its_defaults(spec_file: Callable[[object], Path]) -> None:
    sweep = load_spec(spec_file(GOOD))
    assert sweep.models[0].kind == "diffusion"
    assert sweep.suites[0].sweep == {"steps": [1, 2], "temperature": [0.5]}
    assert (sweep.latency.requests, sweep.latency.warmup, sweep.seeds) == (10, 3, [0])


def test_the_demo_ships_six_step_counts_for_code() -> None:
    demo = load_spec(Path(load_spec.__globals__["__file__"]).parent / "demo.yaml")
    code = next(suite for suite in demo.suites if suite.task == "ref_humaneval")
    (axes,) = code.products
    assert len(axes["steps"]) >= 6
    assert {model.model for model in demo.models} == {"dllm", "dllm-ar"}
