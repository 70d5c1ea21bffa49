"""A cell that several processes run in shares has the records of one that a single process ran."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from killed_sweeps import Zygote, content

from dllm_eval.sweep.cell import Options, run_cell, run_share
from dllm_eval.sweep.folder import ResultsFolder
from dllm_eval.sweep.models import accepted_arguments
from dllm_eval.sweep.plan import plan
from dllm_eval.sweep.spec import Sweep

Build = Callable[..., dict[str, Any]]
Write = Callable[[object], Path]
DIFFUSION = {"name": "M", "model": "dllm", "args": {"pretrained": "reference-diffusion"}}
AUTOREGRESSIVE = {"name": "M", "model": "dllm-ar", "args": {"pretrained": "reference-ar"}}
GENERATION = {
    "task": "ref_reversal",
    "metric": "exact_match",
    "limit": 10,
    "settings": {"gen_length": 8},
}
SCORING = {"task": "ref_mmlu_continuation", "metric": "acc", "limit": 5}


def test_idle_workers_take_shares_of_the_cells_that_are_left(
    forks: Zygote, tmp_path: Path, fake_sweep: Build, spec_file: Write
) -> None:
    mapping = {**fake_sweep(steps=(2,), pause_s=0.6), "quality": {"batch_size": 4}}
    mapping["latency"] = {"enabled": False}
    spec, marks = spec_file(mapping), tmp_path / "workers.txt"
    assert forks.end(forks.sweep(spec, tmp_path / "one", 1)) == 0
    assert len(set(marks.read_text().split())) == 1
    marks.unlink()
    assert forks.end(forks.sweep(spec, tmp_path / "three", 3)) == 0
    assert len(set(marks.read_text().split())) == 3
    assert len(marks.read_text().split()) == 12
    assert content(tmp_path / "three") == content(tmp_path / "one")
    assert not list(tmp_path.glob("three/cells/*/*of3.json*"))


@pytest.mark.parametrize("model", [DIFFUSION, AUTOREGRESSIVE])
@pytest.mark.parametrize("suite", [GENERATION, SCORING])
def test_shares_of_the_reference_pair_add_up_to_the_whole(
    model: dict[str, Any], suite: dict[str, Any], tmp_path: Path
) -> None:
    mapping = {"name": "n", "models": [model], "suites": [suite], "latency": {"enabled": False}}
    sweep = Sweep.model_validate({**mapping, "quality": {"batch_size": 3}})
    (cell,) = plan(sweep, accepted_arguments)
    for name, shares in (("whole", ()), ("shared", ((1, 3), (0, 3))), ("all", ((0, 2), (1, 2)))):
        folder = ResultsFolder(tmp_path / name)
        folder.begin(sweep, [cell])
        files = folder.cell(cell.cell_id)
        for share in shares:
            run_share(cell, files, Options(), share)
            assert 0 < files.share_log(share).read_text().count("\n") < 20
        run_cell(cell, files, Options())
        assert not files.share_logs
    assert content(tmp_path / "shared") == content(tmp_path / "whole")
    assert content(tmp_path / "all") == content(tmp_path / "whole")
