"""Ray beyond one instance: a node that is lost, and an instance that the command itself starts."""

import logging
import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest
import ray
import yaml
from cluster_runs import QUIET, finished_content, local_content, mapping, requests_of
from killed_sweeps import Zygote

from dllm_eval.errors import UsageError
from dllm_eval.sweep.executors.ray import RayExecutor
from dllm_eval.sweep.executors.ray_nodes import live_nodes
from dllm_eval.sweep.run import run_sweep
from dllm_eval.sweep.spec import Sweep
from dllm_eval.sweep.stage import Snapshot

pytestmark = pytest.mark.slow


@pytest.fixture
def two_nodes(monkeypatch: pytest.MonkeyPatch) -> Iterator[Any]:
    """A cluster of two nodes with a processor each, both on this machine."""
    from ray.cluster_utils import Cluster

    for name, value in {**QUIET, "RAY_USAGE_STATS_ENABLED": "0"}.items():
        monkeypatch.setenv(name, value)
    memory = 128 * 2**20
    cluster = Cluster(
        initialize_head=True,
        head_node_args={"num_cpus": 1, "object_store_memory": memory, "include_dashboard": False},
    )
    cluster.add_node(num_cpus=1, object_store_memory=memory)
    ray.init(address=cluster.address, log_to_driver=False, logging_level=logging.ERROR)
    yield cluster
    ray.shutdown()
    cluster.shutdown()  # type: ignore[no-untyped-call]


class Cut:
    """A `Watch` that takes the second node away once a cell somewhere has written requests."""

    def __init__(self, cluster: Any, out: Path) -> None:
        self.cluster = cluster
        self.out = out
        self.done = False

    def __call__(self, _: Snapshot) -> None:
        if not self.done and requests_of(self.out):
            self.cluster.remove_node(self.cluster.list_all_nodes()[1], allow_graceful=False)
            self.done = True


def test_what_a_lost_node_ran_is_run_elsewhere(
    two_nodes: Any, forks: Zygote, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in QUIET["PYTHONPATH"].split(os.pathsep):
        monkeypatch.syspath_prepend(name)
    assert len(live_nodes(ray)) == 2
    cut = Cut(two_nodes, tmp_path / "out")
    sweep = Sweep.model_validate(mapping(tmp_path))
    with RayExecutor() as executor, pytest.raises(UsageError, match="steps is 91"):
        run_sweep(sweep, tmp_path / "out", executor=executor, watch=cut)
    assert cut.done
    assert len(live_nodes(ray)) == 1
    assert finished_content(tmp_path / "out") == local_content(forks, tmp_path / "local")


def test_an_instance_of_its_own_leaves_nothing_behind(forks: Zygote, tmp_path: Path) -> None:
    spec, out = tmp_path / "sweep.yaml", tmp_path / "out"
    spec.write_text(yaml.safe_dump(mapping(tmp_path)))
    command = [sys.executable, "-m", "dllm_eval", "sweep", str(spec), "--out", str(out)]
    done = subprocess.run(
        [*command, "--executor", "ray", "--ray-address", "local"],
        env={**os.environ, **QUIET, "HOME": str(tmp_path)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 2
    assert "steps is 91; accepted: up to 90 (2 of 8 cells failed)" in done.stderr
    assert finished_content(out) == local_content(forks, tmp_path / "local")
    assert not (tmp_path / ".ray").exists()
    assert not _processes_with(f"HOME={tmp_path}")


def _processes_with(setting: str) -> list[Path]:
    """Processes of this user that were started with a setting in their environment."""
    found = []
    for environment in Path("/proc").glob("[0-9]*/environ"):
        with suppress(OSError):
            if setting.encode() in environment.read_bytes().split(b"\0"):
                found.append(environment)
    return found
