"""A finished cell whose files were cut or edited is refused, and one that lost a file is rerun."""

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from dllm_eval.cli import run_command

Build = Callable[..., dict[str, Any]]
Write = Callable[[object], Path]


@pytest.fixture(scope="module")
def finished() -> list[Path]:
    """Filled by the first test that needs it: the spec, and the folder of its finished sweep."""
    return []


@pytest.fixture
def folder(finished: list[Path], tmp_path: Path, fake_sweep: Build, spec_file: Write) -> Path:
    """A copy of a finished sweep; the sweep file lies in it as spec.yaml."""
    if not finished:
        spec = spec_file(fake_sweep(steps=(2,)))
        assert run_command(["sweep", str(spec), "--out", str(tmp_path / "first")]) == 0
        finished.extend([spec, tmp_path / "first"])
    out = tmp_path / "copy"
    shutil.copytree(finished[1], out)
    return out


def cell(folder: Path, purpose: str) -> Path:
    found = [path.parent for path in folder.glob("cells/*/cell.json")]
    return next(x for x in found if json.loads((x / "cell.json").read_text())["purpose"] == purpose)


def cut(path: Path) -> None:
    path.write_text("".join(path.read_text().splitlines(keepends=True)[:-1]))


def edited(path: Path, field: str, value: object) -> None:
    lines = path.read_text().splitlines()
    lines[1] = json.dumps({**json.loads(lines[1]), field: value})
    path.write_text("\n".join(lines) + "\n")


def cut_scores(folder: Path) -> None:
    cut(cell(folder, "quality") / "scores.jsonl")


def cut_requests(folder: Path) -> None:
    cut(cell(folder, "latency") / "requests.jsonl")


def no_time(folder: Path) -> None:
    edited(cell(folder, "latency") / "requests.jsonl", "seconds", 0.0)


def endless(folder: Path) -> None:
    edited(cell(folder, "quality") / "requests.jsonl", "seconds", "Infinity")


def no_score(folder: Path) -> None:
    edited(cell(folder, "quality") / "scores.jsonl", "value", float("nan"))


def no_origin(folder: Path) -> None:
    (cell(folder, "quality") / "provenance.json").write_text("[]")


def no_plan(folder: Path) -> None:
    (cell(folder, "quality") / "cell.json").write_text("{}")


@pytest.mark.parametrize(
    ("spoil", "message"),
    [
        (cut_scores, "has 11 records and done.json counts 12"),
        (cut_requests, "has 2 records and done.json counts 3"),
        (no_time, "'seconds' is 0.0; accepted: above 0"),
        (endless, "'seconds' is inf; accepted: above 0"),
        (no_score, "a score of metric 'exact_match' is nan"),
        (no_origin, "holds no JSON object; it is damaged"),
        (no_plan, "does not describe a cell; it is damaged"),
    ],
)
def test_a_finished_cell_that_was_changed_is_one_line(
    folder: Path,
    spoil: Callable[[Path], None],
    message: str,
    capsys: pytest.CaptureFixture[str],
) -> None:
    spoil(folder)
    assert run_command(["report", str(folder)]) == 2
    lines = capsys.readouterr().err.strip().splitlines()
    assert len(lines) == 1
    assert message in lines[0]


def test_a_folder_counts_once(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run_command(["report", str(folder), f"{folder}/../copy"]) == 2
    assert "is named twice" in capsys.readouterr().err


def test_a_cell_that_lost_its_scores_is_scored_again(folder: Path, finished: list[Path]) -> None:
    scores = cell(folder, "quality") / "scores.jsonl"
    before = scores.read_text()
    scores.unlink()
    assert run_command(["sweep", str(finished[0]), "--out", str(folder)]) == 0
    assert scores.read_text() == before
