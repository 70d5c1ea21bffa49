"""Weights load once for each model and worker, and two models never lie in memory together."""

import shutil
from pathlib import Path
from typing import Any

import pytest

from dllm_eval import loading
from dllm_eval.sweep.folder import ResultsFolder
from dllm_eval.sweep.models import accepted_arguments, forget
from dllm_eval.sweep.plan import Cell, plan
from dllm_eval.sweep.spec import Sweep
from dllm_eval.sweep.stage import Stage, sorted_by_weights
from dllm_eval.sweep.worker import run_job


def mapping(folders: list[Path]) -> dict[str, Any]:
    suite = {
        "task": "ref_reversal",
        "metric": "exact_match",
        "limit": 2,
        "settings": {"gen_length": 8},
        "sweep": {"steps": [1, 2]},
    }
    models = [
        {
            "name": folder.name,
            "model": "dllm",
            "args": {"pretrained": str(folder), "family": "counted_family:load"},
        }
        for folder in folders
    ]
    suites = [suite, {**suite, "task": "ref_reversal_forward"}]
    latency = {"requests": 1, "rounds": 1, "warmup": 0, "min_seconds": 0}
    return {"name": "n", "models": models, "suites": suites, "latency": latency}


def test_a_worker_loads_each_model_once_and_lets_go_of_the_one_before(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    shipped = loading.resolve_checkpoint("reference-diffusion")
    folders = [tmp_path / name for name in ("first", "second")]
    for path in folders:
        shutil.copytree(shipped, path)
    monkeypatch.setenv("LOADS", str(tmp_path / "loads.txt"))
    sweep = Sweep.model_validate(mapping(folders))
    cells = plan(sweep, accepted_arguments)
    folder = ResultsFolder(tmp_path / "out")
    folder.begin(sweep, cells)
    for purpose in ("quality", "latency"):
        stage = Stage(
            purpose=purpose, sweep=sweep, folder=folder, cells=tuple(cells), watch=lambda _: None
        )
        run_job(stage.job(stage.pending(), 1))
        assert not stage.pending()
        forget()  # the next stage has another process
    loads = [line.split()[1:] for line in (tmp_path / "loads.txt").read_text().splitlines()]
    names = [name for name, _ in loads]
    assert sorted(names[:2]) == sorted(names[2:]) == ["first", "second"]
    assert {alive for _, alive in loads} == {"0"}


def test_rounds_stay_apart_and_keep_their_own_order_of_models() -> None:
    names = ["b", "a", "a", "b", "a", "b"]
    cells = [cell_of(name, turn) for turn in (1, 0) for name in names]
    found = [(cell.timing.round, cell.name) for cell in sorted_by_weights(cells) if cell.timing]
    assert found == [(turn, name) for turn in (0, 1) for name in "bbbaaa"]


def cell_of(name: str, turn: int) -> Cell:
    sweep = Sweep.model_validate(mapping([Path(name)]))
    cells = plan(sweep, accepted_arguments)
    latency = next(cell for cell in cells if cell.timing).as_dict()
    latency["timing"]["round"] = turn
    return Cell.from_dict(latency)
