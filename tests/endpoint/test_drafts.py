"""Drafts replace each other; what is scored is the last one, and never a guess."""

import random

import pytest
from asking import DONE, Got, Handler, Loopback, collect, delta, draft, prompt, server

from dllm_eval.endpoint.answer import Parts
from dllm_eval.endpoint.faults import FinalError, PassingError
from dllm_eval.endpoint.reading import Reading
from dllm_eval.endpoint.server import ServerError

CLOSING = delta(None, "stop")


def read(*events: bytes, asked: bool = True) -> Parts:
    """The parts of a stream whose events come a second apart, the first at second 0."""
    reading = Reading(drafts_asked=asked)
    for at_s, data in enumerate(events):
        reading.feed(data, float(at_s))
    return reading.end(float(len(events)), content_type="text/event-stream")


@pytest.mark.parametrize("asked", [True, False])
def test_the_last_draft_is_the_answer(asked: bool) -> None:
    found = read(
        draft("d!f f?x", 0.0),
        draft("def f(x", 0.0),
        draft("def f(x): ...", 1.0, "stop"),
        CLOSING,
        DONE,
        asked=asked,
    )
    assert (found.text, found.finish_reason) == ("def f(x): ...", "stop")


@pytest.mark.parametrize("seed", range(20))
def test_whatever_the_drafts_the_text_is_the_last(seed: int) -> None:
    """Longer, shorter, the same again: of a list of states, the last stands since its own run."""
    draw = random.Random(seed)
    states = [draw.choice(["a", "ab", "abc", "x yz", "a"]) for _ in range(draw.randint(1, 8))]
    events = [draft(state, float(state is states[-1])) for state in states[:-1]]
    events += [draft(states[-1], 1.0, "stop"), CLOSING, DONE]
    found = read(*events)
    since = len(states) - 1
    while since and states[since - 1] == states[-1]:
        since -= 1
    assert (found.text, found.first_text_at_s) == (states[-1], since)


def test_drafts_that_shrink() -> None:
    found = read(draft("one two three", 0), draft("one two", 0), draft("one", 1), CLOSING, DONE)
    assert (found.text, found.first_text_at_s) == ("one", 2.0)


def test_a_draft_that_came_twice_is_one() -> None:
    found = read(draft("a b", 0), draft("a b", 0), draft("a c", 1), draft("a c", 1), CLOSING)
    assert (found.text, found.first_text_at_s) == ("a c", 2.0)


def test_a_draft_without_visible_text_is_no_first_text() -> None:
    found = read(draft("abc", 0), draft("  \n", 1, "stop"), DONE)
    assert (found.text, found.first_text_at_s) == ("  \n", None)


def test_no_text_behind_the_last_draft_takes_nothing_back() -> None:
    assert read(draft("", 0), draft("a", 1), draft("", 1), CLOSING, DONE).text == "a"


def test_drafts_that_shrink_to_nothing() -> None:
    found = read(draft("one two", 0), draft("one", 0), draft("", 1, "stop"), CLOSING, DONE)
    assert (found.text, found.first_text_at_s) == ("", None)


def test_without_a_word_on_progress_the_last_is_final() -> None:
    assert read(draft("a", None), draft("b", None), CLOSING, DONE).text == "b"


def test_a_finish_reason_on_a_draft_makes_it_final() -> None:
    found = read(draft("a", 0.5), draft("ab", 0.75, "length"), CLOSING.replace(b"stop", b"length"))
    assert (found.text, found.finish_reason) == ("ab", "length")


def test_a_stream_that_ends_with_a_draft_is_no_answer() -> None:
    with pytest.raises(PassingError, match="the stream ended before its last draft was final"):
        read(draft("a", 0.25), draft("ab", 0.5), CLOSING, DONE)


@pytest.mark.parametrize(
    "events",
    [
        (draft("a", 0), delta("b"), CLOSING, DONE),
        (delta("b"), draft("a", 1), CLOSING, DONE),
    ],
)
def test_drafts_beside_other_text_are_refused(events: tuple[bytes, ...]) -> None:
    with pytest.raises(FinalError, match="marked as a draft beside text that is not"):
        read(*events, asked=False)


def test_drafts_that_nothing_marks_are_refused() -> None:
    with pytest.raises(FinalError, match="which text is final cannot be told"):
        read(delta("a"), delta("ab"), CLOSING, DONE)


def test_a_single_unmarked_text_is_the_same_either_way() -> None:
    assert read(delta(None), delta("whole"), CLOSING, DONE).text == "whole"


def test_ordinary_pieces_are_joined_where_no_drafts_were_asked() -> None:
    assert read(delta("a"), delta("b"), delta("b"), CLOSING, DONE, asked=False).text == "abb"


def test_they_are_asked_for_and_come_over_the_wire() -> None:
    def answer(handler: Handler, _: Got) -> None:
        handler.stream(draft("x?", 0), draft("xyz", 1, "stop"), CLOSING, DONE)

    with Loopback(answer) as loopback:
        (found,) = collect(server(loopback.base_url, drafts=True), [prompt()])
        assert loopback.got[0].body["diffusing"] is True
    assert (found.text, found.flag) == ("xyz", None)
    assert found.first_text_s is not None
    assert found.first_text_s <= found.seconds


def test_unmarked_drafts_end_in_one_line() -> None:
    def answer(handler: Handler, _: Got) -> None:
        handler.stream(delta("x?"), delta("xyz"), CLOSING, DONE)

    with Loopback(answer) as loopback, pytest.raises(ServerError) as caught:
        collect(server(loopback.base_url, drafts=True), [prompt()])
    assert str(caught.value) == (
        f"127.0.0.1:{loopback.server_port}: the stream has drafts that nothing marks as such "
        "(no diffusion_meta): which text is final cannot be told; ask with drafts=false"
    )
    assert len(loopback.got) == 1
