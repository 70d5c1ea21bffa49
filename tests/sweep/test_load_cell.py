"""A load cell from its first request to its done.json: cut off, taken up, timed again."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml

from dllm_eval.cli import run_command
from dllm_eval.errors import UsageError
from dllm_eval.load import Load
from dllm_eval.records import RequestRecord
from dllm_eval.request_log import FileLog
from dllm_eval.sweep.cell import Options, run_cell
from dllm_eval.sweep.folder import CellFolder, ResultsFolder
from dllm_eval.sweep.load_cell import facts_of, num_asked
from dllm_eval.sweep.models import accepted_arguments
from dllm_eval.sweep.plan import Cell, plan
from dllm_eval.sweep.run import run_sweep
from dllm_eval.sweep.spec import Sweep
from dllm_eval.sweep.stage import Stage
from dllm_eval.sweep.store import read_results
from dllm_eval.sweep.worker import run_job

Build = Callable[..., dict[str, Any]]
LOAD = {
    "in_flight": [2],
    "arrivals_per_s": [4],
    "seconds": 30,
    "requests": 7,
    "rounds": 1,
    "warmup": 0,
}


@pytest.fixture
def loaded(fake_sweep: Build) -> Build:
    """A sweep of one setting under two loads; keywords change the load."""

    def build(**load: Any) -> dict[str, Any]:
        sweep = fake_sweep(steps=(2,))
        sweep["models"][0]["model"] = "fake_load:LoadedLM"
        sweep["latency"]["enabled"] = False
        return {**sweep, "load": {**LOAD, **load}}

    return build


def begin(out: Path, mapping: dict[str, Any]) -> tuple[ResultsFolder, list[Cell], Options]:
    sweep = Sweep.model_validate(mapping)
    cells = plan(sweep, accepted_arguments)
    folder = ResultsFolder(out)
    folder.begin(sweep, cells)
    return folder, cells, Options(include=tuple(sweep.include))


def closed_of(cells: list[Cell]) -> Cell:
    return next(cell for cell in cells if cell.in_flight is not None)


def done_of(files: CellFolder) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(files.done.read_text())
    return found


def test_what_is_kept_of_a_load(tmp_path: Path, loaded: Build) -> None:
    folder, cells, options = begin(tmp_path / "out", loaded())
    assert [cell.purpose for cell in cells] == ["quality", "load", "load"]
    for cell in cells:
        run_cell(cell, folder.cell(cell.cell_id), options)
    cell = closed_of(cells)
    done = done_of(folder.cell(cell.cell_id))
    # Offered at 0, 0.1 ... 0.6 and answered half a second later.
    assert done["load"] == {
        "window_s": pytest.approx(1.1),
        "offered": 7,
        "answered": 7,
        "stopped_by": "requests",
    }
    assert (done["requests"], done["scores"]) == (7, 0)
    found = read_results([tmp_path / "out"])
    under = found.cells[found.cells["purpose"] == "load"].set_index("cell_id")
    assert bool(under["finished"].all())
    assert under.loc[cell.cell_id, "load_in_flight"] == 2
    assert sorted(under["load_arrivals_per_s"].dropna()) == [4]
    asked = found.requests[found.requests["cell_id"] == cell.cell_id]
    assert sorted(asked["offered_s"]) == pytest.approx([n / 10 for n in range(7)])
    assert not set(found.scores["cell_id"]) & set(under.index)


@pytest.mark.parametrize(
    ("load", "stopped_by", "offered"),
    [
        ({"requests": 40}, "documents", 12),
        ({"requests": 12}, "requests", 12),
        ({"arrivals_per_s": [1], "in_flight": [], "seconds": 5, "requests": 12}, "time", None),
    ],
)
def test_why_nothing_more_was_offered(
    load: dict[str, Any], stopped_by: str, offered: int | None, tmp_path: Path, loaded: Build
) -> None:
    folder, cells, options = begin(tmp_path / "out", loaded(**load))
    cell = next(cell for cell in cells if cell.load is not None)
    run_cell(cell, folder.cell(cell.cell_id), options)
    told = done_of(folder.cell(cell.cell_id))["load"]
    assert cell.load is not None
    assert told["stopped_by"] == stopped_by
    assert told["offered"] == (offered or len(cell.load.arrivals_s() or ()))


def test_a_load_that_was_cut_off_starts_anew(tmp_path: Path, loaded: Build) -> None:
    folder, cells, options = begin(tmp_path / "out", loaded())
    cell = closed_of(cells)
    files = folder.cell(cell.cell_id)
    cut = tmp_path / "cut"
    cut.touch()
    with pytest.raises(KeyboardInterrupt):
        run_cell(cell, files, options)
    with FileLog(files.requests) as log:
        assert len(log) == 2
    assert not files.finished
    first = files.requests.read_text().splitlines()
    cut.unlink()
    run_cell(cell, files, options)
    lines = files.requests.read_text().splitlines()
    # Nothing of the first try is left: seven offers, each put twice by the fake.
    assert len(lines) == 14
    assert lines[: len(first)] == first
    assert done_of(files)["load"]["offered"] == 7
    finished = files.requests.stat().st_mtime_ns
    run_cell(cell, files, options)
    assert files.requests.stat().st_mtime_ns == finished


class InProcess:
    """An executor without processes, which notes what it was asked to run."""

    def __init__(self) -> None:
        self.ran: list[str] = []

    def run(self, stage: Stage) -> None:
        for cell in stage.pending():
            self.ran.append(cell.purpose)
            run_job(stage.job([cell], threads=1))


def test_a_sweep_runs_loads_last_alone_and_once_and_again_when_told(
    tmp_path: Path, loaded: Build
) -> None:
    mapping, out = loaded(), tmp_path / "out"
    mapping["latency"] = {**mapping["latency"], "enabled": True}
    sweep, executor = Sweep.model_validate(mapping), InProcess()
    seconds = run_sweep(sweep, out, executor=executor, watch=lambda _: None)
    assert list(seconds) == ["plan", "quality", "latency", "load"]
    assert executor.ran == ["quality", "latency", "load", "load"]
    assert (tmp_path / "slots.txt").read_text() == "1 1 "
    assert not list(out.glob("workers/latency.*"))
    run_sweep(sweep, out, executor=executor, watch=lambda _: None)
    assert len(executor.ran) == 4
    run_sweep(sweep, out, executor=executor, watch=lambda _: None, retime=True)
    assert executor.ran[4:] == ["latency", "load", "load"]


def test_a_load_that_cannot_be_offered_is_one_line_and_the_others_run(
    tmp_path: Path, loaded: Build, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A task that cannot be looked at before, and asks for likelihoods alone."""
    from fake_load import LoadedLM  # type: ignore[import-not-found]

    def refuse(self: Any, requests: list[object]) -> list[str]:
        if self.load is None or self.load.in_flight is None:
            return [""] * len(requests)
        raise UsageError("the task asks for loglikelihood")

    sweep, executor = Sweep.model_validate(loaded()), InProcess()
    monkeypatch.setattr(LoadedLM, "generate_until", refuse)
    with pytest.raises(
        UsageError, match=r"2 in flight, round 1\): the task asks for loglikelihood$"
    ):
        run_sweep(sweep, tmp_path / "out", executor=executor, watch=lambda _: None)
    assert executor.ran == ["quality", "load", "load"]
    failed = list((tmp_path / "out").glob("cells/*/failed.json"))
    assert len(failed) == 1
    assert len(list((tmp_path / "out").glob("cells/*/done.json"))) == 2


def test_a_dry_run_shows_the_loads(
    tmp_path: Path, loaded: Build, capsys: pytest.CaptureFixture[str]
) -> None:
    spec = tmp_path / "sweep.yaml"
    spec.write_text(yaml.safe_dump(loaded()))
    where = ["sweep", str(spec), "--out", str(tmp_path / "out"), "--dry-run", "--verbose"]
    assert run_command(where) == 0
    told = capsys.readouterr().out
    assert "(load, 2 in flight, round 1), documents 7, batch 2" in told
    assert "(load, 4 arrivals/s, round 1), documents 7, batch 16" in told
    assert "load cells: at most load.seconds of offering" in told
    assert run_command([*where, "--json"]) == 0
    cells = json.loads(capsys.readouterr().out)["cells"]
    found = [(cell["purpose"], cell["in_flight"], cell["arrivals_per_s"]) for cell in cells]
    assert sorted(found, key=str) == [
        ("load", 2, None),
        ("load", None, 4.0),
        ("quality", None, None),
    ]


def record(number: int, offered_s: float | None) -> RequestRecord:
    return RequestRecord(
        key=str(number),
        task="t",
        doc_id=number,
        index=0,
        request_type="generate_until",
        model="diffusion",
        seconds=2.0 + number,
        batch_size=1,
        seed=0,
        offered_s=offered_s,
    )


def test_the_window_goes_from_the_first_offer_to_the_last_answer() -> None:
    load = Load(in_flight=2, seconds=9, requests=2)
    facts = facts_of(load, [record(3, 0.25), record(0, 0.5)], asked=8)
    assert facts == {"window_s": 5.0, "offered": 2, "answered": 2, "stopped_by": "requests"}
    with pytest.raises(UsageError, match="has no offered_s"):
        facts_of(load, [record(0, None)], asked=8)


def test_requests_are_counted_once_though_filters_list_them_again() -> None:
    samples = {
        "a": [
            {"doc_id": 0, "filter": "x", "resps": [["1", "2"]]},
            {"doc_id": 0, "filter": "y", "resps": [["1", "2"]]},
            {"doc_id": 1, "filter": "x", "resps": [["1"], ["2"], ["3"]]},
        ],
        "b": [{"doc_id": 0, "resps": [["1"]]}],
    }
    assert num_asked(samples) == 6
