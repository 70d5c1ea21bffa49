"""What a user may get wrong, as a user types it: one clear line, exit code 2, no traceback."""

import json
import shutil
from collections.abc import Sequence
from functools import partial
from pathlib import Path

import lm_eval.tasks
import pytest
import yaml

from dllm_eval.cli import run_command

RUN = ("run", "--model", "dllm", "--tasks", "ref_reversal", "--limit", "1", "--device", "cpu")


@pytest.fixture
def our_tasks_only(monkeypatch: pytest.MonkeyPatch) -> None:
    """Spares lm-eval the look through its own thousands of tasks, which takes seconds."""
    whole = lm_eval.tasks.TaskManager
    monkeypatch.setattr(lm_eval.tasks, "TaskManager", partial(whole, include_defaults=False))


def fails(arguments: Sequence[str], capsys: pytest.CaptureFixture[str]) -> str:
    """Runs a command that must fail with one line; gives the line."""
    capsys.readouterr()
    assert run_command(list(arguments)) == 2
    lines = [line for line in capsys.readouterr().err.splitlines() if "dllm-eval:" in line]
    assert len(lines) == 1
    assert lines[0].startswith("dllm-eval: ")
    return lines[0]


@pytest.mark.parametrize(
    ("model_args", "text"),
    [
        ("pretrained=reference-diffusion,step=8", "unknown argument of dllm 'step' (did you mean"),
        (
            "pretrained=reference-diffusion,gen_length=8,block_length=4,steps=3",
            "steps 3 does not divide into 2 blocks",
        ),
        (
            "pretrained=reference-diffusion,gen_length=8,block_length=16,steps=8",
            "block_length 16 is longer than the canvas: gen_length is 8",
        ),
        ("pretrained=no/such/folder/here,gen_length=8,steps=8", "no/such/folder/here"),
        ("pretrained={corrupt},gen_length=8,steps=8", "model.safetensors"),
    ],
)
@pytest.mark.usefixtures("our_tasks_only")
def test_wrong_model_arguments(
    model_args: str,
    text: str,
    tiny_llada: Path,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    corrupt = shutil.copytree(tiny_llada, tmp_path / "corrupt")
    weights = corrupt / "model.safetensors"
    weights.write_bytes(weights.read_bytes()[:-100])
    line = fails([*RUN, "--model_args", model_args.format(corrupt=corrupt)], capsys)
    assert text in line


@pytest.mark.usefixtures("our_tasks_only")
@pytest.mark.parametrize(
    ("task", "text"),
    [
        ("ref_humanevel", "Tasks not found: ref_humanevel (did you mean 'ref_humaneval'?); list"),
        ("ref_humaneval", "allow it with --confirm_run_unsafe_code"),
    ],
)
def test_a_wrong_or_unconfirmed_task(
    task: str, text: str, capsys: pytest.CaptureFixture[str]
) -> None:
    arguments = ["--model_args", "pretrained=reference-diffusion", "--limit", "1"]
    line = fails(["run", "--model", "dllm", "--tasks", task, *arguments], capsys)
    assert text in line


@pytest.mark.usefixtures("our_tasks_only")
@pytest.mark.parametrize(
    ("arguments", "text"),
    [
        (["--limit", "0"], "--limit leaves no document"),
        (["--limit", "-1"], "--limit leaves no document"),
        (["--samples", '{"ref_reversal": [5000]}'], "should be in the interval [0,k-1]"),
        (["--metadata", '{"items":'], 'Invalid JSON: {"items":'),
    ],
)
def test_documents_that_are_not_there(
    arguments: list[str], text: str, capsys: pytest.CaptureFixture[str]
) -> None:
    command = ["run", "--model", "dllm-ar", "--tasks", "ref_reversal", "--device", "cpu"]
    line = fails([*command, "--model_args", "pretrained=reference-ar", *arguments], capsys)
    assert text in line


@pytest.mark.usefixtures("our_tasks_only")
@pytest.mark.parametrize(
    ("arguments", "text"),
    [
        (["--model", "dlm", "--tasks", "ref_reversal"], "unknown model 'dlm' (did you mean 'dllm'"),
        (["--config", "{folder}/none.yaml"], "none.yaml' cannot be read: [Errno 2] No such file"),
        (["--config={folder}/torn.yaml"], "torn.yaml' is not valid YAML: while parsing a flow"),
        (["-C", "{folder}/list.yaml"], "list.yaml' holds no mapping; accepted: keys such as model"),
        (
            ["--tasks", "ref_reversal", "--output_path", "{folder}/torn.yaml/x"],
            "torn.yaml' is no folder that can be written into; pass another path",
        ),
        (["--tasks", ""], "--tasks names no task; list them with: lm_eval ls tasks"),
        (["--tasks", "ref_reversal", "--num_fewshot", "-1"], "--num_fewshot is -1; accepted: a wh"),
        (["--tasks", "ref_reversal", "--num_fewshot=-2"], "--num_fewshot is -2; accepted: a whole"),
    ],
)
def test_a_wrong_command_line_of_run(
    arguments: list[str], text: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "torn.yaml").write_text("{")
    (tmp_path / "list.yaml").write_text("- 1")
    filled = [argument.format(folder=tmp_path) for argument in arguments]
    assert text in fails(["run", *filled, "--limit", "1"], capsys)


def spec(tmp_path: Path, **changes: object) -> str:
    whole = {
        "name": "t",
        "models": [{"name": "d", "model": "dllm", "args": {"pretrained": "reference-diffusion"}}],
        "suites": [{"task": "ref_reversal", "metric": "exact_match", "sweep": {"steps": [1]}}],
    }
    path = tmp_path / "spec.yaml"
    path.write_text(yaml.safe_dump({**whole, **changes}))
    return str(path)


def test_an_empty_task_list(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    line = fails(["sweep", spec(tmp_path, suites=[]), "--out", str(tmp_path / "out")], capsys)
    assert "suites" in line
    assert not (tmp_path / "out").exists()


def test_a_spec_with_a_typo(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    line = fails(["sweep", spec(tmp_path, sutes=[]), "--out", str(tmp_path / "out")], capsys)
    assert "sutes" in line
    assert "suites" in line


def test_a_results_folder_of_another_version(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "out"
    out.mkdir()
    written = json.dumps({"schema_version": 999})
    (out / "sweep.json").write_text(written)
    for command in (["sweep", spec(tmp_path), "--out", str(out)], ["report", str(out)]):
        assert "999" in fails(command, capsys)
    assert (out / "sweep.json").read_text() == written
    assert [path.name for path in out.iterdir()] == ["sweep.json"]
