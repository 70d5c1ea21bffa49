"""A server's replies as a record: what it says is kept, and what it does not say stays unsaid."""

from importlib import import_module
from typing import Any

import pytest

from dllm_eval.endpoint.ask import Reply

records: Any = import_module("dllm_eval.adapters.api_records")
requests: Any = import_module("dllm_eval.adapters.api_requests")
jobs: Any = import_module("dllm_eval.adapters.jobs")
tokens: Any = import_module("dllm_eval.adapters.tokens")


def job(until: tuple[str, ...] = (), texts: tuple[str, ...] = ("prompt",), **more: Any) -> Any:
    identity = jobs.Identity(key="k", task="quiz", doc_id=3, index=0, repeat=0)
    plain = {"route": "completions", "max_tokens": 8, "temperature": 0.0, "seed": 5}
    plain |= {"stop": until}
    plain |= {"sent_seed": 5, "more": {}}
    return requests.ApiJob(identity=identity, until=until, texts=texts, **plain | more)


def reply(text: str, **more: Any) -> Reply:
    plain: dict[str, Any] = {"finish_reason": "stop", "seconds": 2.0, "offered_s": 0.0}
    return Reply(text=text, **plain | more)


def of(made: Any, *replies: Reply, count: Any = None, **more: Any) -> Any:
    asked = records.Asked(model="diffusion", in_flight=4, count_tokens=count)
    runs = more.pop("runs", [list(replies)])
    return records.record_of(made, runs, asked, **more)


def test_what_a_server_reports_is_in_the_record() -> None:
    found = of(
        job(),
        reply(
            "yes",
            whole_s=9.0,
            prompt_tokens=11,
            completion_tokens=7,
            reasoning_tokens=4,
            first_text_s=1.5,
            tries=3,
        ),
    )
    assert (found.prompt_tokens, found.visible_tokens, found.reasoning_tokens) == (11, 3, 4)
    assert found.canvas_tokens == 3
    assert (found.seconds, found.repeat_seconds, found.first_text_s) == (2.0, [2.0], 1.5)
    assert (found.tries, found.batch_size, found.model, found.doc_id) == (3, 4, "diffusion", 3)
    assert (found.response, found.prompt_end, found.seed) == ("yes", "prompt", 5)


def test_what_a_server_does_not_report_is_none() -> None:
    found = of(job(), reply("yes", whole_s=2.0))
    for name in ("prompt_tokens", "visible_tokens", "canvas_tokens", "nfe", "positions", "cache"):
        assert getattr(found, name) is None
    assert (found.tokens, found.pieces, found.reveal_step) == ([], [], [])
    assert (found.reasoning_tokens, found.first_text_s, found.offered_s) == (None, None, None)


@pytest.mark.parametrize("until", [(), ("\n",), ("b", "\nd"), ("", "c"), ("zz",), ("de", "d")])
def test_an_answer_is_cut_as_a_local_one_is(until: tuple[str, ...]) -> None:
    text = "ab\ncd\nde"

    class Letters:
        eos_token_id, bos_token_id = 0, None

        @staticmethod
        def decode(ids: list[int], **_: object) -> str:
            return "".join(map(chr, ids))

    local, _ = tokens.Codec(Letters()).cut([ord(letter) for letter in text], until)
    assert records.cut(text, until) == local


def test_an_answer_that_is_cut_here_has_no_count_of_the_server_s() -> None:
    long = reply("one two\nthree", whole_s=2.0, completion_tokens=4)
    assert of(job(("\n",)), long).visible_tokens is None
    assert of(job(("\n",)), long).canvas_tokens == 4  # what was written, and is paid for
    assert of(job(("\n",)), long).response == "one two"
    assert of(job(("\n",)), long, count=lambda text: len(text.split())).visible_tokens == 2
    assert of(job(("\n",)), reply("\nx", whole_s=2.0, completion_tokens=4)).visible_tokens == 0


def test_a_tokenizer_counts_before_a_server_which_may_count_the_end_of_the_text() -> None:
    ended = reply("two words", whole_s=2.0, completion_tokens=3)
    found = of(job(), ended, count=lambda text: len(text.split()))
    assert (found.visible_tokens, found.canvas_tokens) == (2, 3)
    assert of(job(), ended).visible_tokens == 3


def test_a_tokenizer_counts_where_the_server_does_not() -> None:
    silent = reply("one two", whole_s=2.0)
    assert of(job(), silent, count=lambda text: len(text.split())).visible_tokens == 2


@pytest.mark.parametrize(
    ("finish", "until", "text", "reason"),
    [
        ("stop", (), "x", "eos"),
        ("stop", ("\n",), "x", "stop"),
        ("stop", ("\n",), "x\ny", "stop_string"),
        ("length", ("\n",), "x", "length"),
        ("length", ("\n",), "x\ny", "stop_string"),
        ("content_filter", (), "", "content_filter"),
    ],
)
def test_why_an_answer_ended(finish: str, until: tuple[str, ...], text: str, reason: str) -> None:
    found = of(job(until), reply(text, whole_s=2.0, finish_reason=finish))
    assert found.stop_reason == reason


def test_an_end_without_stop_strings_sent_is_an_end_of_text() -> None:
    assert of(job(("\n",), stop=()), reply("x", whole_s=2.0)).stop_reason == "eos"


@pytest.mark.parametrize(
    ("given", "flag"),
    [
        ({"finish_reason": "length", "reasoning_tokens": 8}, "reasoning_limit"),
        ({"finish_reason": "length", "reasoning_tokens": 0}, None),
        ({"finish_reason": "length"}, None),
        ({"finish_reason": "stop", "reasoning_tokens": 8}, None),
        ({"finish_reason": "stop", "flag": "refusal"}, "refusal"),
    ],
)
def test_an_empty_answer_s_flag(given: dict[str, Any], flag: str | None) -> None:
    found = of(job(), reply("", whole_s=2.0, completion_tokens=8, **given))
    assert (found.flag, found.response) == (flag, "")
    assert of(job(), reply("x", whole_s=2.0, **{**given, "flag": None})).flag is None


def test_repetitions_are_all_timed_and_the_last_answers() -> None:
    runs = [[reply(text, whole_s=0.0, seconds=s)] for text, s in [("a", 3.0), ("b", 1.0), ("c", 2)]]
    found = of(job(), runs=runs)
    assert (found.repeat_seconds, found.seconds, found.response) == ([3.0, 1.0, 2.0], 2.0, "c")


def test_several_gaps_are_one_record() -> None:
    made = job(("\n",), texts=("a", "b", "c"), ends=("\n", ""), infill="prefix_only", suffix="c")
    first = reply("1\n!", whole_s=2.0, completion_tokens=3, prompt_tokens=4, tries=2)
    second = reply("2", whole_s=2.0, completion_tokens=1, prompt_tokens=9, tries=3)
    found = of(made, first, second, count=len)
    assert found.response == '["1", "2"]'
    assert (found.seconds, found.prompt_tokens, found.visible_tokens) == (4.0, 13, 2)
    assert (found.tries, found.infill, found.suffix_start) == (4, "prefix_only", "")


def test_under_load_seconds_count_from_the_offer() -> None:
    found = of(job(), reply("x", whole_s=5.0), offered_s=1.25, in_flight=7)
    assert (found.offered_s, found.seconds, found.repeat_seconds) == (1.25, 5.0, [5.0])
    assert found.batch_size == 7


def test_a_run_that_was_taken_up_again_names_every_model_that_answered(
    caplog: pytest.LogCaptureFixture,
) -> None:
    notices = import_module("dllm_eval.adapters.api_notices").Notices()
    made = [of(job(), reply("x", whole_s=1.0, served_model=name)) for name in ("b", "a", "b", "")]
    notices.summed([made[0], made[2], made[3]])
    assert not caplog.messages
    notices.summed(made)
    assert notices.served_models == {"a", "b"}
    assert caplog.messages == ["these answers are of 2 models: a, b"]
