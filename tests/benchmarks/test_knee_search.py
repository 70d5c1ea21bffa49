"""The knee benchmark prints what its searches did, and searches a finished grid again."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from dllm_eval.files import write_json, write_lines
from dllm_eval.sweep.folder import ResultsFolder
from dllm_eval.sweep.plan import plan
from dllm_eval.sweep.spec import Sweep

Script = Callable[[str], Any]


def test_it_prints_a_row_for_each_curve(script: Script, capsys: pytest.CaptureFixture[str]) -> None:
    made = script("knee_search")
    made.main(["--rounds", "2", "--documents", "40", "--within", "0.1"])
    rows = [line for line in capsys.readouterr().out.splitlines() if line.startswith("| ")]
    assert len(rows) == 2 + len(made.CURVES)
    for row in rows[2:]:
        wrong, cells = row.split(" | ")[2], row.split(" | ")[4]
        assert wrong in ("0.0 %", "50.0 %", "100.0 %")
        assert 2 <= float(cells.removesuffix(" of 9")) <= 9


def test_of_a_finished_grid_it_names_the_cells_that_a_search_would_have_run(
    script: Script, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    spec = Sweep.model_validate(
        {
            "name": "grid",
            "models": [{"name": "D", "model": "dllm", "args": {"pretrained": "x"}}],
            "suites": [{"task": "t", "metric": "acc", "sweep": {"steps": [1, 2, 4, 8]}}],
            "latency": {"enabled": False},
        }
    )
    folder = ResultsFolder(tmp_path / "r")
    cells = plan(spec, lambda _: frozenset({"pretrained", "steps"}))
    folder.begin(spec, cells)
    for cell in cells:
        good = cell.arguments["steps"] in (4, 8)
        row = {"task": "t", "metric": "acc", "filter": "none", "value": float(good)}
        write_lines(folder.cell(cell.cell_id).scores, [{**row, "doc_id": i} for i in range(80)])
        write_json(folder.cell(cell.cell_id).done, {})
    script("knee_search").main(["--results", str(folder.path), "--within", "0.1"])
    assert capsys.readouterr().out == (
        "- D, t: steps=4 was shown to be within 10 points of every larger value run (95 % "
        "confidence); 2 was not; ran 3 of 4 cells, not run: 1\n"
    )
