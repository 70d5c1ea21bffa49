"""Wrong data as a user meets it: `dllm-eval run` gives one line that names it, exit code 2."""

import gzip
import json
import sys
from functools import partial
from importlib import import_module
from pathlib import Path

import lm_eval.tasks
import pytest

from dllm_eval.cli import run_command

ROW = {
    "task_id": "SingleLineInfilling/HumanEval/0/L0",
    "prompt": "def f(x):\n",
    "suffix": "    return y\n",
    "entry_point": "f",
    "canonical_solution": "    y = x * 2\n",
    "test": "def check(candidate):\n    assert candidate(3) == 6\n",
}
INFILLS = "humaneval_infilling/HumanEval-SingleLineInfilling.jsonl.gz"
STORIES = "text_infilling_fairytaleqa/data-by-train-split/sentence-stories/test"
MMLU = "mmlu/data/test/astronomy_test.csv"


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    # Spares lm-eval the look through its own thousands of tasks, which takes seconds.
    whole = lm_eval.tasks.TaskManager
    monkeypatch.setattr(lm_eval.tasks, "TaskManager", partial(whole, include_defaults=False))
    monkeypatch.setenv("DLLM_EVAL_DATA", str(tmp_path))
    for name in (INFILLS, MMLU, f"{STORIES}/x.csv"):
        (tmp_path / name).parent.mkdir(parents=True)
    return tmp_path


def line_of(task: str, capsys: pytest.CaptureFixture[str]) -> str:
    capsys.readouterr()
    arguments = ["--model", "dllm", "--model_args", "pretrained=reference-diffusion"]
    end = ["--limit", "1", "--device", "cpu", "--confirm_run_unsafe_code"]
    assert run_command(["run", "--tasks", task, *arguments, *end]) == 2
    found = [line for line in capsys.readouterr().err.splitlines() if "dllm-eval:" in line]
    assert len(found) == 1
    return found[0]


@pytest.mark.parametrize(
    ("text", "line"),
    [
        ("{", "line 1: not JSON: "),
        ("[]", "line 1: expected a record with task_id, prompt, "),
        (json.dumps({**ROW, "suffix": None}), "line 1: column 'suffix' must be text, got None"),
        (
            json.dumps({**ROW, "entry_point": ""}),
            "line 1: column 'entry_point' must be a name of Python, got ''",
        ),
        (json.dumps({**ROW, "entry_point": "f(1)"}), "must be a name of Python, got 'f(1)'"),
        (json.dumps(ROW)[:-60] + "}", "line 1: not JSON: "),
        (json.dumps({"task_id": "x"}), "line 1: column 'prompt' is missing; has task_id"),
        (json.dumps({**ROW, "task_id": "x"}), "task_id 'x' names no program; expected KIND/SET/"),
        ("", "SingleLineInfilling.jsonl.gz holds no rows"),
    ],
)
def test_a_mis_shaped_row(
    folder: Path, text: str, line: str, capsys: pytest.CaptureFixture[str]
) -> None:
    (folder / INFILLS).write_bytes(gzip.compress(text.encode()))
    assert line in line_of("dllm_infilling_single_line", capsys)


def test_a_truncated_archive(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (folder / INFILLS).write_bytes(gzip.compress(json.dumps(ROW).encode())[:-9])
    line = line_of("dllm_infilling_single_line", capsys)
    assert "SingleLineInfilling.jsonl.gz cannot be read: Compressed file ended before" in line


@pytest.mark.parametrize(
    ("text", "line"),
    [
        ("q,a,b,c,d,E\n", "astronomy_test.csv, row 1: the answer must be A, B, C or D, got 'E'"),
        ("q,a,b,c,A\n", "astronomy_test.csv, row 1: expected 6 columns, got 5"),
        ("", "astronomy_test.csv is empty; expected a question, its choices and a letter a row"),
    ],
)
def test_a_mis_shaped_question(
    folder: Path, text: str, line: str, capsys: pytest.CaptureFixture[str]
) -> None:
    (folder / MMLU).write_text(text)
    assert line in line_of("dllm_mmlu_continuation", capsys)


def test_a_missing_subject(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (folder / MMLU).write_text("q,a,b,c,d,A\n")
    line = line_of("dllm_mmlu_continuation_subjects", capsys)
    assert "no files abstract_algebra_test.csv in " in line


def test_a_missing_split(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (folder / MMLU).write_text("q,a,b,c,d,A\n")
    line = line_of("dllm_mmlu", capsys)
    assert "no files *_dev.csv in " in line
    assert line.endswith("/mmlu/data/dev; expected one per subject")


def test_a_missing_file(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    line = line_of("dllm_infilling_multi_line", capsys)
    assert f"no such data: {folder}/humaneval_infilling/HumanEval-MultiLineInfilling" in line
    assert line.endswith("unset DLLM_EVAL_DATA to load from the hub")


def test_a_missing_file_that_is_on_no_hub(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    line = line_of("dllm_text_infilling_rocstories", capsys)
    assert f"no such data: {folder}/rocstories/cloze_test_val__spring2016.csv; " in line
    assert line.endswith("it is on no hub: set DLLM_EVAL_DATA to a folder that holds it")


def test_a_missing_hub(
    folder: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Tests run in offline mode, see conftest.py."""
    monkeypatch.delenv("DLLM_EVAL_DATA")
    monkeypatch.setenv("HF_DATASETS_CACHE", str(folder))
    assert line_of("dllm_mmlu", capsys) == (
        "dllm-eval: data set cais/mmlu, config all, split test: cannot be loaded (HF_HUB_OFFLINE or"
        " HF_DATASETS_OFFLINE is set, and it is not in the cache); set DLLM_EVAL_DATA to a folder"
        " that holds mmlu/data"
    )


def test_a_missing_package(
    folder: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    (folder / STORIES / "x.csv").write_text("document_id,text\n" + "x,A sentence.\n" * 5)
    monkeypatch.setitem(sys.modules, "rouge_score.rouge_scorer", None)
    import_module("dllm_eval.tasks.text_infilling").rouge_scorer.cache_clear()
    line = line_of("dllm_text_infilling", capsys)
    assert "text infilling needs rouge_score, which cannot be imported (" in line
    assert line.endswith("install it: pip install rouge-score")


def test_a_sweep_names_the_cell_and_the_row(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (folder / MMLU).write_text("q,a,b,c,d,E\n")
    spec = {
        "name": "t",
        "models": [{"name": "d", "model": "dllm", "args": {"pretrained": "reference-diffusion"}}],
        "suites": [{"task": "dllm_mmlu_continuation", "metric": "acc", "limit": 1}],
        "latency": {"enabled": False},
    }
    (folder / "t.yaml").write_text(json.dumps(spec))
    assert run_command(["sweep", str(folder / "t.yaml"), "--out", str(folder / "out")]) == 2
    last = capsys.readouterr().err.strip().splitlines()[-1]
    assert last.startswith("dllm-eval: d, dllm_mmlu_continuation")
    assert "astronomy_test.csv, row 1: the answer must be A, B, C or D, got 'E'" in last
