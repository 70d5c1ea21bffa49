"""`sweep --dry-run`: every check of a run, the cells and what they cost, and nothing written."""

import json
from collections.abc import Callable
from io import StringIO
from pathlib import Path
from typing import Any

import pytest
import yaml
from rich.console import Console

from dllm_eval.cli import run_command
from dllm_eval.errors import UsageError
from dllm_eval.sweep import check
from dllm_eval.sweep.devices import Device
from dllm_eval.sweep.estimate import MEASURED
from dllm_eval.sweep.sizes import Sizes

SPEC: dict[str, Any] = {
    "name": "dry",
    "confirm_run_unsafe_code": True,
    "models": [
        {"name": "D", "model": "dllm", "args": {"pretrained": "reference-diffusion"}},
        {"name": "A", "model": "dllm-ar", "args": {"pretrained": "reference-ar"}},
    ],
    "suites": [
        {
            "task": "ref_humaneval",
            "title": "Code",
            "metric": "pass@1",
            "limit": 3,
            "settings": {"gen_length": 16},
            "sweep": {"steps": [4, 16]},
        },
        {
            "task": "ref_reversal_choice",
            "title": "Choice",
            "metric": "acc",
            "settings": {"likelihood": "monte_carlo"},
            "sweep": {"mc_samples": [1, 4]},
        },
    ],
    "latency": {"requests": 2, "rounds": 2, "warmup": 0, "min_seconds": 0},
}


@pytest.fixture(autouse=True)
def _a_machine_of_round_numbers(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    def here(sizes: Sizes) -> Device:
        del sizes
        return Device(name="this machine (test)", flops_per_s=1e10, bytes_per_s=1e10)

    monkeypatch.setattr("dllm_eval.sweep.estimate.this_machine", here)
    monkeypatch.chdir(tmp_path)


@pytest.fixture
def dry_run(
    spec_file: Callable[[object], Path], capsys: pytest.CaptureFixture[str]
) -> Callable[..., tuple[int, str, str]]:
    """`dry_run("--json", suites=[...])`: exit code, what was printed, and the error."""

    def run(*options: str, **changes: Any) -> tuple[int, str, str]:
        path = spec_file({**SPEC, **changes})
        code = run_command(["sweep", str(path), "--dry-run", *options])
        said = capsys.readouterr()
        errors = [x for x in said.err.splitlines() if x.startswith("dllm-eval: ")]
        return code, said.out, "\n".join(errors)

    return run


def as_data(printed: str) -> Any:
    return json.loads(printed[printed.index("{") :])


def test_every_cell_is_listed_with_what_it_costs(dry_run: Any, tmp_path: Path) -> None:
    code, printed, _ = dry_run("--verbose")
    lines = printed.splitlines()
    assert code == 0
    assert lines[-1] == "18 cells"
    assert any("D, Code steps=16 (quality), documents 3, batch 16, forwards 48" in x for x in lines)
    assert any("A, Code (quality), documents 3, batch 16, forwards <=48" in x for x in lines)
    choice = next(x for x in lines if "D, Choice mc_samples=4 (quality)" in x)
    assert "documents 120, batch 16, forwards <=" in choice
    (total,) = [x for x in lines if x.startswith("all: 18 cells")]
    assert "hours: this machine (test) " in total
    assert "A100 80GB" in total
    assert any(x.startswith("- <=: an upper bound") for x in lines)
    assert not (tmp_path / "results").exists()


def test_a_plan_is_one_line_for_a_model_on_a_suite(dry_run: Any) -> None:
    code, printed, _ = dry_run()
    lines = printed.splitlines()
    assert code == 0
    pairs = lines[: lines.index(next(x for x in lines if x.startswith("D, quality: ")))]
    assert [line.partition(": ")[0] for line in pairs] == [
        "D, Code",
        "D, Choice",
        "A, Code",
        "A, Choice",
    ]
    # 4 and 16 steps of 3 documents, and of 2 documents in 2 rounds.
    assert pairs[0].startswith("D, Code: 2 settings, 6 cells, forwards 140; hours: this machine")
    assert pairs[2].startswith("A, Code: 1 setting, 3 cells, forwards <=")
    assert "A100 80GB" in pairs[0]
    assert lines[-1] == "18 cells; each of them: --verbose, or --json"
    assert not any("steps=16" in line for line in lines)


def test_the_same_as_data(dry_run: Any) -> None:
    code, printed, _ = dry_run("--json")
    data = as_data(printed)
    assert code == 0
    assert len(data["cells"]) == 18
    first = data["cells"][0]
    assert (first["label"], first["forwards"], first["at_most"]) == (
        "D, Code steps=4 (quality)",
        12,
        False,
    )
    sums = {(t["model"], t["purpose"]): t for t in data["totals"]}
    own = [c for c in data["cells"] if (c["model"], c["purpose"]) == ("D", "latency")]
    assert sums["D", "latency"]["forwards"] == sum(c["forwards"] for c in own)
    hours = sum(c["seconds"]["H100 SXM"] for c in own) / 3600
    assert sums["D", "latency"]["hours"]["H100 SXM"] == pytest.approx(hours)
    assert sums["all", ""]["cells"] == 18
    # 2.4 million parameters or so, 3 documents in one batch, 4 steps: once more by hand.
    each = first["positions"] / first["forwards"] * 3
    parameters = first["seconds"]["this machine (test)"] * 0.4e10 / (2 * each * 4)
    assert parameters == pytest.approx(sizes_by_hand(), rel=1e-6)


def sizes_by_hand() -> int:
    from safetensors.torch import load_file

    from dllm_eval.loading import resolve_checkpoint

    weights = load_file(resolve_checkpoint("reference-diffusion") / "model.safetensors")
    return sum(tensor.numel() for tensor in weights.values())


@pytest.mark.parametrize(("rounds", "said"), [(1, True), (2, True), (3, False)])
def test_too_few_rounds_are_warned_of(dry_run: Any, rounds: int, said: bool) -> None:
    latency = {**SPEC["latency"], "rounds": rounds}
    _, printed, _ = dry_run("--json", latency=latency)
    warned = [x for x in as_data(printed)["assumptions"] if x.startswith("warning: ")]
    assert len(warned) == said
    assert all(f"latency.rounds is {rounds}" in x for x in warned)
    _, off, _ = dry_run("--json", latency={**latency, "enabled": False})
    assert "warning" not in off


def test_perplexities_are_counted_in_windows_and_one_unknown_blanks_no_sum(dry_run: Any) -> None:
    far = {"name": "S", "model": "dllm", "args": {"pretrained": "nobody/nothing"}}
    suite = {"task": "ref_perplexity", "title": "P", "metric": "word_perplexity", "limit": 3}
    quality = {"latency": {"enabled": False}}
    code, printed, _ = dry_run(models=[SPEC["models"][1], far], suites=[suite], **quality)
    lines = printed.splitlines()
    assert code == 0
    assert any(x.startswith("A, P: 1 setting, 1 cell, forwards 3; hours: ") for x in lines)
    (total,) = [x for x in lines if x.startswith("all: ")]
    assert total.startswith("all: 2 cells, forwards at least 3 (1 cells not known), positions at l")
    code, printed, _ = dry_run(models=SPEC["models"][:1], suites=[suite], **quality)
    assert "D, P: 1 setting, 1 cell, forwards <=" in printed
    hub = {"name": "L", "model": "dllm", "args": {"pretrained": "GSAI-ML/LLaDA-8B-Instruct"}}
    code, printed, _ = dry_run(models=[hub], suites=[suite], **quality)
    assert "not known for 1 cells: a text's windows need the checkpoint's tokenizer" in printed


def test_people_get_tables(dry_run: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    screen = StringIO()

    def terminal() -> Console:
        return Console(file=screen, force_terminal=True, width=160, color_system=None)

    monkeypatch.setattr("rich.console.Console", terminal)
    code, printed, _ = dry_run("--verbose")
    shown = screen.getvalue()
    assert code == 0
    assert printed.strip() == "18 cells"
    sums = ("Each time through the documents", "Hours of one device")
    for title in ("Cells", "Models and suites", *sums):
        assert title in shown
    row = next(x for x in shown.splitlines() if "steps=16" in x and "latency" in x)
    assert [part for part in row.replace("│", " ").split() if part] == [
        *("D", "Code", "steps=16", "latency", "1", "2", "2", "32"),
        *(row.split()[-2:-1]),
    ]
    assert "RTX 4090" in shown


def test_what_is_not_here_is_not_known(dry_run: Any) -> None:
    """Forwards follow from settings and documents; positions and hours need the checkpoint."""
    arguments = {"pretrained": "GSAI-ML/LLaDA-8B-Instruct"}
    far = {"name": "Far", "model": "dllm", "args": arguments}
    stranger = {"name": "S", "model": "dllm", "args": {"pretrained": "nobody/nothing"}}
    code, printed, _ = dry_run("--verbose", models=[far, stranger, {"name": "H", "model": "hf"}])
    lines = printed.splitlines()
    assert code == 0
    assert any(
        "Far, Code steps=16 (quality), documents 3, batch 16, forwards 48, positions not known: "
        "no local weights" in x
        for x in lines
    )
    assert any("Far, Choice mc_samples=4 (quality)" in x and "forwards <=960," in x for x in lines)
    assert any(
        "S, Code steps=4 (quality)" in x
        and x.endswith("not known: no card or config.json here tells what it publishes")
        for x in lines
    )
    assert any("H, Code (quality)" in x and "nothing is known of model 'hf'" in x for x in lines)
    total = next(x for x in lines if x.startswith("Far, quality: 4 cells"))
    assert "forwards <=1260, positions not known; hours: A100 80GB not known" in total
    assert "- not known for 12 cells: no local weights" in lines


def test_documents_that_are_elsewhere_are_not_known(
    dry_run: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    from dllm_eval.sweep import forecast
    from dllm_eval.sweep.workload import UnknownDocuments

    def elsewhere(*_: object) -> Any:
        raise UnknownDocuments("the documents of 'x' are not here: offline")

    monkeypatch.setattr(forecast, "documents", elsewhere)
    code, printed, _ = dry_run("--verbose")
    assert code == 0
    missing = "positions not known: the documents of 'x' are not here: offline"
    assert f"documents 3, batch 16, forwards not known, {missing}" in printed
    assert "documents all, batch 16" in printed


def test_an_unknown_task_is_found_with_its_line(
    dry_run: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    def unknown_task(task: str, include: tuple[str, ...]) -> object:
        del include
        if task == "ref_reversal_choice":
            raise UsageError(f"unknown task {task!r}")
        return None

    monkeypatch.setattr(check, "task_manager", unknown_task)
    code, _, error = dry_run()
    assert code == 2
    assert "sweep.yaml:" in error
    assert error.endswith("unknown task 'ref_reversal_choice'")


def test_what_a_run_refuses_of_its_folder_is_refused(dry_run: Any, tmp_path: Path) -> None:
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "novel.txt").write_text("x")
    code, _, error = dry_run("--out", str(tmp_path / "out"))
    assert code == 2
    assert "holds files that are no sweep's results" in error


def test_a_refusal_names_the_entry_that_leaves_the_cell_out(dry_run: Any) -> None:
    suite = {**SPEC["suites"][0], "sweep": {"sampler": ["margin", "klas"], "steps": [4]}}
    code, _, error = dry_run(suites=[suite])
    assert code == 2
    assert "unknown sampler 'klas'" in error
    remedy = error.rpartition("leave it out by ")[2]
    assert yaml.safe_load(remedy) == {
        "exclude": [{"model": "D", "suite": "Code", "sampler": "klas", "steps": 4}]
    }
    assert dry_run(suites=[suite], **yaml.safe_load(remedy))[0] == 0


def test_finished_cells_tell_the_time(
    dry_run: Any, tmp_path: Path, spec_file: Callable[[object], Path]
) -> None:
    from dllm_eval.files import write_json, write_lines
    from dllm_eval.sweep.folder import ResultsFolder
    from dllm_eval.sweep.models import accepted_arguments
    from dllm_eval.sweep.plan import plan
    from dllm_eval.sweep.spec_file import load_spec

    folder = ResultsFolder(tmp_path / "out")
    sweep = load_spec(spec_file(SPEC))
    cells = plan(sweep, accepted_arguments)
    folder.begin(sweep, cells)
    files = folder.cell(cells[0].cell_id)
    row = {"task": "t", "seconds": 2.0, "repeat_seconds": [], "nfe": 4, "positions": 100}
    write_lines(files.requests, ({**row, "doc_id": n} for n in range(3)))
    write_json(files.done, {"seconds": 9.0})
    code, printed, _ = dry_run("--json", "--out", str(tmp_path / "out"))
    data = as_data(printed)
    assert code == 0
    first, second = data["cells"][:2]
    assert (first["finished"], first["seconds"][MEASURED]) == (True, 9.0)
    # 0.02 s a position, and 1 s beside for each of three documents.
    expected = second["positions"] * 0.02 + 3
    assert second["seconds"][MEASURED] == pytest.approx(expected)
    assert data["cells"][2]["seconds"][MEASURED] is None
    assert any("1 finished cells of" in line for line in data["assumptions"])
