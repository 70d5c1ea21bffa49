"""What follows when a worker of a cluster dies: who runs what again, and when it is given up."""

import json
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path

import pytest

from dllm_eval.errors import UsageError
from dllm_eval.files import write_json
from dllm_eval.sweep.executors.bundles import Bundle
from dllm_eval.sweep.executors.losses import Ended, Losses
from dllm_eval.sweep.executors.worker_note import Outcome, WorkerNote
from dllm_eval.sweep.folder import ResultsFolder
from dllm_eval.sweep.lease import Owner, this_process
from dllm_eval.sweep.models import accepted_arguments
from dllm_eval.sweep.plan import plan
from dllm_eval.sweep.spec import Sweep
from dllm_eval.sweep.stage import Stage, SweepIncomplete

DEAD = Owner(host="elsewhere", pid=7, started="1")
SPEC = {
    "name": "n",
    "models": [{"name": "D", "model": "dllm", "args": {"pretrained": "d"}}],
    "suites": [{"task": "t", "metric": "m", "sweep": {"steps": [1, 2]}}],
    "latency": {"enabled": False},
}


@pytest.fixture
def stage(tmp_path: Path) -> Stage:
    sweep = Sweep.model_validate(SPEC)
    cells = plan(sweep, accepted_arguments)
    folder = ResultsFolder(tmp_path)
    folder.begin(sweep, cells)
    return Stage(
        purpose="quality", sweep=sweep, folder=folder, cells=tuple(cells), watch=lambda _: None
    )


@pytest.fixture
def end(stage: Stage, tmp_path: Path) -> Callable[..., Ended]:
    """Makes a worker that was given both cells and ended, the first of them in its hands or not."""

    def make(outcome: Outcome = "running", *, holds: bool = True, error: str = "") -> Ended:
        note = tmp_path / "workers" / "note.json"
        WorkerNote(owner=DEAD, outcome=outcome, error=error).write(note)
        first = stage.folder.cell(stage.cells[0].cell_id)
        if holds:
            write_json(first.lease, asdict(DEAD))
        return Ended(bundle=Bundle(cells=stage.cells), note=note, death="killed")

    return make


def test_a_death_gives_the_lease_back_and_the_second_one_gives_the_cell_up(
    stage: Stage, end: Callable[..., Ended]
) -> None:
    losses = Losses(stage)
    first = stage.folder.cell(stage.cells[0].cell_id)
    assert losses.rest_of(end()) == Bundle(cells=stage.cells)
    assert not first.lease.exists()
    assert not first.failed.exists()
    assert losses.rest_of(end()) == Bundle(cells=stage.cells[1:])
    reason = json.loads(first.failed.read_text())
    assert (reason["kind"], reason["error"], reason["attempts"]) == ("crash", "killed", 2)


def test_a_cell_that_gets_further_each_time_is_never_given_up(
    stage: Stage, end: Callable[..., Ended]
) -> None:
    losses = Losses(stage)
    first = stage.folder.cell(stage.cells[0].cell_id)
    for _ in range(5):
        with first.requests.open("a") as log:
            log.write("{}\n")
        assert losses.rest_of(end()) == Bundle(cells=stage.cells)
    assert losses.rest_of(end()) == Bundle(cells=stage.cells[1:])


def test_another_workers_lease_is_left_alone(stage: Stage, end: Callable[..., Ended]) -> None:
    ended = end(holds=False)
    lease = stage.folder.cell(stage.cells[0].cell_id).lease
    write_json(lease, asdict(this_process()))
    assert not Losses(stage).give_back(ended)
    assert lease.exists()


def test_workers_that_die_before_they_do_anything_are_not_started_for_ever(
    stage: Stage, end: Callable[..., Ended]
) -> None:
    losses = Losses(stage)
    for _ in range(2):
        assert losses.rest_of(end(holds=False)) == Bundle(cells=stage.cells)
    with pytest.raises(SweepIncomplete, match="3 workers died before they could take a cell"):
        losses.rest_of(end(holds=False))


def test_what_a_worker_said_at_its_end_is_followed(stage: Stage, end: Callable[..., Ended]) -> None:
    losses = Losses(stage)
    assert losses.rest_of(end("done", holds=False)) is None
    # It has settled what happened itself, and a fresh process goes on.
    assert losses.rest_of(end("spent", holds=False)) == Bundle(cells=stage.cells)
    with pytest.raises(UsageError, match="no such folder"):
        losses.rest_of(end("refused", error="no such folder"))
    with pytest.raises(SweepIncomplete, match="full; every finished request is kept: make space"):
        losses.rest_of(end("disk full", error="full"))
