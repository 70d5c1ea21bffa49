"""`dllm-api` against a server that plays Mercury: its routes, its limits, its ways."""

import logging
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import pytest
from protocol_answer import Answer
from protocol_server import KEY, ProtocolServer

from dllm_eval.registry import LM_EVAL_MODELS, resolve


def echo(body: Mapping[str, Any]) -> str:
    return str(body["messages"][-1]["content"])[:12]


@pytest.fixture
def task(tasks: Any) -> Any:
    return tasks("generate_until", generation_kwargs={"until": ["\n"], "max_gen_toks": 16})


@pytest.fixture
def mercury(monkeypatch: pytest.MonkeyPatch) -> Any:
    """`mercury(server, model=..., ...)`: a card's model, whose server is played by `server`."""
    monkeypatch.setenv("INCEPTION_API_KEY", KEY)

    def make(server: ProtocolServer, **given: Any) -> Any:
        made = resolve("model", LM_EVAL_MODELS, "dllm-api")(**given)
        real = made._server(made.arguments)
        assert real.base_url == "https://api.inceptionlabs.ai/v1"
        made.__dict__["server"] = replace(real, base_url=server.base_url)
        return made

    return make


def test_a_gap_on_mercury_s_fim_route(mercury: Any, tasks: Any, evaluate: Any) -> None:
    docs = [{"q": "a = ", "a": "", "infill": {"prefix": "a = ", "suffix": "\nb", "middle": "1"}}]
    task = tasks("generate_until", docs, generation_kwargs={"until": ["\n"], "max_gen_toks": 9})
    with ProtocolServer(lambda _: "1\n\n\n2", models=["mercury-edit-2"], flavour="mercury") as s:
        model = mercury(s, model="mercury-edit-2")
        samples = evaluate(model, task)
        (sent,) = s.requests
    assert sent.route == "fim"
    assert {k: sent.body[k] for k in ("prompt", "suffix", "stop", "max_tokens")} == {
        "prompt": "a = ",
        "suffix": "\nb",
        "stop": [],
        "max_tokens": 9,
    }
    assert not {"temperature", "seed", "messages"} & set(sent.body)
    assert samples[0]["resps"][0][0] == "1\n\n\n2"
    (record,) = model.log.records.values()
    assert (record.infill, record.suffix_start, record.model) == ("fim", "\nb", "diffusion")


def test_a_next_edit_is_one_message_and_no_stream(mercury: Any, tasks: Any, evaluate: Any) -> None:
    task = tasks("generate_until", [{"q": "<|code_to_edit|>", "a": ""}])
    with ProtocolServer(echo, models=["mercury-edit-2"], flavour="mercury") as server:
        evaluate(mercury(server, model="mercury-edit-2", route="edit"), task)
        (sent,) = server.requests
    assert sent.route == "edit"
    assert sent.body["messages"] == [{"role": "user", "content": "<|code_to_edit|>"}]
    assert not {"stream", "stop", "seed"} & set(sent.body)


@pytest.mark.parametrize("drafts", [True, False])
def test_drafts_are_asked_for_and_never_scored(
    mercury: Any, task: Any, evaluate: Any, drafts: bool
) -> None:
    draft = Answer(text="the answer", drafts=("th", "a longer draft than that", "the an"))
    with ProtocolServer(lambda _: draft, models=["mercury-2"], flavour="mercury") as server:
        model = mercury(server, model="mercury-2", reasoning_effort="low", drafts=drafts)
        samples = evaluate(model, task, apply_chat_template=True)
        assert all(r.body.get("diffusing", False) == drafts for r in server.requests)
        assert {r.body["reasoning_effort"] for r in server.requests} == {"low"}
    assert {sample["resps"][0][0] for sample in samples} == {"the answer"}


@pytest.mark.parametrize("stream", [True, False])
def test_what_reasoning_ate_is_flagged_and_said(
    mercury: Any, task: Any, evaluate: Any, caplog: pytest.LogCaptureFixture, stream: bool
) -> None:
    eaten = Answer(text="", finish_reason="length", completion_tokens=16, reasoning_tokens=16)

    def answer(body: Mapping[str, Any]) -> str | Answer:
        return eaten if "France" in str(body["messages"]) else "yes"

    with ProtocolServer(answer, models=["mercury-2"], flavour="mercury") as server:
        model = mercury(server, model="mercury-2", stream=stream)
        with caplog.at_level(logging.WARNING):
            evaluate(model, task, apply_chat_template=True)
    flagged = [r for r in model.log.records.values() if r.flag is not None]
    assert [(r.flag, r.response, r.visible_tokens) for r in flagged] == [("reasoning_limit", "", 0)]
    assert "1 of 5 answers have no text, because reasoning used up the token limit" in caplog.text


def test_a_server_without_seeds_is_said_once(
    mercury: Any, task: Any, evaluate: Any, caplog: pytest.LogCaptureFixture
) -> None:
    with ProtocolServer(echo, models=["mercury-2"], flavour="mercury") as server:
        with caplog.at_level(logging.WARNING):
            evaluate(mercury(server, model="mercury-2"), task, apply_chat_template=True)
        assert not any({"seed", "temperature", "stop"} & set(r.body) for r in server.requests)
        assert {r.body["max_tokens"] for r in server.requests} == {16 + 16384}
    assert caplog.text.count("mercury-2 takes no seed: answers differ from run to run") == 1


def test_a_server_s_remark_is_said_once(
    mercury: Any, task: Any, evaluate: Any, caplog: pytest.LogCaptureFixture
) -> None:
    reset = Answer(text="yes", warning="temperature was reset to 0.75")
    with ProtocolServer(lambda _: reset, models=["mercury-2"], flavour="mercury") as server:
        model = mercury(server, model="mercury-2", temperature=0.9, stream=False)
        with caplog.at_level(logging.WARNING):
            evaluate(model, task, apply_chat_template=True)
        assert {r.body["temperature"] for r in server.requests} == {0.9}
    remarks = [r.message for r in caplog.records if "remarks" in r.message]
    assert remarks == ["the server remarks: temperature was reset to 0.75"]


def test_mercury_behind_another_address_is_asked_by_the_card_that_is_named(
    monkeypatch: pytest.MonkeyPatch, task: Any, evaluate: Any
) -> None:
    monkeypatch.setenv("GATEWAY_KEY", KEY)
    monkeypatch.setenv("INCEPTION_API_KEY", "not-for-the-gateway")
    given = {"model": "mercury-2", "card": "mercury-2", "reasoning_effort": "low"}
    with ProtocolServer(echo, models=["mercury-2"], flavour="mercury", key=KEY) as server:
        made = resolve("model", LM_EVAL_MODELS, "dllm-api")
        model = made(base_url=server.base_url, key_env="GATEWAY_KEY", **given)
        samples = evaluate(model, task, apply_chat_template=True)
        assert {r.route for r in server.requests} == {"chat"}
        assert not any({"seed", "temperature", "stop"} & set(r.body) for r in server.requests)
        assert {r.body["reasoning_effort"] for r in server.requests} == {"low"}
        told = model.provenance()
    assert all(sample["resps"][0][0] for sample in samples)
    assert told["machine"] == {"name": f"server {told['placement']['host']}"}
    assert told["prices"]["output_usd_per_million"] == 0.75


def test_a_cell_s_provenance_has_the_place_and_the_prices(mercury: Any) -> None:
    with ProtocolServer(echo, models=["mercury-2"], flavour="mercury") as server:
        told = mercury(server, model="mercury-2").provenance()
    assert told["machine"] == {"name": "api.inceptionlabs.ai"}
    assert told["placement"]["host"] == "api.inceptionlabs.ai"
    prices = (told["prices"]["input_usd_per_million"], told["prices"]["output_usd_per_million"])
    assert prices == (0.25, 0.75)
    assert "inceptionlabs.ai" in told["prices"]["source"]
