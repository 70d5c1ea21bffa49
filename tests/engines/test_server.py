"""Servers that the harness starts: they come up, are shared, and end with who asked for them."""

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from fake_engine import FakeEngine, alive, lay

from dllm_eval.engines.catalogue import engine_of
from dllm_eval.engines.keeper import Keeper
from dllm_eval.engines.launch import Launch
from dllm_eval.engines.program import find
from dllm_eval.engines.server import EngineEnded, EngineServer, Patience, start
from dllm_eval.errors import UsageError

PATIENCE = Patience(start_s=30, stop_s=0.5)


@pytest.fixture
def sglang(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[FakeEngine]:
    """A fake SGLang, none of whose processes may be left when the test is over."""
    monkeypatch.setenv("TMPDIR", str(tmp_path))
    engine = lay("sglang", tmp_path, monkeypatch)
    yield engine
    assert not [pid for pid in engine.pids if alive(pid)]


def launch(**chosen: str | float) -> Launch:
    engine = engine_of("sglang")
    return Launch(
        engine=engine, program=find(engine, None), model="some/model", chosen=engine.checked(chosen)
    )


def until(what: Callable[[], bool], seconds: float = 15.0) -> bool:
    for _ in range(int(seconds / 0.05)):
        if what():
            return True
        time.sleep(0.05)
    return False


def test_a_server_answers_when_it_is_given_and_is_gone_when_it_is_stopped(
    sglang: FakeEngine, tmp_path: Path
) -> None:
    server = start(launch(algorithm="LowConfidence", threshold=0.9), tmp_path / "logs", PATIENCE)
    assert server.version == "0.5.23"
    arguments = sglang.starts[0]["argv"]
    assert isinstance(arguments, list)
    assert arguments[arguments.index("--host") + 1] == "127.0.0.1"
    file = Path(arguments[arguments.index("--dllm-algorithm-config") + 1])
    assert file.read_text() == "threshold: 0.9\n"
    assert "loading weights" in server.log.read_text()
    server.stop()
    assert not alive(sglang.pids[0])
    server.stop()  # again does nothing
    assert not server.alive


def test_one_that_dies_is_an_error_that_quotes_its_log(sglang: FakeEngine, tmp_path: Path) -> None:
    sglang.behaves("dies")
    with pytest.raises(EngineEnded) as error:
        start(launch(), tmp_path / "logs", PATIENCE)
    text = str(error.value)
    assert "exit code 3 before it was ready" in text
    assert "loading weights | ValueError: unknown diffusion LLM" in text
    assert "\n" not in text
    assert next((tmp_path / "logs").glob("*.log")).name in text


def test_one_that_never_answers_is_given_up_and_ended(sglang: FakeEngine, tmp_path: Path) -> None:
    sglang.behaves("silent")
    with pytest.raises(EngineEnded, match=r"was not ready within start_s=1; .*loading weights"):
        start(launch(), tmp_path / "logs", Patience(start_s=1, stop_s=0.5))
    assert not alive(sglang.pids[0])


def test_a_port_that_another_process_took_is_replaced(sglang: FakeEngine, tmp_path: Path) -> None:
    sglang.behaves("taken")
    server = start(launch(), tmp_path / "logs", PATIENCE)
    ports = [str(s["argv"]) for s in sglang.starts]
    assert len(set(ports)) == len(ports) == 2
    server.stop()


def test_one_that_ignores_the_polite_signal_is_killed_with_its_children(
    sglang: FakeEngine, tmp_path: Path
) -> None:
    sglang.behaves("stubborn")
    server = start(launch(), tmp_path / "logs", PATIENCE)
    child = int((tmp_path / "child").read_text())
    assert alive(child)  # it has a session of its own, where no signal to the group reaches it
    server.stop()
    assert not alive(sglang.pids[0])
    assert not alive(child)


def test_a_guardian_that_is_killed_takes_the_engine_along(
    sglang: FakeEngine, tmp_path: Path
) -> None:
    server = start(launch(), tmp_path / "logs", PATIENCE)
    os.kill(server._guardian.pid, signal.SIGKILL)
    assert until(lambda: not alive(sglang.pids[0]))
    assert not server.alive
    server.stop()


SLEEPS = "time.sleep(600)"
OWNER = """
import sys, time
from pathlib import Path
sys.path.insert(0, {tests!r})
from test_server import PATIENCE, launch
from dllm_eval.engines.keeper import keeper
keeper().folder = Path({folder!r})
server = keeper().keep(launch(), PATIENCE)
print(server.port, flush=True)
{then}
"""


@pytest.mark.parametrize(
    ("then", "ending"),
    [
        (SLEEPS, signal.SIGKILL),
        (SLEEPS, signal.SIGINT),
        (SLEEPS, signal.SIGTERM),
        (f"import os\nif os.fork() == 0: time.sleep(3); os._exit(0)\n{SLEEPS}", signal.SIGKILL),
        ("raise RuntimeError('a bug')", None),
        ("pass", None),
        ("import os; os._exit(0)", None),
    ],
    ids=["killed", "ctrl-c", "terminated", "killed-with-a-fork", "bug", "end", "hard-exit"],
)
def test_a_server_ends_with_the_process_that_asked_for_it(
    sglang: FakeEngine, tmp_path: Path, then: str, ending: signal.Signals | None
) -> None:
    text = OWNER.format(tests=str(Path(__file__).parent), folder=str(tmp_path / "logs"), then=then)
    support = str(Path(__file__).parents[1] / "support")
    environment = {**os.environ, "PYTHONPATH": f"{os.environ['PYTHONPATH']}:{support}"}
    with subprocess.Popen(
        [sys.executable, "-c", text],
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        env=environment,
    ) as owner:
        assert owner.stdout is not None
        assert int(owner.stdout.readline()) > 0
        if ending is not None:
            owner.send_signal(ending)
        assert until(lambda: not alive(sglang.pids[0]))


def test_equal_launches_share_a_server_and_others_replace_it(
    sglang: FakeEngine, tmp_path: Path
) -> None:
    keeper = Keeper()
    keeper.folder = tmp_path / "logs"
    first = keeper.keep(launch(algorithm="LowConfidence", threshold=0.9), PATIENCE)
    assert keeper.keep(launch(algorithm="LowConfidence", threshold=0.9), PATIENCE) is first
    other = keeper.keep(launch(algorithm="LowConfidence", threshold=0.8), PATIENCE)
    assert len(sglang.pids) == 2
    assert not alive(sglang.pids[0])  # two never lie on the device together
    os.killpg(sglang.pids[1], signal.SIGKILL)
    assert until(lambda: not other.alive)
    third = keeper.keep(launch(algorithm="LowConfidence", threshold=0.8), PATIENCE)
    assert third.alive
    keeper.stop()
    assert keeper.running is None


def test_two_servers_never_share_a_device(
    sglang: FakeEngine, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "0")
    first = start(launch(), tmp_path / "one", PATIENCE)
    impatient = Patience(start_s=0.5, stop_s=0.5)
    with pytest.raises(UsageError, match=r"another server has the device .*start_s=0.5") as error:
        start(launch(), tmp_path / "two", impatient)
    assert json.dumps(os.getpid()) in str(error.value)
    assert len(sglang.pids) == 1
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "1")
    beside = start(launch(), tmp_path / "two", PATIENCE)
    assert [s["device"] for s in sglang.starts] == ["0", "1"]
    beside.stop()
    first.stop()


def test_a_server_of_the_same_results_waits_for_the_device_as_long_as_it_takes(
    sglang: FakeEngine, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "0")
    first = start(launch(), tmp_path / "logs", PATIENCE)
    second = EngineServer(launch(), tmp_path / "logs", Patience(start_s=5, stop_s=0.5))
    time.sleep(0.5)
    assert second.alive
    assert len(sglang.pids) == 1
    first.stop()
    second.wait_until_ready()
    assert len(sglang.pids) == 2
    second.stop()
