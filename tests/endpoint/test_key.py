"""A key shows itself to nobody: not as text, not in a pickle, not in an error."""

import copy
import pickle
from dataclasses import asdict, replace
from traceback import TracebackException

import pytest
from asking import SECRET, server

from dllm_eval.endpoint.key import Key
from dllm_eval.errors import UsageError

KEY = Key(SECRET, name="SOME_KEY")


@pytest.mark.parametrize(
    "shown",
    [repr(KEY), str(KEY), f"{KEY}", f"{KEY!r:>20}", format(KEY, ">20"), repr([KEY])],
)
def test_its_text_is_stars(shown: str) -> None:
    assert SECRET not in shown
    assert "Key(***)" in shown


def test_a_server_that_holds_it_does_not_show_it() -> None:
    held = server("http://127.0.0.1:1/v1")
    assert SECRET not in repr(held) + str(asdict(held)) + repr(replace(held, model="other"))
    assert not hasattr(KEY, "__dict__")


def test_the_header_alone_has_it() -> None:
    assert KEY.header() == f"Bearer {SECRET}"


def test_it_is_hidden_in_what_servers_say() -> None:
    assert KEY.hide(f"wrong key {SECRET}, {SECRET}!") == "wrong key ***, ***!"


@pytest.mark.parametrize("length", range(4, len(SECRET)))
def test_nor_is_its_beginning_shown_where_a_line_was_cut_within_it(length: int) -> None:
    assert KEY.hide(f"wrong key {SECRET[:length]}...): change it") == "wrong key ***...): change it"


def test_a_placeholder_for_a_key_leaves_answers_as_they_are() -> None:
    placeholder = Key("EMPTY", name="SOME_KEY")
    assert placeholder.hide_in_answer("if x is EMPTY:") == "if x is EMPTY:"
    assert placeholder.hide("no such key: EMPTY") == "no such key: ***"
    assert KEY.hide_in_answer(f"<{SECRET}>") == "<***>"


def test_it_is_not_pickled() -> None:
    with pytest.raises(UsageError, match="a key is never written down or sent: read SOME_KEY"):
        pickle.dumps(KEY)
    with pytest.raises(UsageError, match="SOME_KEY"):
        pickle.dumps({"server": server("http://127.0.0.1:1/v1")})


def test_copies_are_itself() -> None:
    assert copy.copy(KEY) is KEY
    assert copy.deepcopy({"key": KEY})["key"] is KEY


@pytest.mark.parametrize(
    ("environ", "name"),
    [
        ({"FIRST": SECRET, "SECOND": "other"}, "FIRST"),
        ({"SECOND": f"  {SECRET}\n"}, "SECOND"),
        ({"FIRST": "   ", "SECOND": SECRET}, "SECOND"),
    ],
)
def test_the_first_variable_that_is_set_holds_it(environ: dict[str, str], name: str) -> None:
    found = Key.from_environment(["FIRST", "SECOND"], environ)
    assert found is not None
    assert (found.name, found.header()) == (name, f"Bearer {SECRET}")


def test_no_variable_no_key() -> None:
    assert Key.from_environment(["FIRST"], {"OTHER": SECRET, "FIRST": ""}) is None


@pytest.mark.parametrize("text", ["two words", "line\nbreak", "schlüssel", "nul\0", "\x7f"])
def test_what_cannot_stand_in_a_header_is_refused_unshown(text: str) -> None:
    with pytest.raises(UsageError) as caught:
        Key.from_environment(["FIRST"], {"FIRST": text})
    assert str(caught.value) == (
        "FIRST does not hold a key: accepted is one word of printable ASCII characters"
    )


def test_tracebacks_that_print_local_variables_print_stars() -> None:
    def fails(key: Key, held: object) -> None:
        raise RuntimeError(f"{key} {held}")

    with pytest.raises(RuntimeError) as caught:
        fails(KEY, server("http://127.0.0.1:1/v1"))
    frames = TracebackException.from_exception(caught.value, capture_locals=True).stack[-1:]
    shown = str(caught.value) + "".join(str(frame.locals) for frame in frames)
    assert SECRET not in shown
    assert shown.count("***") == 4
