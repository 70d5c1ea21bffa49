"""Which folders are read and written, and what is refused untouched."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from dllm_eval.errors import UsageError
from dllm_eval.sweep.cell import Options, run_cell
from dllm_eval.sweep.folder import ResultsFolder
from dllm_eval.sweep.identity import check_weights
from dllm_eval.sweep.models import accepted_arguments
from dllm_eval.sweep.plan import Cell, plan
from dllm_eval.sweep.spec import Sweep
from dllm_eval.sweep.store import read_results

Build = Callable[..., dict[str, Any]]


def begin(path: Path, mapping: dict[str, Any]) -> tuple[ResultsFolder, list[Cell], Options]:
    sweep = Sweep.model_validate(mapping)
    cells = plan(sweep, accepted_arguments)
    folder = ResultsFolder(path)
    folder.check()
    folder.begin(sweep, cells)
    return folder, cells, Options(include=tuple(sweep.include))


def test_another_schema_version_is_refused_and_nothing_is_touched(tmp_path: Path) -> None:
    text = json.dumps({"schema_version": 99, "cells": []})
    (tmp_path / "sweep.json").write_text(text)
    for use in (ResultsFolder(tmp_path).check, lambda: read_results([tmp_path])):
        with pytest.raises(UsageError, match="was written with results schema 99, this is "):
            use()
    assert [path.name for path in tmp_path.iterdir()] == ["sweep.json"]
    assert (tmp_path / "sweep.json").read_text() == text


def test_other_folders_are_refused(tmp_path: Path) -> None:
    (tmp_path / "thesis.tex").touch()
    with pytest.raises(UsageError, match="holds files that are no sweep's results"):
        ResultsFolder(tmp_path).check()
    with pytest.raises(UsageError, match="is a file; --out takes a folder"):
        ResultsFolder(tmp_path / "thesis.tex").check()
    with pytest.raises(UsageError, match="is not a results folder"):
        read_results([tmp_path])


def test_a_changed_spec_keeps_wanted_cells_and_lists_only_those(
    tmp_path: Path, fake_sweep: Build
) -> None:
    folder, cells, options = begin(tmp_path / "out", fake_sweep(steps=(1, 2)))
    for cell in cells:
        run_cell(cell, folder.cell(cell.cell_id), options)
    begin(tmp_path / "out", fake_sweep(steps=(2, 3)))
    found = read_results([tmp_path / "out"]).cells.query("purpose == 'quality'")
    assert dict(zip(found.dial_value, found.finished, strict=True)) == {2.0: True, 3.0: False}


def test_two_folders_with_the_same_cells_keep_both_runs(tmp_path: Path, fake_sweep: Build) -> None:
    for name in ("one", "two"):
        folder, cells, options = begin(tmp_path / name, fake_sweep(steps=(1,)))
        run_cell(cells[0], folder.cell(cells[0].cell_id), options)
    results = read_results([tmp_path / "one", tmp_path / "two"])
    assert results.cells.cell_id.is_unique
    assert set(results.requests.groupby("cell_id").size()) == {12}


def test_an_unfinished_cell_refuses_other_weights(tmp_path: Path, fake_sweep: Build) -> None:
    weights = tmp_path / "checkpoint"
    weights.mkdir()
    (weights / "config.json").write_text("{}")
    (weights / "model.safetensors").write_bytes(b"one")
    mapping = fake_sweep(steps=(1,), pretrained=str(weights))
    folder, cells, options = begin(tmp_path / "out", mapping)
    files = folder.cell(cells[0].cell_id)
    run_cell(cells[0], files, options)
    check_weights(folder, cells)
    files.done.unlink()
    (weights / "model.safetensors").write_bytes(b"three")
    with pytest.raises(UsageError, match=r"has requests made with weights .* use another --out"):
        run_cell(cells[0], files, options)
    with pytest.raises(UsageError, match=r"with other weights than .* use another --out"):
        check_weights(folder, cells)


def test_a_metric_or_task_that_is_not_there_is_named(tmp_path: Path, fake_sweep: Build) -> None:
    for key, value, message in (
        ("metric", "acc", "task 'fake_echo' has no metric 'acc' per document; it has: exact_match"),
        ("filter", "strict", "has no filter 'strict' for 'exact_match'; it has: none"),
    ):
        mapping = fake_sweep(steps=(1,))
        mapping["suites"][0][key] = value
        folder, cells, options = begin(tmp_path / key, mapping)
        with pytest.raises(UsageError, match=message):
            run_cell(cells[0], folder.cell(cells[0].cell_id), options)
        assert not folder.cell(cells[0].cell_id).finished


def test_repeats_go_up_until_a_latency_cell_has_measured_long_enough(
    tmp_path: Path, fake_sweep: Build
) -> None:
    mapping = fake_sweep(steps=(1,))
    mapping["latency"]["min_seconds"] = 1.5
    folder, cells, options = begin(tmp_path / "out", mapping)
    latency = cells[1]
    run_cell(latency, folder.cell(latency.cell_id), options)
    results = read_results([tmp_path / "out"])
    records = results.texts.records(latency.cell_id, list(results.requests.key))
    # The fake says 0.05 s per run: 3 documents need 10 repeats each to fill 1.5 s.
    assert [len(record["repeat_seconds"]) for record in records.values()] == [10, 10, 10]


def test_lm_evals_own_files_and_provenance_are_there(tmp_path: Path, fake_sweep: Build) -> None:
    folder, cells, options = begin(tmp_path / "out", fake_sweep(steps=(2,)))
    files = folder.cell(cells[0].cell_id)
    run_cell(cells[0], files, options)
    aggregated = json.loads(next(files.lm_eval.glob("results_*.json")).read_text())
    assert aggregated["results"]["fake_echo"]["exact_match,none"] == 8 / 12
    samples = next(files.lm_eval.glob("samples_fake_echo_*.jsonl")).read_text().splitlines()
    assert len(samples) == 12
    provenance = json.loads(files.provenance.read_text())
    assert provenance["tasks"]["fake_echo"]["version"] == 1.0
    assert len(provenance["tasks"]["fake_echo"]["prompts_hash"]) == 64
    assert "/" not in json.dumps(provenance["tasks"])  # no path of this machine
    assert provenance["versions"]["lm-eval"]
    assert provenance["settings"]["steps"] == 2
