"""`dllm-api` through lm-eval's own evaluator, against a server that speaks HTTP."""

import json
import logging
from collections.abc import Iterator, Mapping
from importlib import import_module
from pathlib import Path
from typing import Any

import pytest
from protocol_server import KEY, ProtocolServer
from transformers import PreTrainedTokenizerFast

from dllm_eval.endpoint.ask import Reply
from dllm_eval.errors import UsageError
from dllm_eval.load import Load
from dllm_eval.loading import resolve_checkpoint
from dllm_eval.registry import LM_EVAL_MODELS, resolve

MODEL = "protocol-model"


@pytest.fixture(autouse=True)
def _key(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MINE", KEY)


def prompt_of(body: Mapping[str, Any]) -> str:
    messages = body.get("messages")
    return str(messages[-1]["content"] if messages else body["prompt"])


def echo(body: Mapping[str, Any]) -> str:
    return f"[{prompt_of(body)[:12]}]\nand more"


@pytest.fixture
def server() -> Iterator[ProtocolServer]:
    with ProtocolServer(echo) as running:
        yield running


@pytest.fixture
def ask() -> Iterator[Any]:
    """`ask(server, **arguments)`: a model that asks it; its log is closed in the end."""
    made: list[Any] = []

    def make(server: ProtocolServer, **given: Any) -> Any:
        plain = {"base_url": server.base_url, "model": MODEL, "key_env": "MINE"}
        named = {k: str(v) if isinstance(v, Path) else v for k, v in given.items()}
        made.append(resolve("model", LM_EVAL_MODELS, "dllm-api").create_from_arg_obj(plain | named))
        return made[-1]

    yield make
    for model in made:
        getattr(model.log, "close", lambda: None)()


@pytest.fixture
def task(tasks: Any) -> Any:
    return tasks("generate_until", generation_kwargs={"until": ["\n"], "max_gen_toks": 16})


@pytest.mark.parametrize("stream", [True, False])
@pytest.mark.parametrize("chat", [True, False])
def test_answers_are_the_same_by_every_road(
    server: ProtocolServer, ask: Any, task: Any, evaluate: Any, stream: bool, chat: bool
) -> None:
    model = ask(server, batch_size=3, stream=stream)
    samples = evaluate(model, task, apply_chat_template=chat)
    answers = [sample["resps"][0][0] for sample in samples]
    assert answers == [f"[{s['doc']['q'][:12]}]".split("\n")[0] for s in samples]
    assert [received.route for received in server.requests] == [
        "chat" if chat else "completions"
    ] * 5
    assert server.most_in_flight <= 3
    record = next(iter(model.log.records.values()))
    assert (record.first_text_s is not None) == stream
    assert record.nfe is None


def test_shots_stay_turns_of_the_conversation(
    server: ProtocolServer, ask: Any, tasks: Any, evaluate: Any
) -> None:
    shots = tasks(
        "generate_until",
        generation_kwargs={"until": ["\n"]},
        fewshot_split="test",
        num_fewshot=1,
        description="Be brief.",
    )
    evaluate(ask(server), shots, apply_chat_template=True, fewshot_as_multiturn=True)
    roles = [m["role"] for m in server.requests[0].body["messages"]]
    assert roles == ["system", "user", "assistant", "user"]


def test_likelihoods_are_refused_before_anything_is_sent(
    server: ProtocolServer, ask: Any, tasks: Any, evaluate: Any
) -> None:
    for kind in ("loglikelihood", "loglikelihood_rolling"):
        with pytest.raises(UsageError, match=f"answers no likelihood.*tiny_{kind} makes") as caught:
            evaluate(ask(server), tasks(kind))
        assert "\n" not in str(caught.value)
    assert server.requests == []


def test_a_run_is_taken_up_where_it_ended(
    server: ProtocolServer, ask: Any, task: Any, evaluate: Any, tmp_path: Path
) -> None:
    whole = evaluate(ask(server, records=tmp_path / "whole.jsonl"), task)
    lines = (tmp_path / "whole.jsonl").read_text().splitlines(keepends=True)
    (tmp_path / "cut.jsonl").write_text("".join(lines[:2]))
    server.forget()
    resumed = evaluate(ask(server, records=tmp_path / "cut.jsonl", batch_size=2), task)
    assert [s["resps"] for s in resumed] == [s["resps"] for s in whole]
    known = {json.loads(line)["prompt_end"] for line in lines[:2]}
    sent = {prompt_of(received.body) for received in server.requests}
    assert len(server.requests) == 3
    assert sent.isdisjoint(known)


def test_a_finished_run_needs_neither_server_nor_key(
    server: ProtocolServer,
    ask: Any,
    task: Any,
    evaluate: Any,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    first = evaluate(ask(server, records=tmp_path / "log.jsonl"), task)
    server.forget()
    monkeypatch.delenv("MINE")
    again = evaluate(ask(server, records=tmp_path / "log.jsonl", tries=1), task)
    assert [s["resps"] for s in again] == [s["resps"] for s in first]
    assert server.requests == []


def test_a_log_of_other_settings_is_not_taken_for_answers(
    server: ProtocolServer, ask: Any, task: Any, evaluate: Any, tmp_path: Path
) -> None:
    log = tmp_path / "log.jsonl"
    evaluate(ask(server, records=log), task)
    for given in ({"temperature": 0.5}, {"extra": "top_p:0.5"}, {"route": "chat"}):
        server.forget()
        evaluate(ask(server, records=log, **given), task)
        assert len(server.requests) == 5
    server.forget()
    evaluate(ask(server, records=log, idle_s=9, tries=2, batch_size=4, stream=False), task)
    assert server.requests == []


def test_repeats_are_requests_of_their_own_with_seeds_of_their_own(
    server: ProtocolServer, ask: Any, tasks: Any, evaluate: Any
) -> None:
    sampled = {"until": ["\n"], "do_sample": True, "temperature": 0.8}
    drawn = tasks("generate_until", generation_kwargs=sampled, repeats=3)
    model = ask(server, temperature=0.8, batch_size=4)
    evaluate(model, drawn)
    assert len(server.requests) == 15 == len({r.body["seed"] for r in server.requests})
    assert len(model.log.records) == 15
    assert {r.body["temperature"] for r in server.requests} == {0.8}


def test_more_stop_strings_than_a_server_takes(ask: Any, tasks: Any, evaluate: Any) -> None:
    stops = ["S1", "S2", "S3", "S4", "S5", "S6"]
    with ProtocolServer(lambda _: "before S6 behind") as server:
        many = tasks("generate_until", generation_kwargs={"until": stops, "max_gen_toks": 16})
        samples = evaluate(ask(server), many)
        assert {r.body["stop"][-1] for r in server.requests} == {"S4"}
    assert {sample["resps"][0][0] for sample in samples} == {"before "}


def test_gaps_are_filled_in_turn_over_http(ask: Any, tasks: Any, evaluate: Any) -> None:
    gaps = {"texts": ["a = ", "b = ", "c"], "middles": ["1\n", "2\n"]}
    docs = [{"q": "a = ", "a": "", "infill": gaps}]
    with ProtocolServer(lambda body: f"{len(body['prompt'])}\nrest") as server:
        filled = tasks("generate_until", docs, generation_kwargs={"until": ["\n"]})
        samples = evaluate(ask(server), filled)
        assert [r.body["prompt"] for r in server.requests] == ["a = ", "a = 4\nb = "]
    assert samples[0]["resps"][0][0] == '["4", "10"]'


def test_who_answered_is_kept(server: ProtocolServer, ask: Any, task: Any, evaluate: Any) -> None:
    model = ask(server)
    before = model.provenance()
    assert (before["served_model"], before["fingerprint"]) == (None, None)
    evaluate(model, task)
    told = model.provenance()
    assert (told["served_model"], told["fingerprint"]) == (MODEL, "fp_protocol")
    assert told["placement"]["kind"] == "api"
    assert told["machine"]["name"] == f"server 127.0.0.1:{server.port}"
    assert (told["prices"], told["weights"]) == (None, None)


@pytest.mark.parametrize(
    ("served", "said"),
    [(MODEL, 0), (f"{MODEL}@main", 0), (f"{MODEL}-20260304", 1), ("", 0)],
)
def test_another_model_than_the_one_asked_is_said_once(
    caplog: pytest.LogCaptureFixture, served: str, said: int
) -> None:
    notices = import_module("dllm_eval.adapters.api_notices").Notices()
    reply = Reply(
        text="", finish_reason="stop", seconds=1.0, offered_s=0.0, whole_s=1.0, served_model=served
    )
    with caplog.at_level(logging.WARNING):
        for _ in range(3):
            notices.seen(reply, asked=MODEL)
    assert caplog.text.count(f"model {MODEL} was asked, and {served} answered") == said


@pytest.mark.parametrize("in_flight", [1, 2])
def test_a_latency_cell_warms_up_and_repeats(
    server: ProtocolServer, ask: Any, task: Any, evaluate: Any, in_flight: int
) -> None:
    model = ask(server, warmup=2, timing_repeats=3, batch_size=in_flight)
    evaluate(model, task)
    assert len(server.requests) == 2 * in_flight + 5 * 3
    assert server.most_in_flight <= in_flight
    assert all(len(r.repeat_seconds) == 3 for r in model.log.records.values())
    assert all(r.batch_size == in_flight for r in model.log.records.values())


def test_a_share_asks_its_own_requests_only(
    server: ProtocolServer, ask: Any, task: Any, evaluate: Any
) -> None:
    model = ask(server)
    model.share = (1, 2)
    samples = evaluate(model, task)
    assert len(server.requests) == 2
    assert sum(sample["resps"][0][0] == "" for sample in samples) == 3


def test_a_load_is_offered_once_and_the_rest_is_left_out(
    server: ProtocolServer, ask: Any, task: Any, evaluate: Any
) -> None:
    model = ask(server)
    model.load = Load(arrivals_per_s=100.0, seconds=5.0, requests=3, warmup=2)
    samples = evaluate(model, task)
    assert (len(server.requests), len(model.log.records)) == (2 + 3, 3)
    assert sum(sample["resps"][0][0] == "" for sample in samples) == 2
    offers = sorted(r.offered_s for r in model.log.records.values())
    assert offers == pytest.approx(model.load.arrivals_s(), abs=0.05)
    assert all(r.seconds >= 0 for r in model.log.records.values())


def test_a_warm_up_is_no_larger_than_what_is_asked(
    server: ProtocolServer, ask: Any, task: Any, evaluate: Any
) -> None:
    model = ask(server)
    model.load = Load(in_flight=100, seconds=5.0, requests=100, warmup=1)
    samples = evaluate(model, task)
    assert (len(server.requests), len(model.log.records)) == (2 * len(samples), len(samples))
    server.forget()
    evaluate(ask(server, warmup=1, batch_size=100), task)
    assert len(server.requests) == 2 * len(samples)


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"key_env": "NOWHERE"}, "wants a key, and NOWHERE is not set: export NOWHERE="),
        ({"key_env": "WRONG"}, "127.0.0.1:.*401"),
        ({"model": "protocol-modal"}, r"unknown model at .*did you mean 'protocol-model'\?"),
    ],
)
def test_what_no_request_would_mend_is_one_line_before_the_first(
    server: ProtocolServer,
    ask: Any,
    task: Any,
    evaluate: Any,
    given: dict[str, Any],
    message: str,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("WRONG", "sk-wrong-hidden")
    with pytest.raises(UsageError, match=message) as caught:
        evaluate(ask(server, **given), task)
    assert "\n" not in str(caught.value)
    assert "hidden" not in str(caught.value)
    assert server.requests == []


def test_a_tokenizer_counts_where_the_answer_was_cut_here(
    ask: Any, tasks: Any, evaluate: Any
) -> None:
    stops = ["S1", "S2", "S3", "S4", "S5"]
    many = tasks("generate_until", generation_kwargs={"until": stops, "max_gen_toks": 16})
    with ProtocolServer(lambda _: "return S5") as server:
        folder = resolve_checkpoint("reference-ar")
        model = ask(server, tokenizer=folder)
        evaluate(model, many)
        bare = ask(server)
        evaluate(bare, many)
    ids = PreTrainedTokenizerFast.from_pretrained(folder).encode("return ")
    assert len(ids) > 1
    assert {r.visible_tokens for r in model.log.records.values()} == {len(ids)}
    assert {r.visible_tokens for r in bare.log.records.values()} == {None}
    assert model.provenance()["token_counts"] == f"tokenizer {folder.name}"
