"""What provenance says about this very machine and environment."""

import os
import platform
from importlib.metadata import version

import pytest
import torch

from dllm_eval.measure.provenance import (
    collect,
    git_commit,
    machine_name,
    thread_budget,
    usable_cores,
)

CPU = torch.device("cpu")


def test_it_names_the_software_and_the_machine() -> None:
    found = collect(CPU)
    assert found["versions"]["torch"] == version("torch")
    assert found["versions"]["python"] == platform.python_version()
    machine = found["machine"]
    assert machine["device"] == "cpu"
    assert machine["threads"] == torch.get_num_threads()
    assert machine["cpu"] in machine["name"]
    assert machine["name"] == machine_name(CPU)


@pytest.mark.parametrize(("threads", "words"), [(1, "1 thread"), (2, "2 threads")])
def test_a_machine_counts_its_threads_in_words(
    monkeypatch: pytest.MonkeyPatch, threads: int, words: str
) -> None:
    monkeypatch.setattr(torch, "get_num_threads", lambda: threads)
    assert machine_name(CPU).endswith(f", {words}")


def test_cores_are_those_this_process_may_use(monkeypatch: pytest.MonkeyPatch) -> None:
    assert 1 <= usable_cores() <= len(os.sched_getaffinity(0))
    monkeypatch.setenv("OMP_NUM_THREADS", "1")
    assert thread_budget() == 1
    monkeypatch.delenv("OMP_NUM_THREADS")
    assert thread_budget() == usable_cores()


def test_there_is_no_commit_outside_a_checkout(tmp_path_factory: pytest.TempPathFactory) -> None:
    assert git_commit(tmp_path_factory.mktemp("bare")) is None
