"""Cells of `dllm-engine`: one server for each setting, never two at a time, none left behind."""

import json
import os
import signal
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from random import Random
from typing import Any

import pytest
from fake_engine import FakeEngine, alive, lay
from killed_sweeps import Zygote, check_whole, content, kill
from transformers_server import MISSING

Write = Callable[[object], Path]
KILLS = 6
FACTS = ("first_text_s", "tries")


@pytest.fixture
def sglang(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[FakeEngine]:
    """A fake SGLang in an environment of its own, whose interpreter sweeps are told of."""
    with monkeypatch.context() as inner:
        engine = lay("sglang", tmp_path, inner)
        packages = os.environ["PYTHONPATH"]
    python = tmp_path / "python"
    python.write_text(f'#!/bin/sh\nPYTHONPATH="{packages}" exec "{sys.executable}" "$@"\n')
    python.chmod(0o755)
    yield engine
    assert gone(engine)


def gone(engine: FakeEngine) -> bool:
    """Whether no process of the engine is left, or will be in a moment."""
    for _ in range(200):
        if not [pid for pid in engine.pids if alive(pid)]:
            return True
        time.sleep(0.05)
    return False


def sweep_of(folder: Path, thresholds: list[float], **more: Any) -> dict[str, Any]:
    return {
        "name": "engines",
        "models": [
            {
                "name": "Served",
                "model": "dllm-engine",
                "kind": "diffusion",
                "args": {
                    "engine": "sglang",
                    "pretrained": "org/model",
                    "algorithm": "LowConfidence",
                    "engine_python": str(folder / "python"),
                    "start_s": 60,
                    "stop_s": 1,
                    "tries": 2,
                    **more,
                },
            }
        ],
        "suites": [
            {
                "task": "fake_echo",
                "metric": "exact_match",
                "sweep": {"max_gen_toks": [8, 16], "threshold": thresholds},
            }
        ],
        "quality": {"batch_size": 4},
        "latency": {"requests": 2, "rounds": 1, "repeats": 1, "warmup": 0, "min_seconds": 0},
        "include": [str(Path(__file__).parent / "fakes")],
    }


def end(forks: Zygote, spec: Path, out: Path, workers: int = 1) -> int:
    return forks.end(forks.sweep(spec, out, workers))


def started(engine: FakeEngine) -> list[str]:
    """The threshold of each start, from the file that the server was told of."""
    found = []
    for start in engine.starts:
        words = start["argv"]
        assert isinstance(words, list)
        file = Path(words[words.index("--dllm-algorithm-config") + 1])
        found.append(file.read_text().strip().removeprefix("threshold: "))
    return found


def test_cells_of_one_setting_share_a_server_and_stages_end_theirs(
    forks: Zygote, tmp_path: Path, sglang: FakeEngine, spec_file: Write
) -> None:
    out = tmp_path / "out"
    assert end(forks, spec_file(sweep_of(tmp_path, [0.8, 0.9])), out) == 0, out.with_suffix(
        ".log"
    ).read_text()
    cells = [json.loads(path.read_text()) for path in out.glob("cells/*/cell.json")]
    assert sorted(cell["purpose"] for cell in cells) == ["latency"] * 4 + ["quality"] * 4
    assert len(list(out.glob("cells/*/done.json"))) == 8
    # Quality, then latency: in each two servers for four cells, one after the other.
    assert started(sglang) in (["0.8", "0.9", "0.8", "0.9"], ["0.8", "0.9", "0.9", "0.8"])
    assert not any(start["others"] for start in sglang.starts)
    assert len(list((out / "servers").glob("sglang-*.log"))) == 4
    told = [json.loads(path.read_text()) for path in out.glob("cells/*/provenance.json")]
    assert {p["stack"] for p in told} == {"sglang 0.5.23"}
    assert {p["tier"] for p in told} == {"sglang, LowConfidence"}
    assert {p["engine_settings"]["threshold"] for p in told} == {0.8, 0.9}
    assert all(p["placement"]["kind"] == "engine" for p in told)
    assert end(forks, spec_file(sweep_of(tmp_path, [0.8, 0.9])), out) == 0
    assert len(sglang.starts) == 4  # nothing was left to do


def test_several_workers_never_have_two_servers_at_a_time(
    forks: Zygote, tmp_path: Path, sglang: FakeEngine, spec_file: Write
) -> None:
    out = tmp_path / "out"
    spec = sweep_of(tmp_path, [0.8, 0.9])
    assert end(forks, spec_file(spec), out, workers=3) == 0
    assert len(list(out.glob("cells/*/done.json"))) == 8
    assert not any(start["others"] for start in sglang.starts)


@pytest.mark.slow
def test_a_killed_sweep_leaves_no_server_and_resumes_to_the_same(
    forks: Zygote, tmp_path: Path, sglang: FakeEngine, spec_file: Write
) -> None:
    spec, out, draw = spec_file(sweep_of(tmp_path, [0.8, 0.9])), tmp_path / "out", Random(8)
    assert end(forks, spec, tmp_path / "alone") == 0
    killed = 0
    while killed < KILLS:
        pid = forks.sweep(spec, out, 1)
        time.sleep(draw.uniform(0.3, 2.0))
        killed += kill(pid, draw.choice(("all", "parent", "worker")), draw)
        if forks.end(pid) == 0:
            break
        assert gone(sglang)
        check_whole(out)
    assert killed
    assert end(forks, spec, out) == 0
    assert not any(start["others"] for start in sglang.starts)
    assert without_facts(content(out)) == without_facts(content(tmp_path / "alone"))


def without_facts(found: dict[str, list[str]]) -> dict[str, list[str]]:
    """Records without what only says how long a server took to answer."""
    return {
        name: [
            json.dumps({k: v for k, v in json.loads(line).items() if k not in FACTS})
            for line in lines
        ]
        for name, lines in found.items()
        if name.endswith(("requests", "scores"))
    }


@pytest.mark.slow
@pytest.mark.skipif(bool(MISSING), reason=f"transformers serve needs {', '.join(MISSING)}")
def test_a_real_engine_whose_workers_are_killed_answers_as_the_model_in_process(
    forks: Zygote, tmp_path: Path, spec_file: Write
) -> None:
    served = {"engine": "transformers", "pretrained": "reference-ar", "stop_s": 5}
    spec = {
        "name": "real",
        "models": [
            {"name": "Here", "model": "dllm-ar", "args": {"pretrained": "reference-ar"}},
            {"name": "Served", "model": "dllm-engine", "args": served},
        ],
        "suites": [{"task": "ref_humaneval", "metric": "pass@1", "limit": 12}],
        "quality": {"batch_size": 1},
        "latency": {"enabled": False},
        "confirm_run_unsafe_code": True,
    }
    out, draw, kills = tmp_path / "out", Random(3), 0
    while kills < 2:
        before = len(records(out, "Served"))
        pid = forks.sweep(spec_file(spec), out, 1)
        while forks.code(pid) is None and len(records(out, "Served")) < before + 3:
            time.sleep(0.02)
        if not kill(pid, "all", draw):
            break
        forks.end(pid)
        kills += 1
    assert end(forks, spec_file(spec), out) == 0, out.with_suffix(".log").read_text()
    here, there = records(out, "Here"), records(out, "Served")
    assert kills == 2
    assert {r["doc_id"]: r["response"] for r in there} == {r["doc_id"]: r["response"] for r in here}
    assert len(there) == len(here) == 12  # none was asked again
    logs = [path.read_text() for path in (out / "servers").glob("transformers-*.log")]
    assert len(logs) == 3
    assert 12 <= sum(log.count('"POST /v1/completions') for log in logs) <= 12 + kills


def records(out: Path, name: str) -> list[dict[str, Any]]:
    """The records of a model's cells."""
    found: list[dict[str, Any]] = []
    for cell in out.glob("cells/*/cell.json"):
        path = cell.parent / "requests.jsonl"
        if json.loads(cell.read_text())["name"] == name and path.exists():
            *lines, _ = path.read_text().split("\n")  # the last one may be torn
            found += [json.loads(line) for line in lines]
    return found


def test_an_interrupted_sweep_ends_its_server(
    forks: Zygote, tmp_path: Path, sglang: FakeEngine, spec_file: Write
) -> None:
    sglang.behaves("serves", "--first-s", "600")
    pid = forks.sweep(spec_file(sweep_of(tmp_path, [0.8])), tmp_path / "out", 1)
    for _ in range(400):
        if sglang.requests:
            break
        time.sleep(0.05)
    assert sglang.requests
    os.killpg(pid, signal.SIGINT)
    forks.end(pid)
    assert gone(sglang)


def test_a_server_that_does_not_come_up_fails_its_cells_in_one_line_each(
    forks: Zygote, tmp_path: Path, sglang: FakeEngine, spec_file: Write
) -> None:
    sglang.behaves("dies")
    out = tmp_path / "out"
    spec = sweep_of(tmp_path, [0.8]) | {"latency": {"enabled": False}}
    assert end(forks, spec_file(spec), out) == 2
    failures = [json.loads(path.read_text()) for path in out.glob("cells/*/failed.json")]
    assert len(failures) == 2
    for failure in failures:
        assert "the sglang server ended with exit code 3 before it was ready" in failure["error"]
        assert "ValueError: unknown diffusion LLM" in failure["error"]
        assert failure["kind"] == "usage"


def test_an_engine_that_is_not_installed_stops_a_sweep_before_it_begins(
    forks: Zygote, tmp_path: Path, spec_file: Write
) -> None:
    spec = sweep_of(tmp_path, [0.8])
    spec["models"][0]["args"] |= {"engine": "lmdeploy", "block_length": 4, "algorithm": None}
    spec["models"][0]["args"]["engine_python"] = sys.executable
    out = tmp_path / "out"
    assert end(forks, spec_file(spec), out) == 2
    assert "engine lmdeploy is not installed" in out.with_suffix(".log").read_text()
    assert not out.exists()
