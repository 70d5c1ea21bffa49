"""A finished cell is never taken for an answer to other questions: another YAML, or other data."""

import json
import shutil
from collections.abc import Callable
from hashlib import sha256
from pathlib import Path
from typing import Any

import pytest

from dllm_eval.cli import run_command
from dllm_eval.errors import UsageError
from dllm_eval.sweep.cell import Options, run_cell
from dllm_eval.sweep.folder import CellFolder, ResultsFolder
from dllm_eval.sweep.models import accepted_arguments
from dllm_eval.sweep.plan import plan
from dllm_eval.sweep.spec_file import load_spec
from dllm_eval.sweep.store import read_results
from dllm_eval.sweep.task_files import change, completed, task_marks

FAKES = Path(__file__).parent / "fakes"


def short(content: bytes) -> str:
    return sha256(content).hexdigest()[:16]


@pytest.fixture
def own_task(tmp_path: Path) -> Path:
    """A folder of the user's with a task, what it includes, and its helper."""
    folder = tmp_path / "tasks"
    folder.mkdir()
    text = (FAKES / "fake_echo.yaml").read_text()
    (folder / "_base.yaml").write_text(text.replace("task: fake_echo\n", ""))
    (folder / "echo.yaml").write_text("include: _base.yaml\ntask: own_echo\n")
    shutil.copy(FAKES / "fake_docs.py", folder)
    return folder


def test_a_mark_is_of_the_yaml_what_it_includes_and_its_helper(own_task: Path) -> None:
    include = (str(own_task),)
    names = ("_base.yaml", "echo.yaml", "fake_docs.py")
    texts = sorted((name, short((own_task / name).read_bytes())) for name in names)
    first = task_marks("own_echo", include)
    assert first == {"yaml": short(repr(texts).encode()), "data": {}}
    for name in names:
        path = own_task / name
        before = path.read_text()
        path.write_text(f"{before}\n# another\n")
        changed = task_marks("own_echo", include)
        assert change(first, changed) == "another YAML of the task", name
        path.write_text(before)
        assert task_marks("own_echo", include) == first


def test_data_is_marked_by_its_content_or_its_commit(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("DLLM_EVAL_DATA", raising=False)
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path / "hub"))
    name = "humaneval/HumanEval.jsonl.gz"
    far = task_marks("dllm_humaneval", ())
    assert far["data"] == {"hub openai/openai_humaneval": None}
    refs = tmp_path / "hub" / "datasets--openai--openai_humaneval" / "refs"
    refs.mkdir(parents=True)
    (refs / "main").write_text("a" * 40)
    fetched = task_marks("dllm_humaneval", ())
    assert fetched["data"] == {"hub openai/openai_humaneval": "a" * 40}
    assert completed(far, fetched) == fetched
    assert change(far, fetched) == ""
    (refs / "main").write_text("b" * 40)
    assert "other data in hub openai/openai_humaneval (aaaaaaaa, now bbbbbbbb)" in change(
        fetched, task_marks("dllm_humaneval", ())
    )
    for folder, content in (("one", b"first"), ("two", b"second")):
        path = tmp_path / folder / name
        path.parent.mkdir(parents=True)
        path.write_bytes(content)
    monkeypatch.setenv("DLLM_EVAL_DATA", str(tmp_path / "one"))
    here = task_marks("dllm_humaneval", ())
    assert here["data"] == {name: short(b"first")}
    assert change(fetched, here) == f"data from hub openai/openai_humaneval, now from {name}"
    monkeypatch.setenv("DLLM_EVAL_DATA", str(tmp_path / "two"))
    assert f"other data in {name}" in change(here, task_marks("dllm_humaneval", ()))


def test_a_folder_of_data_is_marked_by_all_its_files(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    inside = tmp_path / "mmlu" / "data" / "test"
    inside.mkdir(parents=True)
    monkeypatch.setenv("DLLM_EVAL_DATA", str(tmp_path))
    (inside / "a.csv").write_text("1")
    first = task_marks("dllm_mmlu_subjects", ())
    assert list(first["data"]) == ["mmlu/data"]
    (inside / "b.csv").write_text("2")
    assert "other data in mmlu/data" in change(first, task_marks("dllm_mmlu_subjects", ()))


Build = Callable[..., dict[str, Any]]


def finished(path: Path, out: Path) -> CellFolder:
    """The one cell of a sweep, run in this process."""
    sweep, folder = load_spec(path), ResultsFolder(out)
    (cell,) = plan(sweep, accepted_arguments)
    folder.begin(sweep, [cell])
    files = folder.cell(cell.cell_id)
    run_cell(cell, files, Options(include=tuple(sweep.include)))
    return files


@pytest.mark.parametrize("edited", ["echo.yaml", "fake_docs.py"])
def test_an_edited_task_is_one_line_and_nothing_is_lost(
    edited: str,
    own_task: Path,
    tmp_path: Path,
    fake_sweep: Build,
    spec_file: Callable[[object], Path],
    capsys: pytest.CaptureFixture[str],
) -> None:
    spec = fake_sweep(steps=(1,))
    spec["suites"][0]["task"] = "own_echo"
    spec |= {"include": [str(own_task)], "latency": {"enabled": False}}
    path, out = spec_file(spec), tmp_path / "out"
    files = finished(path, out)
    command = ["sweep", str(path), "--out", str(out)]
    assert run_command(command) == 0, "nothing is left, and nothing has changed"
    kept = files.requests.read_bytes()
    with (own_task / edited).open("a") as file:
        file.write("\n# edited\n")
    for more in ([], ["--dry-run"]):
        capsys.readouterr()
        assert run_command([*command, *more]) == 2
        (line,) = [x for x in capsys.readouterr().err.splitlines() if x.startswith("dllm-eval: ")]
        assert "holds Fake, own_echo steps=1 (quality) with another YAML of the task" in line
        assert line.endswith(f"use another --out, or remove {files.path} to run it again")
    assert files.requests.read_bytes() == kept
    files.done.unlink()
    with pytest.raises(UsageError, match="has requests of another YAML of the task; use another"):
        finished(path, out)
    shutil.rmtree(files.path)
    assert finished(path, out).finished


def test_cells_of_older_versions_are_kept_with_a_warning(
    tmp_path: Path,
    fake_sweep: Build,
    spec_file: Callable[[object], Path],
    capsys: pytest.CaptureFixture[str],
) -> None:
    path, out = spec_file({**fake_sweep(steps=(1,)), "latency": {"enabled": False}}), tmp_path / "o"
    files, command = finished(path, out), ["sweep", str(path), "--out", str(out)]
    assert run_command(command) == 0
    assert "warning" not in capsys.readouterr().err
    content = json.loads(files.provenance.read_text())
    assert content.pop("task_files")["data"] == {}
    files.provenance.write_text(json.dumps(content))
    assert run_command(command) == 0
    assert (
        f"1 finished cells of {out} are of a version that did not keep" in capsys.readouterr().err
    )
    assert len(read_results([out]).scores) == 12
