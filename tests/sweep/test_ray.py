"""A real Ray instance, with two declared GPUs: the records are those of the local executor."""

import json
import logging
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import ray
from cluster_runs import (
    BROKEN,
    QUIET,
    Killer,
    check_alone,
    finished_content,
    local_content,
    mapping,
    places,
    spans,
)
from killed_sweeps import Zygote

from dllm_eval.cli import run_command
from dllm_eval.errors import UsageError
from dllm_eval.sweep.executors import ray_nodes
from dllm_eval.sweep.executors.ray import RayExecutor
from dllm_eval.sweep.run import run_sweep
from dllm_eval.sweep.spec import Sweep


@pytest.fixture(scope="module")
def cluster() -> Iterator[None]:
    with pytest.MonkeyPatch.context() as patch:
        for name, value in {**QUIET, "RAY_USAGE_STATS_ENABLED": "0"}.items():
            patch.setenv(name, value)
        ray.init(
            address="local",
            num_cpus=2,
            num_gpus=2,
            include_dashboard=False,
            log_to_driver=False,
            logging_level=logging.ERROR,
            object_store_memory=256 * 2**20,
            _node_ip_address="127.0.0.1",
        )
        yield
        ray.shutdown()


@pytest.fixture(scope="module")
def run(cluster: None, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of the sweep, run once, one of whose workers is killed on the way."""
    del cluster
    folder = tmp_path_factory.mktemp("ray")
    with pytest.MonkeyPatch.context() as patch:
        for name in QUIET["PYTHONPATH"].split(":"):
            patch.syspath_prepend(name)
        killer = Killer(folder / "out", steps=50)
        sweep = Sweep.model_validate(mapping(folder))
        with RayExecutor() as executor, pytest.raises(UsageError, match="steps is 91") as error:
            run_sweep(sweep, folder / "out", executor=executor, watch=killer)
        assert str(error.value) == f"{BROKEN} (2 of 8 cells failed)"
        assert killer.killed is not None
    assert ray.is_initialized()
    return folder


def test_records_are_the_local_executors_though_a_worker_was_killed(
    run: Path, forks: Zygote, tmp_path: Path
) -> None:
    found = finished_content(run / "out")
    assert found == local_content(forks, tmp_path / "local")
    assert len(found) == 6 * 4


def test_a_cell_that_cannot_be_run_says_why_and_the_others_go_on(run: Path) -> None:
    failed = {path.parent for path in run.glob("out/cells/*/failed.json")}
    done = {path.parent for path in run.glob("out/cells/*/done.json")}
    assert (len(failed), len(done)) == (2, 6)
    for folder in failed:
        assert json.loads((folder / "cell.json").read_text())["suite"] == "Broken"
        reason = json.loads((folder / "failed.json").read_text())
        assert (reason["kind"], reason["attempts"]) == ("usage", 1)
    assert not list(run.glob("out/cells/*/lease*.json"))


def test_bundles_at_a_time_have_gpus_and_threads_of_their_own(run: Path) -> None:
    first: dict[int, dict[str, Any]] = {}
    for line in places(run):
        first.setdefault(line["steps"], line)
    assert {first[40]["device"], first[50]["device"]} == {"0", "1"}
    assert {line["threads"] for line in places(run)} == {"1"}


def test_timings_share_a_device_with_nothing_and_begin_after_quality(run: Path) -> None:
    found = spans(places(run))
    timed = [(start, stop) for line, start, stop in found if line["timed"]]
    others = [(start, stop) for line, start, stop in found if not line["timed"]]
    assert (len(timed), len(others)) == (2, 2)
    assert max(stop for _, stop in others) < min(start for start, _ in timed)
    check_alone(found)


@pytest.mark.usefixtures("cluster")
def test_a_node_that_does_not_see_the_folder_is_named(tmp_path: Path) -> None:
    nodes = ray_nodes.live_nodes(ray)
    assert [(node.cpus, node.gpus) for node in nodes] == [(2, 2)]
    (tmp_path / "seen").touch()
    (found,) = ray_nodes.asked_nodes(ray, nodes, tmp_path, "seen")
    assert found.node_id == nodes[0].node_id
    with pytest.raises(UsageError, match="does not see the results folder '/nowhere'; name one"):
        ray_nodes.asked_nodes(ray, nodes, Path("/nowhere"), "seen")


@pytest.mark.usefixtures("cluster")
def test_a_cell_that_fits_on_no_node_is_one_line(tmp_path: Path) -> None:
    sweep = Sweep.model_validate(mapping(tmp_path))
    executor = RayExecutor(cpus_per_cell=1, gpus_per_cell=3)
    with pytest.raises(UsageError, match="no node of the Ray cluster has 1 processors and 3 GPUs"):
        run_sweep(sweep, tmp_path / "out", executor=executor, watch=lambda _: None)


def test_without_ray_there_is_one_line_with_the_command_and_no_folder(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setitem(sys.modules, "ray", None)
    out = tmp_path / "out"
    assert run_command(["sweep", "demo", "--executor", "ray", "--out", str(out)]) == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith("dllm-eval: --executor ray needs ray, which cannot be imported (")
    assert line.endswith("): pip install 'dllm-eval[ray]'")
    assert not out.exists()
