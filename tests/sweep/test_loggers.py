"""Finished cells go to trackers through lm-eval's loggers; a tracker that fails costs nothing."""

import sys
from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

from dllm_eval.errors import UsageError
from dllm_eval.sweep import loggers
from dllm_eval.sweep.cell import Options, run_cell
from dllm_eval.sweep.folder import ResultsFolder
from dllm_eval.sweep.models import accepted_arguments
from dllm_eval.sweep.plan import Cell, plan
from dllm_eval.sweep.spec import Sweep

Build = Callable[..., dict[str, Any]]


class FakeRun:
    """What `wandb.init` gives back, as far as lm-eval's logger uses it."""

    def __init__(self, module: "FakeWandb", arguments: dict[str, Any]) -> None:
        self.module, self.arguments = module, arguments
        self.config = Config()
        self.summary: dict[str, Any] = {}
        self.logged: dict[str, Any] = {}
        self.finished = False

    def log(self, values: dict[str, Any], step: int | None = None) -> None:
        del step
        if self.module.refuses in values:
            raise ConnectionError("no network\nat all")
        self.logged |= values

    def log_artifact(self, artifact: object) -> None:
        del artifact

    def finish(self) -> None:
        self.finished, self.module.run = True, None


class Config:
    def __init__(self) -> None:
        self.values: dict[str, Any] = {}

    def update(self, values: dict[str, Any], allow_val_change: bool = False) -> None:
        del allow_val_change
        self.values |= values


class Artifact:
    def __init__(self, name: str, type: str) -> None:
        self.name, self.type = name, type

    def new_file(self, name: str, mode: str, encoding: str) -> Any:
        del name
        return Path("/dev/null").open(mode, encoding=encoding)


class Table:
    def __init__(self, columns: list[str]) -> None:
        self.columns, self.rows = columns, list[tuple[object, ...]]()

    def add_data(self, *row: object) -> None:
        self.rows.append(row)


class FakeWandb(ModuleType):
    """Stands in the place of wandb and keeps every run."""

    __version__ = "0.99.0"
    Artifact, Table = Artifact, Table

    def __init__(self, refuses: str = "") -> None:
        super().__init__("wandb")
        self.refuses, self.runs = refuses, list[FakeRun]()
        self.run: FakeRun | None = None

    def init(self, **arguments: Any) -> FakeRun:
        found = FakeRun(self, arguments)
        self.runs.append(found)
        self.run = found
        return found


@pytest.fixture
def wandb(monkeypatch: pytest.MonkeyPatch) -> Callable[[str], FakeWandb]:
    def install(refuses: str = "") -> FakeWandb:
        module = FakeWandb(refuses)
        printer = ModuleType("wandb.sdk.lib.printer")
        printer.new_printer = lambda: None  # type: ignore[attr-defined]
        monkeypatch.setitem(sys.modules, "wandb", module)
        for name in ("wandb.sdk", "wandb.sdk.lib"):
            monkeypatch.setitem(sys.modules, name, ModuleType(name))
        monkeypatch.setitem(sys.modules, "wandb.sdk.lib.printer", printer)
        return module

    return install


def begin(path: Path, mapping: dict[str, Any]) -> tuple[ResultsFolder, list[Cell], Options]:
    sweep = Sweep.model_validate(mapping)
    cells = plan(sweep, accepted_arguments)
    folder = ResultsFolder(path)
    folder.begin(sweep, cells)
    told = {str(name): dict(arguments) for name, arguments in sweep.loggers.items()}
    options = Options(include=tuple(sweep.include), loggers=told, sweep=sweep.name)
    return folder, cells, options


def test_a_quality_cell_is_one_run_and_a_latency_cell_none(
    tmp_path: Path, fake_sweep: Build, wandb: Callable[[str], FakeWandb]
) -> None:
    module = wandb("")
    mapping = {**fake_sweep(steps=(2,)), "loggers": {"wandb": {"project": "trial"}}}
    folder, cells, options = begin(tmp_path / "out", mapping)
    for cell in cells:
        run_cell(cell, folder.cell(cell.cell_id), options)
    quality = next(cell for cell in cells if cell.purpose == "quality")
    (run,) = module.runs
    assert run.arguments == {"name": quality.label, "group": "fake", "project": "trial"}
    assert run.finished
    assert run.config.values["cell_id"] == quality.cell_id
    assert run.config.values["steps"] == 2
    assert run.logged["fake_echo/exact_match"] == pytest.approx(8 / 12)
    samples = run.logged["fake_echo_eval_results"]
    assert len(samples) == 12
    assert samples["exact_match"].sum() == 8
    assert list(loggers.failed_logs(folder)) == []


@pytest.mark.parametrize("refuses", ["fake_echo/exact_match", "fake_echo_eval_results"])
def test_a_tracker_that_fails_costs_one_line(
    tmp_path: Path,
    fake_sweep: Build,
    wandb: Callable[[str], FakeWandb],
    caplog: pytest.LogCaptureFixture,
    refuses: str,
) -> None:
    module = wandb(refuses)
    mapping = {**fake_sweep(steps=(2,)), "loggers": {"wandb": {}}}
    folder, cells, options = begin(tmp_path / "out", mapping)
    run_cell(cells[0], folder.cell(cells[0].cell_id), options)
    assert folder.cell(cells[0].cell_id).finished
    assert module.runs[0].finished
    line = f"wandb could not log the cell {cells[0].label}: ConnectionError: no network"
    assert list(loggers.failed_logs(folder)) == [line]
    assert [r.getMessage() for r in caplog.records if r.name == loggers.__name__] == [line]


def test_a_missing_package_is_said_before_anything_runs(
    tmp_path: Path,
    fake_sweep: Build,
    spec_file: Callable[[object], Path],
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    from dllm_eval.cli import run_command

    monkeypatch.setattr(loggers, "find_spec", lambda _name: None)
    spec = spec_file({**fake_sweep(steps=(2,)), "loggers": {"trackio": {"project": "x"}}})
    assert run_command(["sweep", str(spec), "--out", str(tmp_path / "out")]) == 2
    errors = [line for line in capsys.readouterr().err.splitlines() if "logger" in line]
    message = "logger 'trackio' needs the package trackio: pip install trackio"
    assert len(errors) == 1
    assert errors[0].startswith(f"dllm-eval: {spec}:")
    assert errors[0].endswith(message)
    assert not (tmp_path / "out").exists()


def test_only_the_loggers_of_lm_eval_are_known() -> None:
    with pytest.raises(UsageError, match=r"logger 'wandbb'.* wandb"):
        loggers.check_loggers(["wandbb"])
