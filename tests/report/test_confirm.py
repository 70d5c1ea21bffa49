"""`dllm-eval recommend` as a command, and the line that confirms it, which runs as it stands."""

import json
import shlex
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from dllm_eval.cli import run_command
from dllm_eval.files import write_json, write_lines
from dllm_eval.report.confirm import confirm_line
from dllm_eval.sweep.folder import ResultsFolder
from dllm_eval.sweep.plan import Cell, plan
from dllm_eval.sweep.spec import Sweep


def write_results(folder: Path, rows: Callable[[Cell], tuple[list[Any], list[Any]]]) -> list[Cell]:
    """A sweep's folder with made-up requests and scores of real, planned cells."""
    spec = Sweep.model_validate(
        {
            "name": "made",
            "models": [
                {"name": "D", "model": "dllm", "args": {"pretrained": "reference-diffusion"}}
            ],
            "suites": [
                {
                    "task": "ref_infilling",
                    "title": "Infilling",
                    "metric": "pass@1",
                    "settings": {"gen_length": 8, "infill_length": "oracle"},
                    "sweep": {"steps": [1, 4]},
                }
            ],
            "latency": {"rounds": 1, "min_seconds": 0},
            "confirm_run_unsafe_code": True,
        }
    )
    takes = {"pretrained", "steps", "gen_length", "infill_length", "seed", "warmup"}
    cells = plan(spec, lambda _: frozenset({*takes, "timing_repeats"}))
    results = ResultsFolder(folder)
    results.begin(spec, cells)
    for cell in cells:
        files = results.cell(cell.cell_id)
        requests, scores = rows(cell)
        write_lines(files.requests, requests)
        write_lines(files.scores, scores)
        sampler = {"sampler": "low_confidence", "eos_policy": "none", "block_length": None}
        write_json(
            files.provenance,
            {
                "machine": {"name": "desk", "threads": 1},
                "versions": {"torch": "2.13.0"},
                "sampler": {**sampler, "steps": cell.arguments["steps"], "gen_length": 8},
                "dtype": "float32",
            },
        )
        write_json(files.done, {"seconds": 1.0})
    return cells


def made_up(cell: Cell) -> tuple[list[Any], list[Any]]:
    steps = int(str(cell.arguments["steps"]))
    documents = range(12 if cell.purpose == "latency" else 60)
    requests = [
        {
            "key": f"k{doc}",
            "task": cell.task,
            "doc_id": doc,
            "index": 0,
            "request_type": "generate_until",
            "model": "diffusion",
            "prompt_tokens": 9,
            "visible_tokens": 7,
            "canvas_tokens": 8,
            "nfe": steps,
            "positions": 20 * steps,
            "seconds": 0.004 * steps + 0.0001 * doc,
            "batch_size": cell.batch_size,
            "seed": 0,
        }
        for doc in documents
    ]
    row = {"task": cell.task, "metric": cell.metric, "filter": "none"}
    scores = [{**row, "doc_id": d, "value": float(d < 14 * steps)} for d in documents]
    return requests, scores


def test_the_command_answers_and_its_exit_code_says_whether_something_qualifies(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    write_results(tmp_path / "r", made_up)
    command = ["recommend", str(tmp_path / "r"), "--task", "Infilling"]
    assert run_command([*command, "--latency-ms", "20"]) == 0
    said = capsys.readouterr().out.splitlines()
    assert said[1].startswith("Deploy D with 4 steps: 93.3 % ")
    assert run_command([*command, "--quality-floor", "99%"]) == 1
    assert "Nothing qualifies among 2 settings." in capsys.readouterr().out
    assert run_command([*command, "--latency-ms", "5", "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["pick"]["settings"]["steps"] == 1
    for wrong in ([], ["--quality-floor", "high"], ["--latency-ms", "-3"]):
        assert run_command([*command, *wrong]) == 2
        assert len(capsys.readouterr().err.splitlines()) == 1


def test_the_line_that_confirms_it_runs_as_it_stands(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    cells = write_results(tmp_path / "r", made_up)
    cell = next(x for x in cells if x.purpose == "quality" and x.arguments["steps"] == 4)
    line = confirm_line(tmp_path / "r", cell.cell_id)
    words = shlex.split(line)
    asked = json.loads(words[words.index("--model_args") + 1])
    assert asked == {
        "pretrained": "reference-diffusion",
        "gen_length": 8,
        "infill_length": "oracle",
        "steps": 4,
        "sampler": "low_confidence",
        "eos_policy": "none",
        "dtype": "float32",
        "seed": 0,
    }
    assert words[0] == "dllm-eval"
    out = tmp_path / "out"
    assert (
        run_command([*words[1:], "--limit", "2", "--output_path", str(out), "--log_samples"]) == 0
    )
    (written,) = out.rglob("results_*.json")
    kept = json.loads(written.read_text())
    assert kept["config"]["model_args"] == asked
    assert kept["config"]["batch_size"] in (1, "1")
    (samples,) = out.rglob("samples_ref_infilling_*.jsonl")
    logged = [json.loads(line) for line in samples.read_text().splitlines()]
    # A document is logged once for each extraction rule.
    assert {sample["doc_id"] for sample in logged} == {0, 1}
    assert "ref_infilling" in capsys.readouterr().out


def test_a_folder_that_no_sweep_wrote_has_no_such_line(tmp_path: Path) -> None:
    assert confirm_line(tmp_path, "abc") == ""


def test_the_shell_sees_one_word_per_argument(tmp_path: Path) -> None:
    cells = write_results(tmp_path / "r", made_up)
    line = confirm_line(tmp_path / "r", cells[0].cell_id)
    assert "\n" not in line
    assert shlex.join(shlex.split(line)) == line
    assert line.startswith("dllm-eval run --model dllm --model_args '{")
    assert line.endswith("--tasks ref_infilling --batch_size 1 --confirm_run_unsafe_code")


def test_a_scored_cell_names_neither_programs_nor_decoding(tmp_path: Path) -> None:
    cells = write_results(tmp_path / "r", made_up)
    files = ResultsFolder(tmp_path / "r").cell(cells[0].cell_id)
    first, *others = files.requests.read_text().splitlines()
    scored = {**json.loads(first), "request_type": "loglikelihood_rolling"}
    write_lines(files.requests, [scored, *map(json.loads, others)])
    line = confirm_line(tmp_path / "r", cells[0].cell_id)
    assert "--confirm_run_unsafe_code" not in line
    words = shlex.split(line)
    asked = json.loads(words[words.index("--model_args") + 1])
    assert not {"sampler", "eos_policy"} & set(asked)
    assert asked["seed"] == 0
