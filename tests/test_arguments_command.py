"""`dllm-eval arguments`: the models, one model, JSON, and the page that is made by it."""

import json
import re
from pathlib import Path

import pytest

from dllm_eval.catalogue.arguments import MODELS, groups_of, markdown
from dllm_eval.cli import run_command
from dllm_eval.registry import ARGUMENTS, LM_EVAL_MODELS, resolve
from dllm_eval.samplers.catalogue import part_setting_names

ROOT = Path(__file__).parent.parent


def shown(model: str) -> list[str]:
    return [each.name for group in groups_of(model) for each in group.arguments]


def test_the_page_is_what_the_command_writes() -> None:
    assert (ROOT / "docs/arguments.md").read_text(encoding="utf-8") == markdown(), (
        "run: dllm-eval arguments --out docs/arguments.md"
    )


def test_every_model_of_ours_is_on_it() -> None:
    assert set(ARGUMENTS) == set(MODELS) == set(LM_EVAL_MODELS)


@pytest.mark.parametrize("model", ARGUMENTS)
def test_every_accepted_argument_is_on_the_page(model: str) -> None:
    accepted = set(resolve("model", LM_EVAL_MODELS, model).argument_names)
    if model == "dllm":  # docs/samplers.md has those that only a part declares
        accepted -= set(part_setting_names()) - set(shown(model))
    assert set(shown(model)) == accepted
    if model != "dllm-engine":  # several engines have a setting of one name
        assert len(shown(model)) == len(set(shown(model)))


@pytest.mark.parametrize("model", ARGUMENTS)
def test_each_says_what_it_does(model: str) -> None:
    for group in groups_of(model):
        for each in group.arguments:
            assert each.says.endswith((".", '."')), each
            assert each.accepted, each
            assert each.default, each
            assert not re.search(r"\bNone\b", each.says), each


@pytest.mark.parametrize(
    ("model", "module"),
    [("dllm", "arguments"), ("dllm-ar", "arguments"), ("dllm-api", "api_arguments")],
)
def test_what_is_called_cost_changes_no_answer(model: str, module: str) -> None:
    cost_only = resolve("names", {"cost": f"dllm_eval.adapters.{module}:COST_ONLY"}, "cost")
    [cost] = [group for group in groups_of(model) if group.title == "Cost and records"]
    assert {each.name for each in cost.arguments} <= set(cost_only)


@pytest.mark.parametrize(
    ("model", "name", "accepted", "default"),
    [
        ("dllm", "pretrained", "a folder, a hub id, or a shipped model's name", "required"),
        ("dllm", "steps", "whole, at least 1", "64"),
        ("dllm", "block_length", "whole, at least 1", "unset"),
        ("dllm", "threshold", "0 to 1", "unset"),
        ("dllm", "eos_policy", "none, forbid, last", "none"),
        ("dllm", "strict_threshold", "true, false", "false"),
        ("dllm", "race", "0 (off) to below 0.5", "0"),
        ("dllm", "max_enumeration", "whole, 1 to 16", "6"),
        ("dllm-ar", "speculative", "none, prompt_lookup, assisted", "none"),
        ("dllm-ar", "temperature", "at least 0", "0"),
        ("dllm-api", "connect_s", "above 0", "10"),
        ("dllm-api", "base_url", "http://HOST:PORT/v1, https://HOST/v1", "unset"),
        ("dllm-engine", "engine", "sglang, vllm, lmdeploy, transformers", "required"),
        ("dllm-engine", "continuous_batching", "true or false", "requests are answered one after"),
    ],
)
def test_values_and_defaults_are_those_of_the_classes(
    model: str, name: str, accepted: str, default: str
) -> None:
    [found] = [each for group in groups_of(model) for each in group.arguments if each.name == name]
    assert found.accepted == accepted
    assert found.default.startswith(default)


def test_a_subclass_says_what_its_base_says() -> None:
    says = {each.name: each.says for group in groups_of("dllm-engine") for each in group.arguments}
    assert says["tries"].startswith("How often a request is sent at most")
    assert says["start_s"] == "Most seconds that a server may take until it answers."


def test_a_model_fits_a_terminal_of_100_columns(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", "100")
    assert run_command(["arguments", "dllm"]) == 0
    printed = capsys.readouterr().out
    assert all(re.search(rf"^ {name} +\S", printed, re.MULTILINE) for name in shown("dllm"))
    assert max(len(line) for line in printed.splitlines()) <= 100
    assert "](" not in printed


def test_without_a_model_all_names_are_listed(capsys: pytest.CaptureFixture[str]) -> None:
    assert run_command(["arguments"]) == 0
    printed = " ".join(capsys.readouterr().out.split())
    assert all(f"{model}: {MODELS[model]}" in printed for model in ARGUMENTS)
    assert "infill_length, infill_lengths, boundary" in printed


def test_json_has_one_model_or_all(capsys: pytest.CaptureFixture[str]) -> None:
    assert run_command(["arguments", "dllm-ar", "--json"]) == 0
    one = json.loads(capsys.readouterr().out)
    assert [group["title"] for group in one][:2] == ["Which model", "Decoding"]
    assert run_command(["arguments", "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["dllm-ar"] == one


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (["dlm"], "unknown model 'dlm' (did you mean 'dllm'?)"),
        (["dllm", "--out", "x.md"], "leave out the name"),
    ],
)
def test_a_mistake_is_one_clear_line(
    arguments: list[str], says: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run_command(["arguments", *arguments]) == 2
    message = capsys.readouterr().err
    assert says in message
    assert message.count("\n") == 1
