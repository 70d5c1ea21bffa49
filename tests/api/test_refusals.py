"""What a user gets wrong about a server is one line and exit code 2, and no request is sent."""

import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

import pytest
from forked_commands import Commands, complaints
from protocol_server import KEY, ProtocolServer

WRONG = "sk-wrong-fedcba9876543210"
NOBODY = "http://127.0.0.1:9/v1"
"""The port of the discard service, which nobody runs."""


@dataclass(frozen=True, kw_only=True)
class Mistake:
    """What is typed, and what has to be said."""

    line: str
    """A pattern."""
    arguments: dict[str, str] = field(default_factory=dict)
    """On top of right ones."""
    environment: dict[str, str] = field(default_factory=dict)
    tasks: str = "ref_reversal"
    more: tuple[str, ...] = ()


MISTAKES = {
    "a bad key": Mistake(
        environment={"PROTOCOL_KEY": WRONG}, line="PROTOCOL_KEY .*401: Incorrect API key"
    ),
    "no key": Mistake(
        environment={"PROTOCOL_KEY": ""}, line="wants a key, and PROTOCOL_KEY is not"
    ),
    "a key that is none": Mistake(
        environment={"PROTOCOL_KEY": "two words"}, line="PROTOCOL_KEY does not hold a key"
    ),
    "no variable named": Mistake(arguments={"key_env": "None"}, line="wants a key .*key_env"),
    "a key as argument": Mistake(arguments={"api_key": WRONG}, line="looks like a key"),
    "a key in place of a name": Mistake(arguments={"key_env": WRONG}, line="key_env .*like a key"),
    "an unknown model": Mistake(
        arguments={"model": "reference-a"}, line="unknown model .*did you mean 'reference-ar'"
    ),
    "no model": Mistake(arguments={"model": ""}, line="needs the argument model"),
    "nobody there": Mistake(arguments={"base_url": NOBODY}, line="no connection"),
    "no such host": Mistake(
        arguments={"base_url": "https://no-such-host.invalid/v1"}, line="no connection"
    ),
    "no address": Mistake(arguments={"base_url": "no-address"}, line="accepted: http"),
    "a key over plain http": Mistake(
        arguments={"base_url": "http://example.invalid/v1"}, line="unencrypted"
    ),
    "a route that is not there": Mistake(arguments={"route": "edit"}, line="no route /edit"),
    "an unknown argument": Mistake(arguments={"efort": "low"}, line="unknown argument"),
    "likelihood": Mistake(tasks="ref_reversal_choice", line="likelihood|loglikelihood"),
    "rolling likelihood": Mistake(tasks="ref_perplexity", line="likelihood|loglikelihood"),
    "likelihood behind text": Mistake(
        tasks="ref_reversal,ref_reversal_choice", line="likelihood|loglikelihood"
    ),
    "sampling that nobody asked for": Mistake(
        tasks="ref_humaneval_pass_at_10",
        more=("--confirm_run_unsafe_code",),
        line="asks for sampling at temperature",
    ),
}


@pytest.fixture(scope="module")
def server() -> Iterator[ProtocolServer]:
    with ProtocolServer(models=["reference-ar"], flavour="vllm") as found:
        yield found


Run = Callable[[Mistake], tuple[int, str]]


@pytest.fixture
def run(commands: Commands, server: ProtocolServer, tmp_path: Path) -> Run:
    """Types a mistake; gives the exit code and everything that was said."""

    def typed(mistake: Mistake) -> tuple[int, str]:
        right = {
            "base_url": server.base_url,
            "model": "reference-ar",
            "key_env": "PROTOCOL_KEY",
            "tries": "2",
        }
        given = ",".join(f"{name}={value}" for name, value in (right | mistake.arguments).items())
        what = ["--model", "dllm-api", "--tasks", mistake.tasks, "--limit", "3", *mistake.more]
        arguments = ["run", *what, "--model_args", given, "--output_path", str(tmp_path / "out")]
        environment = {"PROTOCOL_KEY": KEY} | mistake.environment
        return commands.run(arguments, tmp_path / "said.txt", **environment)

    return typed


@pytest.mark.parametrize("name", MISTAKES)
def test_a_mistake_is_one_line(name: str, run: Run, server: ProtocolServer, tmp_path: Path) -> None:
    server.forget()
    code, said = run(MISTAKES[name])
    assert code == 2, said
    (line,) = complaints(said)
    assert re.search(MISTAKES[name].line, line), line
    assert "Traceback" not in said
    assert WRONG not in said
    assert KEY not in said
    assert not [request for request in server.settled() if request.status == 200]
    assert not (tmp_path / "out").exists()


def test_the_right_command_says_nothing_of_the_key(
    run: Run, server: ProtocolServer, tmp_path: Path
) -> None:
    server.forget({1: "the key around the text", 2: "the key in a 500"})
    code, said = run(Mistake(line=""))
    assert code == 0, said
    assert len(server.settled()) == 4
    written = [path for path in (tmp_path / "out").rglob("*") if path.is_file()]
    assert len(written) >= 1
    for text in (said, *(path.read_text(errors="replace") for path in written)):
        assert KEY not in text
