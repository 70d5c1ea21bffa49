"""Models behind engines: started when needed, asked as they decode, told of as they are."""

import os
import signal
from collections.abc import Callable, Iterator
from importlib import import_module
from itertools import count
from pathlib import Path
from threading import Thread
from time import sleep
from typing import Any

import pytest
from fake_engine import FakeEngine, alive, lay
from lm_eval.api.instance import Instance
from protocol_server import ProtocolServer

from dllm_eval.engines.keeper import Keeper, keeper
from dllm_eval.errors import UsageError

EngineLM: Any = import_module("dllm_eval.adapters.engine").EngineLM


@pytest.fixture
def own_keeper(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Keeper]:
    """A keeper of the test's own, which keeps nothing when the test is over."""
    monkeypatch.setenv("TMPDIR", str(tmp_path))
    keeper.cache_clear()
    yield keeper()
    keeper().stop()
    keeper.cache_clear()


@pytest.fixture
def engine_named(
    own_keeper: Keeper, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Iterator[Callable[[str], FakeEngine]]:
    """Lays an engine; none of its processes may be left when the test is over."""
    laid = []

    def lay_it(name: str) -> FakeEngine:
        laid.append(lay(name, tmp_path, monkeypatch))
        return laid[-1]

    yield lay_it
    own_keeper.stop()
    assert not [pid for engine in laid for pid in engine.pids if alive(pid)]


def model(engine: str, folder: Path, **given: object) -> Any:
    return EngineLM(
        engine=engine,
        pretrained="org/model",
        server_logs=str(folder / "logs"),
        **{"start_s": 30, "stop_s": 1, "tries": 1, **given},
    )


def asked(*prompts: str) -> list[Instance]:
    return [
        Instance(
            "generate_until",
            {},
            (prompt, {"until": ["\n"], "max_gen_toks": 16}),
            0,
            ("task", number, 1),
        )
        for number, prompt in enumerate(prompts)
    ]


def answers(lm: Any, *prompts: str) -> list[str]:
    found: list[str] = lm.generate_until(asked(*prompts), disable_tqdm=True)
    return found


@pytest.mark.parametrize(
    ("name", "given", "version"),
    [
        ("sglang", {"algorithm": "LowConfidence", "threshold": 0.9}, "sglang 0.5.23"),
        ("lmdeploy", {"block_length": 4, "threshold": 0.9}, "lmdeploy 0.18.0"),
        ("vllm", {"dtype": "bfloat16"}, "vllm 0.33.0"),
    ],
)
def test_an_engine_is_started_for_the_first_request_and_its_answers_are_records(
    engine_named: Callable[[str], FakeEngine],
    tmp_path: Path,
    name: str,
    given: dict[str, Any],
    version: str,
) -> None:
    engine = engine_named(name)
    lm = model(name, tmp_path, **given)
    assert not engine.starts  # a model that is only built costs nothing
    assert answers(lm, "one two", "three") == ["one two", "three"]
    assert len(engine.starts) == 1
    record = next(iter(lm.log.records.values()))
    assert (record.nfe, record.positions) == (None, None)
    assert record.model == ("autoregressive" if name == "vllm" else "diffusion")
    told = lm.provenance()
    assert told["placement"] == {
        "kind": "engine",
        "engine": version,
        "host": "127.0.0.1",
        "started_here": True,
    }
    assert told["stack"] == (f"{version}, bfloat16" if name == "vllm" else version)
    assert "machine" not in told
    assert "org/model" in told["launch"]
    assert told["engine_settings"] == {k: v for k, v in given.items() if k != "dtype"}
    assert len(engine.starts) == 1


def test_models_of_one_setting_share_a_server_and_a_finished_request_needs_none(
    engine_named: Callable[[str], FakeEngine], tmp_path: Path
) -> None:
    engine = engine_named("sglang")
    first = model("sglang", tmp_path, algorithm="LowConfidence", records=str(tmp_path / "log"))
    assert answers(first, "a") == ["a"]
    first.log.close()
    assert answers(model("sglang", tmp_path, algorithm="LowConfidence"), "b") == ["b"]
    assert len(engine.starts) == 1
    keeper().stop()
    again = model("sglang", tmp_path, algorithm="LowConfidence", records=str(tmp_path / "log"))
    assert answers(again, "a") == ["a"]
    assert len(engine.starts) == 1  # the answer was in the log
    again.log.close()


def test_a_server_that_dies_while_it_answers_is_one_line_and_the_next_call_starts_another(
    engine_named: Callable[[str], FakeEngine], tmp_path: Path
) -> None:
    engine = engine_named("vllm")
    lm = model("vllm", tmp_path)
    assert answers(lm, "a") == ["a"]
    engine.behaves("serves", "--first-s", "600")
    keeper().stop()
    before = len(engine.requests)
    slow = model("vllm", tmp_path, first_byte_s=20)

    def kill_soon() -> None:
        while len(engine.requests) == before:
            sleep(0.05)
        os.killpg(engine.pids[-1], signal.SIGKILL)

    thread = Thread(target=kill_soon)
    thread.start()
    with pytest.raises(UsageError, match=r"the vllm server ended while it answered.*whole log: "):
        answers(slow, "b")
    thread.join()
    engine.behaves("serves")
    assert answers(slow, "b") == ["b"]
    assert len(engine.starts) == 3


def test_likelihoods_are_refused_before_a_server_is_started(
    engine_named: Callable[[str], FakeEngine], tmp_path: Path
) -> None:
    engine = engine_named("sglang")
    lm = model("sglang", tmp_path, algorithm="LowConfidence")
    request = Instance("loglikelihood", {}, ("a", "b"), 0, ("some_task", 0, 1))
    with pytest.raises(
        UsageError, match=r"dllm-engine answers no likelihood requests, .*some_task"
    ):
        lm.loglikelihood([request])
    with pytest.raises(UsageError, match="dllm-engine answers no likelihood requests"):
        lm.loglikelihood_rolling([request])
    assert not engine.starts


def test_the_setting_of_a_request_is_checked_once_and_goes_with_every_request() -> None:
    def backend(body: dict[str, Any]) -> str:
        return f"after {body['vllm_xargs']['diffusion_max_steps']} steps"

    with ProtocolServer(backend, key=None, models=["org/model"], flavour="vllm") as server:
        lm = EngineLM(engine="vllm", pretrained="org/model", base_url=server.base_url, steps=8)
        assert answers(lm, "a") == ["after 8 steps"]
        assert answers(lm, "b") == ["after 8 steps"]
        sent = [r.body["vllm_xargs"]["diffusion_max_steps"] for r in server.requests]
        assert sent == [48, 48, 1, 48, 1, 48, 1, 8, 8]
        assert lm.provenance()["per_request"] == "honoured: other text at 1 step than at 48"
        other = EngineLM(engine="vllm", pretrained="org/model", base_url=server.base_url, steps=4)
        assert answers(other, "a") == ["after 4 steps"]
        assert len(server.requests) == len(sent) + 1  # a server is looked at once


def test_a_server_that_samples_has_to_show_its_steps_in_seconds() -> None:
    number = count()

    def backend(body: dict[str, Any]) -> str:
        sleep(0.004 * body["vllm_xargs"]["diffusion_max_steps"])
        return f"draw {next(number)}"

    with ProtocolServer(backend, key=None, models=["org/model"], flavour="vllm") as server:
        lm = EngineLM(engine="vllm", pretrained="org/model", base_url=server.base_url, steps=8)
        answers(lm, "a")
        seen = lm.provenance()["per_request"]
        assert seen.startswith("honoured: ")
        assert " s at 1 step, " in seen


@pytest.mark.parametrize("sampling", [False, True])
def test_a_server_that_overlooks_steps_is_refused_before_the_first_request(sampling: bool) -> None:
    number = count()

    def backend(body: dict[str, Any]) -> str:
        del body
        return f"draw {next(number)}" if sampling else "always this"

    with ProtocolServer(backend, key=None, models=["org/model"], flavour="vllm") as server:
        lm = EngineLM(engine="vllm", pretrained="org/model", base_url=server.base_url, steps=8)
        with pytest.raises(UsageError, match="does not honour steps of a request: at 1 step and"):
            answers(lm, "a")
        assert len(server.requests) == 7
        assert not lm.log.records


def test_an_attached_server_is_a_machine_of_its_own_and_its_settings_are_declared(
    caplog: pytest.LogCaptureFixture,
) -> None:
    with ProtocolServer(lambda _: "x", key=None, models=["org/model"], flavour="sglang") as server:
        lm = EngineLM(
            engine="sglang",
            pretrained="org/model",
            base_url=server.base_url,
            algorithm="LowConfidence",
            threshold=0.9,
        )
        assert '"threshold": 0.9} cannot be set there and is recorded as declared' in caplog.text
        assert answers(lm, "a") == ["x"]
        told = lm.provenance()
        host = server.base_url.removeprefix("http://").removesuffix("/v1")
        assert told["machine"] == {"name": f"server {host}"}
        assert told["placement"]["started_here"] is False
        assert told["declared_not_checked"] == {"algorithm": "LowConfidence", "threshold": 0.9}
        assert told["launch"] is None
        assert lm.tier == "sglang, LowConfidence, attached"


def test_an_attached_server_that_is_not_there_is_one_line() -> None:
    lm = EngineLM(
        engine="vllm",
        pretrained="org/model",
        base_url="http://127.0.0.1:9/v1",
        tries=1,
        connect_s=1,
    )
    with pytest.raises(UsageError, match=r"127\.0\.0\.1:9"):
        answers(lm, "a")


def test_further_fields_of_the_user_join_those_of_the_settings() -> None:
    with ProtocolServer(
        lambda body: str(sorted(body["vllm_xargs"].items())),
        key=None,
        models=["org/model"],
        flavour="vllm",
    ) as server:
        lm = EngineLM(
            engine="vllm",
            pretrained="org/model",
            base_url=server.base_url,
            steps=8,
            extra="vllm_xargs.diffusion_canvas_length:64",
        )
        assert answers(lm, "a") == ["[('diffusion_canvas_length', 64), ('diffusion_max_steps', 8)]"]
