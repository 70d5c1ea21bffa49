"""Every misbehaviour of a real server ends in the right reply or in one line, and never in a key.

All cases of the table run at the same time against one server, which misbehaves as the prompt says.
"""

import logging
import re
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

import pytest
from misbehaviour_cases import ANSWERED, CASES, FAILED, AsTheTextSays, Case
from misbehaviour_table import ANSWER, EXPECTED
from misbehaviours import MISBEHAVIOURS
from protocol_server import KEY, ProtocolServer

from dllm_eval.endpoint.ask import Ask, Reply
from dllm_eval.endpoint.client import answer_all
from dllm_eval.endpoint.key import Key
from dllm_eval.endpoint.server import Retries, Server, ServerError, Timeouts

PATIENT = Timeouts(connect_s=30.0, first_byte_s=60.0, idle_s=60.0, whole_s=90.0)
TIGHT = Timeouts(connect_s=1.5, first_byte_s=1.5, idle_s=1.5, whole_s=3.0)
RETRIES = Retries(most_tries=2, first_wait_s=0.01, most_wait_s=2.0)


@dataclass(frozen=True)
class Outcome:
    """What came of a case."""

    reply: Reply | None
    error: ServerError | None
    sent: int

    @property
    def line(self) -> str:
        return "" if self.error is None else str(self.error)


def _ask(case: Case) -> Ask:
    if case.route == "chat":
        messages = ({"role": "user", "content": case.prompt},)
        return Ask(route="chat", messages=messages, max_tokens=20)
    return Ask(route="completions", prompt=case.prompt, max_tokens=20)


def _outcome(case: Case, base_url: str, plan: AsTheTextSays) -> Outcome:
    server = Server(
        base_url=base_url,
        model="protocol-model",
        key=Key(KEY, name="PROTOCOL_KEY"),
        timeouts=TIGHT if case.is_stall else PATIENT,
        retries=RETRIES,
        stream=case.way == "streamed",
        drafts=case.expected.drafts,
    )
    replies: list[Reply] = []
    failed = None
    try:
        answer_all(server, [_ask(case)], lambda _, reply: replies.append(reply), in_flight=1)
    except ServerError as error:
        failed = error
    return Outcome(replies[0] if replies else None, failed, plan.seen[case.prompt])


class Logged(logging.Handler):
    """Every line of every logger, debugging lines included."""

    def __init__(self) -> None:
        super().__init__(logging.DEBUG)
        self.lines: list[str] = []

    def emit(self, record: logging.LogRecord) -> None:
        self.lines.append(self.format(record))


@dataclass(frozen=True)
class All:
    """Everything that came of everything."""

    outcomes: dict[str, Outcome]
    elsewhere: int
    """Requests that arrived at the server that a redirect names."""
    logged: list[str]


@pytest.fixture(scope="module")
def everything() -> All:
    plan, handler, root = AsTheTextSays(), Logged(), logging.getLogger()
    level = root.level
    root.addHandler(handler)
    root.setLevel(logging.DEBUG)
    try:
        with (
            ProtocolServer(key=None) as trap,
            ProtocolServer(
                lambda _: ANSWER,
                misbehave=plan,
                flavour="vllm",
                elsewhere=trap.base_url.replace("127.0.0.1", "127.0.0.2"),
            ) as server,
            ThreadPoolExecutor(32) as pool,
        ):
            found = pool.map(lambda case: _outcome(case, server.base_url, plan), CASES.values())
            outcomes = dict(zip(CASES, found, strict=True))
            return All(outcomes, len(trap.requests), handler.lines)
    finally:
        root.removeHandler(handler)
        root.setLevel(level)


def test_the_table_has_every_misbehaviour() -> None:
    assert set(EXPECTED) == set(MISBEHAVIOURS)


@pytest.mark.parametrize("prompt", ANSWERED)
def test_an_answer_is_the_servers_own_whatever_went_before(prompt: str, everything: All) -> None:
    case, outcome = CASES[prompt], everything.outcomes[prompt]
    expected, reply = case.expected, outcome.reply
    assert reply is not None, outcome.line
    assert outcome.sent == reply.tries == (1 if expected.end == "borne" else 2)
    assert (reply.text, reply.flag) == (expected.text, expected.flag)
    assert reply.finish_reason == expected.finish_reason
    counts = (len(prompt.split()), len(ANSWER.split())) if expected.counted else (None, None)
    assert (reply.prompt_tokens, reply.completion_tokens) == counts
    assert reply.reasoning_tokens is None
    assert 0 < reply.seconds <= reply.whole_s
    assert reply.whole_s - reply.seconds >= expected.wait_s
    first = reply.first_text_s
    assert (first is not None) == (case.way == "streamed" and bool(reply.text))
    assert first is None or 0 < first <= reply.seconds


@pytest.mark.parametrize("prompt", FAILED)
def test_what_cannot_be_answered_is_one_line(prompt: str, everything: All) -> None:
    case, outcome = CASES[prompt], everything.outcomes[prompt]
    expected = case.expected
    assert outcome.reply is None
    assert outcome.error is not None
    assert outcome.error.__cause__ is outcome.error.__context__ is None
    assert outcome.sent == (1 if expected.end == "refused" else RETRIES.most_tries)
    assert re.search(expected.line, outcome.line), outcome.line
    assert outcome.line.startswith("127.0.0.1:")
    assert "\n" not in outcome.line
    assert len(outcome.line) < 500


def test_no_redirect_is_followed(everything: All) -> None:
    assert everything.elsewhere == 0


def test_the_key_is_nowhere(everything: All) -> None:
    found = [*everything.logged, *map(repr, everything.outcomes.values())]
    assert len(found) > len(CASES)
    assert not [text for text in found if KEY in text]
