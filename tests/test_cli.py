"""The command line: one line and exit code 2 for bad input, quick help, lm-eval's flags kept."""

import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from time import monotonic

import pytest

from dllm_eval.cli import run_command
from dllm_eval.registry import tasks_folder
from dllm_eval.sweep.lm_eval_run import with_our_tasks

SPEC = """\
name: demo
models: [{name: A, model: MODEL, args: {pretrained: PRETRAINED}}]
suites: [{task: TASK, metric: "pass@1", limit: 1, settings: {steps: STEPS}}]
confirm_run_unsafe_code: true
"""
FILLED = {
    "MODEL": "dllm",
    "PRETRAINED": "reference-diffusion",
    "TASK": "ref_humaneval",
    "STEPS": "4",
}


def one_error(arguments: Sequence[str], capsys: pytest.CaptureFixture[str]) -> str:
    """The command's only line on stderr, after it ended with 2."""
    assert run_command(list(arguments)) == 2
    lines = capsys.readouterr().err.strip().splitlines()
    assert len(lines) == 1, lines
    return lines[0]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["swep"], "No such command 'swep'"),
        (["sweep"], "Missing argument"),
        (["sweep", "none.yaml"], "cannot read the sweep file 'none.yaml': No such file"),
        (["sweep", "x.yaml", "--workers", "0"], "Invalid value for '--workers'"),
        (["report", "nowhere"], "'nowhere' is not a results folder: it has neither a sweep.json"),
        (["models", "LLaDA-8B-Bass"], "unknown model card 'LLaDA-8B-Bass' (did you mean"),
        (["models", "llada-8b"], "(did you mean 'LLaDA-8B-Base' or 'LLaDA-8B-Instruct'?); `dllm"),
        (["export", "x"], "--format is missing; accepted: csv, parquet, leaderboard, model-card"),
        (["export", "x", "--format", "csv"], "--out is missing; accepted: the folder"),
    ],
)
def test_bad_input_is_one_line_and_exit_code_2(
    arguments: list[str], message: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert message in one_error(arguments, capsys)


@pytest.mark.parametrize(
    ("key", "value", "message"),
    [
        ("MODEL", "dlm", "unknown model 'dlm' (did you mean 'dllm'"),
        ("MODEL", '"nowhere:Model"', "cannot import the model 'nowhere:Model'"),
        ("PRETRAINED", "./nowhere", "no model './nowhere': not a folder"),
        ("STEPS", "[1]", "'suites[0].settings.steps"),
    ],
)
def test_a_wrong_sweep_is_one_line_and_leaves_no_folder(
    key: str, value: str, message: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    text = SPEC
    for name, filled in {**FILLED, key: value}.items():
        text = text.replace(name, filled)
    (tmp_path / "s.yaml").write_text(text)
    command = ["sweep", str(tmp_path / "s.yaml"), "--out", str(tmp_path / "out")]
    assert run_command(command) == 2
    errors = [x for x in capsys.readouterr().err.splitlines() if x.startswith("dllm-eval: ")]
    assert len(errors) == 1
    assert message in errors[0]
    assert not (tmp_path / "out").exists()


def test_a_dry_run_lists_the_cells_and_writes_nothing(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    text = SPEC
    for name, filled in FILLED.items():
        text = text.replace(name, filled)
    (tmp_path / "s.yaml").write_text(text)
    out = tmp_path / "out"
    where = ["--out", str(out)]
    assert run_command(["sweep", str(tmp_path / "s.yaml"), "--dry-run", "--verbose", *where]) == 0
    printed = capsys.readouterr().out
    assert "A, ref_humaneval (quality), documents 1, batch 16" in printed
    assert "4 cells" in printed
    assert not out.exists()


def test_run_adds_our_tasks_unless_a_folder_is_named(tmp_path: Path) -> None:
    ours = ["--include_path", str(tasks_folder())]
    assert with_our_tasks([]) == []
    assert with_our_tasks(["--tasks", "x"]) == ["--tasks", "x", *ours]
    named = ["--tasks", "x", "--include_path", "mine"]
    assert with_our_tasks(named) == named
    assert with_our_tasks(["--include_path=mine"]) == ["--include_path=mine"]
    config = tmp_path / "config.yaml"
    config.write_text("include_path: mine\n")
    assert with_our_tasks(["--config", str(config)]) == ["--config", str(config)]
    config.write_text("tasks: x\n")
    assert with_our_tasks([f"--config={config}"]) == [f"--config={config}", *ours]


def test_a_wrong_model_argument_through_run_is_one_line() -> None:
    arguments = "--model dllm --model_args pretrained=reference-diffusion,stepz=8 --tasks ref_mmlu"
    command = [sys.executable, "-m", "dllm_eval", "run", *arguments.split()]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 2
    assert "Traceback" not in done.stderr
    errors = [x for x in done.stderr.splitlines() if x.startswith("dllm-eval: ")]
    assert len(errors) == 1
    assert "unknown argument of dllm 'stepz' (did you mean 'steps'?)" in errors[0]


def test_help_is_quick_and_imports_nothing_heavy() -> None:
    code = (
        "import sys; from dllm_eval.cli import run_command; run_command(['--help']);"
        "print([m for m in ('torch', 'lm_eval', 'pandas', 'transformers') if m in sys.modules])"
    )
    started = monotonic()
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert monotonic() - started < 5
    assert done.stdout.splitlines()[-1] == "[]"
    for command in ("run", "sweep", "report", "models", "demo"):
        assert f" {command} " in done.stdout
