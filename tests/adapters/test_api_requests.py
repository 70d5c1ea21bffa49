"""What a request of lm-eval asks of a server: route, prompt, limits, stop strings, gaps, seeds."""

import json
import pickle
from collections.abc import Mapping
from copy import deepcopy
from importlib import import_module
from typing import Any

import pytest
from lm_eval.api.instance import Instance

from dllm_eval.errors import UsageError

HERE = "http://127.0.0.1:8000/v1"
requests: Any = import_module("dllm_eval.adapters.api_requests")
facts: Any = import_module("dllm_eval.adapters.api_facts")
jobs: Any = import_module("dllm_eval.adapters.jobs")
ApiArguments: Any = import_module("dllm_eval.adapters.api_arguments").ApiArguments

ONE_GAP = {"infill": {"prefix": "a = ", "suffix": "\nb", "middle": "1"}}
TWO_GAPS = {"infill": {"texts": ["a = ", "b = ", "c"], "middles": ["1\n", "2\n"]}}


def job(
    prompt: str, keywords: Mapping[str, Any], doc: Mapping[str, Any] | None = None, **given: Any
) -> Any:
    arguments = ApiArguments(**{"model": "m"} | given)
    base_url = "" if given.get("model", "m") != "m" else HERE
    service = facts.service_of("dllm-api", arguments, base_url=base_url)
    request = Instance(
        request_type="generate_until",
        doc=dict(doc or {"q": prompt}),
        arguments=(prompt, dict(keywords)),
        idx=0,
        metadata=("quiz", 0, 1),
    )
    identity = jobs.identities([request], "")[0]
    return requests.job_of(request, identity, service, arguments.more)


def chat(*turns: tuple[str, str]) -> Any:
    made: Any = requests.Conversation.of([{"role": r, "content": c} for r, c in turns])
    return made


def test_a_text_goes_to_the_completions_route_as_it_is() -> None:
    ask = job("Once", {"until": ["\n"], "max_gen_toks": 9}).ask(())
    assert (ask.route, ask.prompt, ask.suffix, ask.messages) == ("completions", "Once", None, ())
    assert (ask.max_tokens, ask.temperature, ask.stop) == (9, 0.0, ("\n",))


def test_a_conversation_keeps_its_turns() -> None:
    prompt = chat(("system", "Be brief."), ("user", "Hé?"), ("assistant", "Ho"), ("user", "So?"))
    made = job(prompt, {})
    ask = made.ask(())
    assert ask.route == "chat"
    assert [m["role"] for m in ask.messages] == ["system", "user", "assistant", "user"]
    assert ask.messages[1]["content"] == "Hé?"
    assert made.shown_end == "So?"


def test_a_conversation_survives_lm_eval_s_copies_and_caches() -> None:
    made = chat(("user", "Hé?"))
    for again in (deepcopy(made), pickle.loads(pickle.dumps(made))):
        assert type(again) is type(made)
        assert again.messages == ({"role": "user", "content": "Hé?"},)
    assert json.loads(json.dumps({"prompt": made})) == {"prompt": str(made)}


def test_a_text_is_one_message_where_there_is_only_chat() -> None:
    ask = job("Once", {}, model="mercury-2").ask(())
    assert ask.messages == ({"role": "user", "content": "Once"},)
    assert ask.temperature is None
    assert ask.seed is None


def test_mercury_s_effort_is_a_field_of_the_body() -> None:
    made = job("x", {"max_gen_toks": 5}, model="mercury-2", reasoning_effort="instant", extra="a:1")
    assert made.ask(()).more == {"reasoning_effort": "instant", "a": 1}
    assert made.ask(()).max_tokens == 5


def test_an_effort_is_never_left_out_silently() -> None:
    with pytest.raises(UsageError, match="reasoning_effort means nothing to the completions route"):
        job("x", {}, reasoning_effort="low")
    with_chat = job(chat(("user", "x")), {}, reasoning_effort="low")
    assert with_chat.ask(()).more == {"reasoning_effort": "low"}


def test_four_stop_strings_are_sent_and_all_are_kept() -> None:
    made = job("x", {"until": ["a", "b", "c", "d", "e", "f"]})
    assert made.ask(()).stop == ("a", "b", "c", "d")
    assert made.until == ("a", "b", "c", "d", "e", "f")
    assert job("x", {"until": ["a", "b"]}, most_stops=1).ask(()).stop == ("a",)
    assert job("x", {"until": ["a"] * 9}, most_stops=100).ask(()).stop == ("a",) * 9


def test_no_stop_string_is_sent_that_could_cut_a_model_s_reasoning() -> None:
    stops = {"until": ["a", "b"]}
    thinking = job("x", stops, model="mercury-2")
    assert (thinking.ask(()).stop, thinking.until) == ((), ("a", "b"))
    assert job("x", stops, model="mercury-2", reasoning_effort="instant").ask(()).stop == ("a", "b")
    assert job("x", stops, reasoning_room=100).ask(()).stop == ()
    assert job("x", stops, model="mercury-edit-2", route="edit").ask(()).stop == ()


@pytest.mark.parametrize(
    ("keywords", "given", "limit"),
    [
        ({}, {}, 256),
        ({}, {"max_gen_toks": 7}, 7),
        ({"max_gen_toks": 9}, {"max_gen_toks": 7}, 9),
        ({"max_gen_toks": 9}, {"gen_length": 4}, 4),
        ({"max_gen_toks": 3}, {"gen_length": 4}, 3),
    ],
)
def test_the_task_s_limit_counts_and_gen_length_bounds_it(
    keywords: dict[str, Any], given: dict[str, Any], limit: int
) -> None:
    assert job("x", keywords, **given).ask(()).max_tokens == limit


def test_sampling_that_was_not_asked_of_the_server_is_refused() -> None:
    sampled = {"do_sample": True, "temperature": 0.8}
    with pytest.raises(UsageError, match=r"sampling at temperature 0\.8, the model decodes at 0;"):
        job("x", sampled)
    with pytest.raises(UsageError, match=r"temperature 0.8, the model decodes at 0\.75"):
        job("x", sampled, model="mercury-2")
    with pytest.raises(UsageError, match="only the server knows the one in force: pass temp"):
        job("x", sampled, temperature="server")
    assert job("x", sampled, temperature=0.8).ask(()).temperature == 0.8
    assert job("x", sampled, model="mercury-2", temperature=0.8).ask(()).temperature == 0.8
    greedy = {"do_sample": False, "temperature": 0.0}
    assert job("x", greedy, temperature="server").ask(()).temperature is None


def test_an_unknown_keyword_is_refused() -> None:
    with pytest.raises(UsageError, match="unknown generation keyword 'top_q'"):
        job("x", {"top_q": 1})


def test_a_begun_answer_is_not_sent_without_a_word() -> None:
    prompt = chat(("user", "Say it."), ("assistant", "It is"))
    with pytest.raises(UsageError, match=r"task quiz begins the answer itself.*prefill=continue"):
        job(prompt, {})
    sent = job(prompt, {}, prefill="send").ask(())
    assert sent.messages[-1] == {"role": "assistant", "content": "It is"}
    assert sent.more == {}
    continued = job(prompt, {}, prefill="continue").ask(())
    assert continued.more == {"add_generation_prompt": False, "continue_final_message": True}
    assert job(chat(("user", "Say it.")), {}, prefill="continue").ask(()).more == {}


def test_one_gap_on_the_fim_route() -> None:
    made = job("a = ", {"until": ["\n"]}, ONE_GAP, model="mercury-edit-2")
    ask = made.ask(())
    assert (ask.route, ask.prompt, ask.suffix) == ("fim", "a = ", "\nb")
    # A gap ends where its suffix begins, and the route's own stop strings would cut it.
    assert (ask.stop, ask.more) == ((), {"stop": []})
    assert (made.infill, made.suffix) == ("fim", "\nb")
    assert ask.temperature is None


def test_one_gap_by_a_suffix_of_the_completions_route() -> None:
    ask = job("a = ", {}, ONE_GAP, infill="suffix").ask(())
    assert (ask.route, ask.prompt, ask.suffix) == ("completions", "a = ", "\nb")


def test_one_gap_by_the_text_before_it() -> None:
    made = job("Fill in: a = ", {"until": ["\n"]}, ONE_GAP)
    ask = made.ask(())
    assert (ask.route, ask.prompt, ask.suffix) == ("completions", "Fill in: a = ", None)
    assert (ask.stop, made.infill) == (("\n",), "prefix_only")
    assert made.num_gaps == 1
    by_chat = job(chat(("user", "a = ")), {}, ONE_GAP)
    assert (by_chat.ask(()).route, by_chat.infill) == ("chat", "prefix_only")
    assert (made.suffix, by_chat.suffix) == ("", "")  # neither server is given it


def test_several_gaps_are_asked_in_turn_each_behind_the_answers_so_far() -> None:
    made = job("Fill in: a = ", {"until": ["\n"]}, TWO_GAPS)
    first, second = made.ask(()), made.ask(("7",))
    assert (first.prompt, second.prompt) == ("Fill in: a = ", "Fill in: a = 7\nb = ")
    assert (made.num_gaps, made.several, first.suffix) == (2, True, None)
    assert first.seed != second.seed


def test_several_gaps_of_a_fim_server_see_everything_behind() -> None:
    made = job("a = ", {"until": ["\n"]}, TWO_GAPS, model="mercury-edit-2")
    first, second = made.ask(()), made.ask(("7\n",))
    assert (first.prompt, first.suffix) == ("a = ", "b = c")
    assert (second.prompt, second.suffix) == ("a = 7\nb = ", "c")


def test_several_gaps_are_no_conversation() -> None:
    with pytest.raises(UsageError, match="accepted: route=completions, or infill=fim"):
        job(chat(("user", "a = ")), {}, TWO_GAPS)


def test_a_server_that_only_fills_in_refuses_a_plain_question() -> None:
    with pytest.raises(UsageError, match="no chat route; it has fim, edit: it is asked to fill"):
        job("What?", {}, model="mercury-edit-2")


def test_a_task_may_write_the_tags_of_a_next_edit_itself() -> None:
    ask = job("<|code_to_edit|>", {}, model="mercury-edit-2", route="edit").ask(())
    assert (ask.route, ask.messages[0]["content"]) == ("edit", "<|code_to_edit|>")
    assert ask.temperature == 0.0


def test_seeds_differ_by_prompt_and_base_and_fit_an_integer() -> None:
    seeds = {job(p, {}, seed=s).ask(()).seed for p in ("x", "y") for s in (0, 1)}
    assert len(seeds) == 4
    assert all(0 <= seed < 2**31 for seed in seeds)
    assert job("x", {}).ask(()).seed == job("x", {}).ask(()).seed
