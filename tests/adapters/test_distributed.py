"""Two real processes of one run (gloo): the records, answers and scores are those of one."""

import json
import os
import shutil
import socket
import subprocess
import sys
from importlib import import_module
from pathlib import Path
from typing import Any

import pytest
import torch
import two_processes

from dllm_eval.errors import UsageError
from dllm_eval.records import RequestRecord

distributed = import_module("dllm_eval.adapters.distributed")

TIMES = {"seconds", "repeat_seconds", "cpu_seconds"}
SCRIPT = Path(two_processes.__file__)


def free_port() -> int:
    with socket.socket() as found:
        found.bind(("127.0.0.1", 0))
        return int(found.getsockname()[1])


def launch(folder: Path, checkpoints: dict[str, str]) -> list[Any]:
    """Runs the script in two processes, told what `accelerate launch` and torchrun tell them."""
    shared = os.environ | {
        "MASTER_ADDR": "127.0.0.1",
        "MASTER_PORT": str(free_port()),
        "WORLD_SIZE": "2",
        "OMP_NUM_THREADS": "1",
        "LMEVAL_LOG_LEVEL": "ERROR",
        "TQDM_DISABLE": "1",
    }
    workers = []
    for rank in range(2):
        with (folder / f"output{rank}.txt").open("w") as output:
            workers.append(
                subprocess.Popen(
                    [sys.executable, str(SCRIPT), str(folder), *checkpoints.values()],
                    env=shared | {"RANK": str(rank), "LOCAL_RANK": str(rank)},
                    stdout=output,
                    stderr=output,
                )
            )
    for rank, worker in enumerate(workers):
        assert worker.wait(timeout=300) == 0, (folder / f"output{rank}.txt").read_text()
    return [json.loads((folder / f"answers{rank}.json").read_text()) for rank in range(2)]


def rows(paths: list[Path]) -> list[RequestRecord]:
    """By key; a line that was never ended is none."""
    lines = [line for path in paths for line in path.read_text().split("\n")[:-1]]
    return sorted(map(RequestRecord.model_validate_json, lines), key=lambda row: row.key)


def without_times(paths: list[Path]) -> list[str]:
    return [row.model_dump_json(exclude=TIMES) for row in rows(paths)]


@pytest.fixture(scope="module")
def checkpoints(tiny_llada: Path, tiny_llama: Path) -> dict[str, str]:
    return {"dllm": str(tiny_llada), "dllm-ar": str(tiny_llama)}


@pytest.fixture(scope="module")
def alone(checkpoints: dict[str, str], tmp_path_factory: pytest.TempPathFactory) -> Any:
    """The folder and the answers of a run of one process."""
    folder = tmp_path_factory.mktemp("one")
    threads = torch.get_num_threads()
    # The launcher gives each process one; sums of several threads round in another order.
    torch.set_num_threads(1)
    found = two_processes.evaluate_all(folder, checkpoints)
    torch.set_num_threads(threads)
    return folder, json.loads(json.dumps(found, default=str))


@pytest.fixture(scope="module")
def together(
    alone: Any, checkpoints: dict[str, str], tmp_path_factory: pytest.TempPathFactory
) -> Any:
    """The folder and the answers of two, where two logs of another run are there already.

    Of one, a process that ran alone wrote the first three lines; of the other, three processes
    wrote one line each, and the last of them was killed while it wrote a second one.
    """
    folder = tmp_path_factory.mktemp("two")
    first, second = "dllm-generate_until-7.jsonl", "dllm-ar-multiple_choice-7.jsonl"
    whole = (alone[0] / first).read_text().splitlines(keepends=True)
    (folder / first).write_text("".join(whole[:3]))
    whole = (alone[0] / second).read_text().splitlines(keepends=True)
    for rank in range(3):
        torn = whole[3][:50] if rank == 2 else ""
        (folder / f"{second}.rank{rank}").write_text(whole[rank] + torn)
    return folder, launch(folder, checkpoints)


def titles() -> list[str]:
    return [
        f"{name}-{kind}-{limit}"
        for name in ("dllm", "dllm-ar")
        for kind in two_processes.KINDS
        for limit in two_processes.LIMITS
    ]


@pytest.mark.parametrize("title", titles())
def test_nothing_is_asked_twice_and_nothing_differs(title: str, alone: Any, together: Any) -> None:
    one, (two, answers) = alone[0], together
    assert [each["count"] for each in answers] == [2, 2]
    written = sorted(two.glob(f"{title}.jsonl*"))
    found, wanted = rows(written), rows([one / f"{title}.jsonl"])
    assert len({row.key for row in found}) == len(found) == len(wanted)
    assert [row.batch_size for row in found] == [row.batch_size for row in wanted]
    assert without_times(written) == without_times([one / f"{title}.jsonl"])
    if title.endswith("-7"):
        own = [len(rows([two / f"{title}.jsonl.rank{rank}"])) for rank in range(2)]
        assert min(own) > 0, "one process did all of the work"


@pytest.mark.parametrize("title", titles())
def test_only_the_first_process_has_results(title: str, alone: Any, together: Any) -> None:
    first, second = (each["found"][title] for each in together[1])
    assert second is None
    assert first == alone[1][title]


def test_one_process_goes_on_where_several_stopped(
    alone: Any, together: Any, checkpoints: dict[str, str], tmp_path: Path
) -> None:
    """Of two processes, one wrote nothing of a call: what it lacks is run, in the old batches."""
    title = "dllm-ar-generate_until-7"
    shutil.copy(together[0] / f"{title}.jsonl.rank1", tmp_path)
    path = tmp_path / f"{title}.jsonl"
    before = rows([tmp_path / f"{title}.jsonl.rank1"])
    model = two_processes.model_of("dllm-ar", checkpoints["dllm-ar"], path)
    task = two_processes.task_of("generate_until")
    task.build_all_requests(limit=7)
    requests = [copy for each in task.instances for copy in [each] * each.repeats]
    model.generate_until(requests, disable_tqdm=True)
    model.log.close()
    assert not {row.key for row in before} & {row.key for row in rows([path])}
    assert without_times(sorted(tmp_path.glob("*"))) == without_times([alone[0] / path.name])


def test_a_process_alone_has_no_share() -> None:
    alone = distributed.launched()
    assert (alone.rank, alone.count, alone.device, alone.share) == (0, 1, None, None)


def test_processes_that_were_asked_different_requests(monkeypatch: pytest.MonkeyPatch) -> None:
    processes = distributed.Processes(rank=0, count=2)

    def all_gather_object(found: list[Any], mine: list[str]) -> None:
        found[:] = [mine, mine[:1]]

    monkeypatch.setattr("torch.distributed.all_gather_object", all_gather_object)
    processes.agree(["a"])
    with pytest.raises(UsageError, match="the 2 processes of this run were asked different"):
        processes.agree(["a", "b"])


def test_a_sweeps_cell_is_no_run_of_several_processes(tiny_llama: Path, make_model: Any) -> None:
    model = make_model("dllm-ar", pretrained=tiny_llama)
    model.processes = distributed.Processes(rank=0, count=2)
    with pytest.raises(UsageError, match="a sweep's cell runs in one process, and 2 were launched"):
        model.generate_until([], disable_tqdm=True)


def test_a_damaged_log_of_another_process(tmp_path: Path) -> None:
    (tmp_path / "log.jsonl.rank3").write_text('{"key": 1}\n')
    with pytest.raises(UsageError, match=r"log.jsonl.rank3: a record's .* is wrong"):
        distributed.open_log(str(tmp_path / "log.jsonl"), distributed.Processes())
