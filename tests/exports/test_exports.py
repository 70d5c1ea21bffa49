"""Exports are read back by the libraries that are to read them."""

import json
import math
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow.parquet
import pytest
from huggingface_hub import ModelCard, ModelCardData, metadata_load
from huggingface_hub.repocard_data import model_index_to_eval_results
from lm_eval_folder import NUM_DOCUMENTS, write_run, write_sweep

from dllm_eval.cli import run_command
from dllm_eval.errors import UsageError
from dllm_eval.exports import Format, write_export
from dllm_eval.exports.columns import TABLES
from dllm_eval.records import RequestRecord
from dllm_eval.sweep.cell_row import CELL_COLUMNS
from dllm_eval.sweep.store import TEXTS

DOCUMENTATION = Path(__file__).parents[2] / "docs" / "interchange.md"
MEANS = {1: 0.25, 2: 0.5}
"""Steps -> the score that the made-up sweep has."""


@pytest.fixture
def sweep(tmp_path: Path) -> Path:
    return write_sweep(tmp_path / "sweep").path


def export(sweep: Path, wanted: Format) -> list[Path]:
    return write_export([sweep], wanted, sweep.parent / "out").paths


@pytest.mark.parametrize("wanted", ["csv", "parquet"])
def test_tables_hold_every_number_typed(sweep: Path, wanted: Format) -> None:
    paths = {path.stem: path for path in export(sweep, wanted)}
    read: Callable[[Path], pd.DataFrame] = pd.read_csv if wanted == "csv" else pd.read_parquet
    cells, requests, scores = (read(paths[name]) for name in ("cells", "requests", "scores"))
    for name, frame in (("cells", cells), ("requests", requests), ("scores", scores)):
        assert list(frame.columns) == [column.name for column in TABLES[name]]
    assert len(cells) == 4
    assert cells["cell_id"].is_unique
    assert set(cells["peak_memory_bytes"]) == {2**33}
    assert [json.loads(x)["steps"] for x in cells["settings"]] == list(cells["dial_value"])
    assert len(requests) == 4 * NUM_DOCUMENTS
    steps_of = dict(zip(cells["cell_id"], cells["dial_value"], strict=True))
    columns = [list(requests[x]) for x in ("cell_id", "num_forwards", "latency_s", "doc_id")]
    for cell, forwards, seconds, document in zip(*columns, strict=True):
        assert forwards == steps_of[cell]
        assert seconds == 0.01 * steps_of[cell] + document * 1e-4
    assert requests["num_samples"].isna().all()
    quality = cells[cells["purpose"] == "quality"][["cell_id", "dial_value"]]
    means = scores.merge(quality, on="cell_id").groupby("dial_value")["value"].mean()
    assert means.to_dict() == MEANS


def test_parquet_says_what_its_columns_are(sweep: Path) -> None:
    for path in export(sweep, "parquet"):
        schema = pyarrow.parquet.read_schema(path)
        for column in TABLES[path.stem]:
            field = schema.field(column.name)
            kinds = {"text": "string", "integer": "int64", "number": "double", "flag": "bool"}
            assert str(field.type) == kinds[column.kind]
            assert field.metadata[b"meaning"] == column.meaning.encode()


def test_every_column_is_there_and_documented() -> None:
    text = DOCUMENTATION.read_text(encoding="utf-8")
    for columns in TABLES.values():
        for column in columns:
            assert f"| {column.name} | {column.kind} | {column.meaning} |" in text
    read = {column.origin for column in TABLES["requests"]} - {"cell_id"}
    assert read == set(RequestRecord.model_fields) - TEXTS
    own = {column.origin for column in TABLES["cells"]}
    assert set(CELL_COLUMNS) - own == {"provenance", "done", "finished", "failed"}


def read_as_the_template_does(path: Path, task: str, metric: str) -> tuple[str, str, float]:
    """Model, precision and percent, by the rules of the leaderboard template's reader."""
    data = json.loads(path.read_text())
    found = [own.get(metric) for name, own in data["results"].items() if task in name]
    percent = 100.0 * float(np.mean(np.array(found, dtype=np.float64)))
    return data["config"]["model_name"], data["config"]["model_dtype"], percent


def test_leaderboard_files_are_one_per_model_and_setting(sweep: Path) -> None:
    write_run(sweep.parent / "imported", [1.0] * 6 + [0.0] * 2)
    paths = write_export([sweep, sweep.parent / "imported"], "leaderboard", sweep.parent / "out")
    read = sorted(read_as_the_template_does(x, "facts", "exact_match") for x in paths.paths)
    assert read == [
        ("some-model (imported)", "torch.float32", 75.0),
        ("swept-model", "torch.float32", 25.0),
        ("swept-model", "torch.float32", 50.0),
    ]
    for path in paths.paths:
        data = json.loads(path.read_text())
        assert path.name.startswith("results_")
        score = data["results"]["facts"]["exact_match"]
        stderr = math.sqrt(score * (1 - score) / (NUM_DOCUMENTS - 1))  # of 0/1 scores
        assert data["results"]["facts"]["exact_match_stderr"] == pytest.approx(stderr)
        if data["config"]["model_name"] == "swept-model":
            assert data["config"]["model_sha"] == "abc"
            steps = data["config"]["settings"]["steps"]
            assert data["latency"]["tasks"]["facts"]["p50_s"] == pytest.approx(
                0.01 * steps + 3.5e-4
            )
        assert "/some/path" not in path.read_text()  # no path of this machine


def test_model_cards_are_read_by_the_hub_library(sweep: Path) -> None:
    paths = export(sweep, "model-card")
    assert len(paths) == 2
    values = {}
    for path in paths:
        front = metadata_load(path)
        assert front is not None
        name, results = model_index_to_eval_results(front["model-index"])
        data = ModelCard.load(path).data
        assert isinstance(data, ModelCardData)
        assert data.eval_results == results
        assert name == "swept-model"
        quality, latency = results
        assert (quality.dataset_type, quality.dataset_name) == ("facts", "Facts")
        assert str(quality.source_name).startswith("dllm-eval ")
        assert latency.metric_type == "latency_p50_s"
        assert quality.metric_args is not None
        values[quality.metric_args["settings"]["steps"]] = quality.metric_value
    assert values == MEANS


def test_unfinished_cells_are_left_out_and_named(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = write_sweep(tmp_path / "sweep", unfinished=True)
    failed = folder.cell(folder.cells()[-1].cell_id)
    failed.failed.write_text('{"error": "no room", "kind": "memory"}')
    out = tmp_path / "out"
    command = ["export", str(folder.path), "--format", "csv", "--out", str(out)]
    assert run_command(command) == 0
    printed = capsys.readouterr()
    assert printed.out.split() == [str(out / f"{x}.csv") for x in ("cells", "requests", "scores")]
    lines = printed.err.splitlines()
    assert lines[0] == "left out, not finished: 1 cells"
    assert lines[1].startswith("  Facts: Swept at steps = ")
    assert lines[1].endswith(", latency: no room")
    assert len(pd.read_csv(out / "cells.csv")) == 3
    assert failed.path.name not in set(pd.read_csv(out / "requests.csv")["cell_id"])


def test_bad_input_is_one_line(
    sweep: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run_command(["export", str(sweep), "--format", "xls", "--out", str(tmp_path)]) == 2
    error = capsys.readouterr().err
    wanted = "--format is 'xls'; accepted: csv, parquet, leaderboard, model-card"
    assert error == f"dllm-eval: {wanted}\n"
    for done in sweep.rglob("done.json"):
        done.unlink()
    with pytest.raises(UsageError, match="nothing to export: none of 4 cells is finished"):
        write_export([sweep], "csv", tmp_path / "none")
    assert not (tmp_path / "none").exists()
