"""A run over HTTP that is killed at random moments sends no finished request a second time.

The server's own list of what it received is the witness: a request is finished once its record is
in the log, and at most as many as were in flight are asked again.
"""

import signal
from collections.abc import Iterator
from pathlib import Path
from random import Random

import pytest
from forked_commands import Commands, complaints
from killed_runs import Killing, Round, kept_promises, records, timeless
from protocol_answer import Body
from protocol_server import KEY, ProtocolServer

DOCUMENTS, IN_FLIGHT = 48, 4


def answer(body: Body) -> str:
    """A text of its own for every prompt, so that no answer can stand in another's place."""
    return f"{Random(str(body['prompt'])).randint(0, 999)} is it"


@pytest.fixture(scope="module")
def server() -> Iterator[ProtocolServer]:
    with ProtocolServer(answer, models=["m"], first_s=0.02) as found:
        yield found


def killing(commands: Commands, server: ProtocolServer, folder: Path) -> Killing:
    """A run of one task whose records go to a file."""
    server.forget()
    log = folder / "records.jsonl"
    model = f"base_url={server.base_url},model=m,key_env=PROTOCOL_KEY,records={log}"
    what = ["--model", "dllm-api", "--tasks", "ref_reversal", "--limit", str(DOCUMENTS)]
    more = ["--batch_size", str(IN_FLIGHT), "--output_path", str(folder / "out")]
    arguments, said = ["run", *what, *more, "--model_args", model], folder / "said.txt"
    return Killing(
        processes=commands,
        start=lambda: commands.start(arguments, said, PROTOCOL_KEY=KEY),
        server=server,
        logs=lambda: [log],
        said=said,
    )


@pytest.fixture(scope="module")
def undisturbed(
    commands: Commands, server: ProtocolServer, tmp_path_factory: pytest.TempPathFactory
) -> dict[str, dict[str, object]]:
    own = killing(commands, server, tmp_path_factory.mktemp("undisturbed"))
    only = own.round(lambda _: None)
    assert only.code == 0, own.said.read_text()
    assert only.sent.total() == DOCUMENTS == len(only.finished_after)
    assert server.most_in_flight == IN_FLIGHT
    return timeless(own.logs())


@pytest.mark.parametrize(("sign", "kills"), [(signal.SIGKILL, 10), (signal.SIGINT, 5)])
def test_kills_repeat_no_finished_request(
    sign: signal.Signals,
    kills: int,
    commands: Commands,
    server: ProtocolServer,
    undisturbed: dict[str, dict[str, object]],
    tmp_path: Path,
) -> None:
    own, draw = killing(commands, server, tmp_path), Random(8)
    rounds: list[Round] = []
    for _ in range(kills):
        rounds.append(own.round(own.after(draw.randint(1, 6), sign, draw)))
        if sign == signal.SIGINT and rounds[-1].code != 0:
            assert rounds[-1].code == 130, own.said.read_text()
            line = "dllm-eval: stopped; run the same command again to go on"
            assert complaints(own.said.read_text()) == [line]
            assert "Traceback" not in own.said.read_text()
    killed = sum(each.code != 0 for each in rounds)
    rounds.append(own.round(lambda _: None))
    assert rounds[-1].code == 0, own.said.read_text()
    kept_promises(rounds, requests=DOCUMENTS, in_flight=IN_FLIGHT)
    assert killed >= kills // 2
    assert timeless(own.logs()) == undisturbed


def test_a_failed_run_keeps_what_was_answered(
    commands: Commands,
    server: ProtocolServer,
    undisturbed: dict[str, dict[str, object]],
    tmp_path: Path,
) -> None:
    """The server refuses one request for good; the same command goes on where it ended."""
    own = killing(commands, server, tmp_path)
    server.forget({20: "402"})
    first = own.round(lambda _: None)
    assert first.code == 2
    assert len(complaints(own.said.read_text())) == 1
    assert 20 - IN_FLIGHT < len(first.finished_after) <= 20 + IN_FLIGHT
    assert len(first.unfinished) <= IN_FLIGHT
    second = own.round(lambda _: None)
    assert second.code == 0
    kept_promises([first, second], requests=DOCUMENTS, in_flight=IN_FLIGHT)
    assert timeless(own.logs()) == undisturbed


def test_a_finished_run_asks_nothing(
    commands: Commands, server: ProtocolServer, tmp_path: Path
) -> None:
    own = killing(commands, server, tmp_path)
    assert own.round(lambda _: None).code == 0
    written = [records(log) for log in own.logs()]
    again = own.round(lambda _: None)
    assert again.code == 0
    assert not again.sent
    assert [records(log) for log in own.logs()] == written
