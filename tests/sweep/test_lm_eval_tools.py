"""lm-eval's own tools take the result and sample files that a cell leaves behind."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from datasets import load_dataset
from lm_eval.loggers.evaluation_tracker import GeneralConfigTracker
from lm_eval.utils import (
    get_file_datetime,
    get_file_task_name,
    get_latest_filename,
    get_results_filenames,
    get_sample_results_filenames,
    make_table,
    sanitize_task_name,
)

from dllm_eval.sweep.cell import Options, run_cell
from dllm_eval.sweep.folder import ResultsFolder
from dllm_eval.sweep.models import accepted_arguments
from dllm_eval.sweep.plan import plan
from dllm_eval.sweep.spec import Sweep

Build = Callable[..., dict[str, Any]]


@pytest.fixture
def files(tmp_path: Path, fake_sweep: Build) -> list[str]:
    """Paths as lm-eval's tools list them, of a finished cell."""
    sweep = Sweep.model_validate(fake_sweep(steps=(2,)))
    cells = plan(sweep, accepted_arguments)
    folder = ResultsFolder(tmp_path / "out")
    folder.begin(sweep, cells)
    own = folder.cell(cells[0].cell_id)
    run_cell(cells[0], own, Options(include=tuple(sweep.include)))
    return [path.as_posix() for path in own.lm_eval.iterdir()]


def test_file_names_are_understood(files: list[str]) -> None:
    results, samples = get_results_filenames(files), get_sample_results_filenames(files)
    assert len(results) == len(samples) == 1
    name = Path(samples[0]).name
    assert get_file_task_name(name) == "fake_echo" == sanitize_task_name("fake_echo")
    assert get_file_datetime(name) == get_file_datetime(Path(results[0]).name.replace(".json", ""))
    assert get_latest_filename([Path(path).name for path in results]) == Path(results[0]).name


def test_the_table_prints_the_score(files: list[str]) -> None:
    data = json.loads(Path(get_results_filenames(files)[0]).read_text())
    row = next(line for line in make_table(data).splitlines() if "fake_echo" in line)
    cells = [cell.strip() for cell in row.strip("|").split("|")]
    assert cells[:2] == ["fake_echo", "1"]
    assert "exact_match" in cells
    assert float(cells[cells.index("↑") + 1]) == pytest.approx(8 / 12, abs=1e-4)
    tracked = {"model_source", "model_name", "model_name_sanitized", "task_hashes", "configs"}
    assert tracked <= data.keys()
    assert GeneralConfigTracker._get_model_name(data["config"]["model_args"]) is None  # a fake


def test_samples_load_as_a_data_set(files: list[str], tmp_path: Path) -> None:
    """As the data set that lm-eval pushes to the hub is read."""
    path = get_sample_results_filenames(files)[0]
    loaded = load_dataset("json", data_files=path, split="train", cache_dir=str(tmp_path / "hf"))
    assert len(loaded) == 12
    assert sum(loaded["exact_match"]) == 8


def test_samples_have_what_zeno_visualize_reads(files: list[str]) -> None:
    """scripts/zeno_visualize.py of lm-eval 4e7e0d47f, generate_dataset and generate_system_df."""
    data = json.loads(Path(get_results_filenames(files)[0]).read_text())
    config = data["configs"]["fake_echo"]
    assert isinstance(data["config"]["model_args"], dict | str)
    assert config["output_type"] == "generate_until"
    means = [m["metric"] for m in config["metric_list"] if m.get("aggregation") == "mean"]
    lines = Path(get_sample_results_filenames(files)[0]).read_text().splitlines()
    for sample in map(json.loads, lines):
        assert isinstance(sample["arguments"]["gen_args_0"]["arg_0"], str)
        assert isinstance(sample["resps"][0][0], str)
        assert isinstance(sample["filtered_resps"][0], str)
        assert all(isinstance(sample[metric], float) for metric in means)
        assert {"doc_id", "target", "filter"} <= sample.keys()
