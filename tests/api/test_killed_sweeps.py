"""A sweep over HTTP that is killed at random moments asks for no finished answer again.

The server's list of requests is the witness, as in `test_killed_runs.py`; sweep and workers are
forks. Every cell's records, scores and lm-eval files have to equal those of an undisturbed sweep.
"""

import json
import signal
from collections.abc import Iterator, Mapping
from pathlib import Path
from random import Random
from typing import Any

import pytest
import yaml
from killed_runs import TIMES, Killing, Round, kept_promises, prompt_in, prompt_of, timeless
from killed_sweeps import Zygote, check_whole, content
from protocol_answer import Body
from protocol_server import KEY, ProtocolServer

DOCUMENTS, IN_FLIGHT, KILLS = 12, 3, 8
EFFORTS = ("low", "high")


def answer(body: Body) -> str:
    """A text of its own for every prompt and effort."""
    return f"{Random(asked(body)).randint(0, 999)} is it"


def asked(body: Body) -> str:
    return f"{body['reasoning_effort']}: {prompt_of(body)}"


def written(log: Path, record: Mapping[str, Any]) -> str:
    arguments = json.loads((log.parent / "cell.json").read_text())["arguments"]
    return f"{arguments['reasoning_effort']}: {prompt_in(log, record)}"


@pytest.fixture(scope="module")
def server() -> Iterator[ProtocolServer]:
    with ProtocolServer(answer, models=["m"], flavour="vllm", first_s=0.01) as found:
        yield found


@pytest.fixture(scope="module")
def forks() -> Iterator[Zygote]:
    """Starts sweeps whose environment has the key, and a wrong one."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("PROTOCOL_KEY", KEY)
        patch.setenv("WRONG_KEY", "sk-wrong-0123456789abcdef")
        zygote = Zygote()
    yield zygote
    zygote.close()


def spec_of(server: ProtocolServer, folder: Path, **changed: str) -> Path:
    where = {"base_url": server.base_url, "model": "m", "key_env": "PROTOCOL_KEY"}
    arguments = {**where, "route": "chat", "kind": "diffusion", "tries": 2, **changed}
    suite = {"task": "ref_reversal", "metric": "exact_match", "limit": DOCUMENTS}
    spec = {
        "name": "over http",
        "models": [{"name": "M", "model": "dllm-api", "kind": "diffusion", "args": arguments}],
        "suites": [{**suite, "sweep": {"reasoning_effort": list(EFFORTS)}}],
        "quality": {"batch_size": IN_FLIGHT},
        "latency": {"enabled": False},
    }
    path = folder / "sweep.yaml"
    path.write_text(yaml.safe_dump(spec))
    return path


def killing(forks: Zygote, server: ProtocolServer, folder: Path) -> Killing:
    server.forget()
    spec, out = spec_of(server, folder), folder / "out"
    return Killing(
        processes=forks,
        start=lambda: forks.sweep(spec, out, 1),
        server=server,
        logs=lambda: sorted(out.glob("cells/*/requests.jsonl")),
        said=out.with_suffix(".log"),
        asked=asked,
        written=written,
    )


def all_content(own: Killing) -> dict[str, Any]:
    """What must not depend on how the sweep came to its end, by file."""
    (out,) = {log.parents[2] for log in own.logs()}
    found: dict[str, Any] = dict(content(out))
    for name in [name for name in found if name.endswith(" requests")]:
        rows = [json.loads(row) for row in found[name]]
        found[name] = [{k: v for k, v in row.items() if k not in TIMES} for row in rows]
    return found


@pytest.fixture(scope="module")
def undisturbed(
    forks: Zygote, server: ProtocolServer, tmp_path_factory: pytest.TempPathFactory
) -> dict[str, Any]:
    own = killing(forks, server, tmp_path_factory.mktemp("undisturbed"))
    only = own.round(lambda _: None)
    assert only.code == 0, own.said.read_text()
    assert only.sent.total() == DOCUMENTS * len(EFFORTS) == len(only.finished_after)
    return all_content(own)


def test_kills_repeat_no_finished_request(
    forks: Zygote, server: ProtocolServer, undisturbed: dict[str, Any], tmp_path: Path
) -> None:
    own, draw = killing(forks, server, tmp_path), Random(8)
    rounds: list[Round] = []
    for _ in range(KILLS):
        rounds.append(own.round(own.after(draw.randint(1, 4), signal.SIGKILL, draw)))
        check_whole(tmp_path / "out")
    killed = sum(each.code != 0 for each in rounds)
    rounds.append(own.round(lambda _: None))
    assert rounds[-1].code == 0, own.said.read_text()
    kept_promises(rounds, requests=DOCUMENTS * len(EFFORTS), in_flight=IN_FLIGHT)
    assert killed >= KILLS // 2
    assert all_content(own) == undisturbed


@pytest.mark.parametrize(
    ("changed", "line"),
    [
        ({"key_env": "WRONG_KEY"}, "WRONG_KEY (401: Incorrect API key"),
        ({"key_env": "NO_SUCH_KEY"}, "NO_SUCH_KEY is not set"),
        ({"model": "n"}, "unknown model"),
        ({"base_url": "http://127.0.0.1:9/v1"}, "no connection"),
    ],
)
def test_a_sweep_that_cannot_begin(
    changed: dict[str, str], line: str, forks: Zygote, server: ProtocolServer, tmp_path: Path
) -> None:
    """One line, exit code 2, no answer asked for; the right command then goes on in the folder."""
    server.forget()
    out = tmp_path / "out"
    spec = spec_of(server, tmp_path, **changed)
    assert forks.end(forks.sweep(spec, out, 1)) == 2
    said = out.with_suffix(".log").read_text()
    lines = [each for each in said.splitlines() if line in each]
    assert len(lines) == 1, said
    assert "Traceback" not in said
    assert not [request for request in server.settled() if request.status == 200]
    assert not list(out.glob("cells/*/done.json"))
    assert not timeless(out.glob("cells/*/requests.jsonl"))
    secrets = (KEY, "sk-wrong-0123456789abcdef")
    for path in (*out.rglob("*"), out.with_suffix(".log")):
        text = path.read_text(errors="replace") if path.is_file() else ""
        assert not [secret for secret in secrets if secret in text]
    assert forks.end(forks.sweep(spec_of(server, tmp_path), out, 1)) == 0


def test_a_task_of_likelihoods_is_refused_before_anything(
    forks: Zygote, server: ProtocolServer, tmp_path: Path
) -> None:
    server.forget()
    spec = spec_of(server, tmp_path)
    text = spec.read_text().replace("ref_reversal", "ref_reversal_choice")
    spec.write_text(text.replace("exact_match", "acc"))
    assert forks.end(forks.sweep(spec, tmp_path / "out", 1)) == 2
    assert "loglikelihood" in (tmp_path / "out.log").read_text()
    assert not server.settled()
    assert not (tmp_path / "out").exists()
