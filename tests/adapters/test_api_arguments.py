"""What a user may type behind `--model dllm-api --model_args`, and what is refused in one line."""

from importlib import import_module
from typing import Any

import pytest

from dllm_eval.errors import UsageError
from dllm_eval.registry import LM_EVAL_MODELS, resolve

HERE = "base_url=http://127.0.0.1:8000/v1"
arguments: Any = import_module("dllm_eval.adapters.api_arguments")
keys: Any = import_module("dllm_eval.adapters.api_key")


def build(text: str) -> Any:
    """As `lm_eval --model dllm-api --model_args TEXT` does it."""
    made = resolve("model", LM_EVAL_MODELS, "dllm-api")
    flags = {"batch_size": 1, "max_batch_size": None, "device": "cuda:0"}
    return made.create_from_arg_string(text, flags)


def checked(**given: Any) -> None:
    """As a sweep checks a cell's arguments."""
    resolve("model", LM_EVAL_MODELS, "dllm-api").check_arguments(given)


@pytest.mark.parametrize(
    "address", [" http://h/v1", "http://h/v1 ", "http://h/v1\n", "http://\th/v1"]
)
def test_an_address_of_a_sweep_has_no_spaces_around_it(address: str) -> None:
    """lm-eval strips those of a command line itself."""
    with pytest.raises(UsageError, match="accepted: an address without spaces"):
        checked(model="m", base_url=address)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("model=m", "dllm-api needs the argument base_url, for example http://127.0.0.1:8000/v1"),
        (HERE, "dllm-api needs the argument model, the server's name for it"),
        (f"{HERE},model=m,modle=x", r"unknown argument of dllm-api 'modle' \(did you mean 'model'"),
        (f"{HERE},model=m,pretrained=n", "was given model and pretrained, which say the same"),
        (f"{HERE},model=m,batch_size=auto", "argument batch_size='auto' of dllm-api"),
        (f"{HERE},model=m,route=messages", "argument route='messages' of dllm-api"),
        (f"{HERE},model=m,temperature=warm", "accepted: a number of at least 0, auto, server"),
        (f"{HERE},model=m,temperature=-1", "accepted: a number of at least 0, auto, server"),
        (f"{HERE},model=m,whole_s=0", "argument whole_s=0 of dllm-api"),
        (f"{HERE},model=m,tries=0", "argument tries=0 of dllm-api"),
        (f"{HERE},model=m,extra=top_p", 'accepted: "name:value", several joined by'),
        (f"{HERE},model=m,extra=stop:x", "stop is no field for extra; it has an argument"),
        (f"{HERE},model=m,extra=a:1+a.b:2", "a is both a value and a group of fields"),
        (f"{HERE},model=m,extra=a:1+a:2", "a stands there twice; keep one of them"),
        (f"{HERE},model=m,extra=a.b:1+c:2+a.b:1", r"a\.b stands there twice; keep one of them"),
        (f"{HERE},model=m,extra=a.b:1+a:2", "a stands there twice; keep one of them"),
        (f"{HERE},model=m,extra=a:NaN", "NaN is no number that JSON has; accepted: finite numbers"),
        (f"{HERE},model=m,extra=a:-Infinity", "-Infinity is no number that JSON has"),
        (f"{HERE},model=m,extra=a:1e400", "1e400 is no number that JSON has"),
        (f"{HERE},model=m,extra=a:{'[' * 9000}", "it is nested too deeply"),
        (f"{HERE},model=m,idle_s=nan", "argument idle_s='?nan'? of dllm-api: Input should be a"),
        (f"{HERE},model=m,temperature=nan", "accepted: a number of at least 0, auto, server"),
        (
            f"{HERE},model=m,infill=suffix,reasoning_effort=low",
            "reasoning_effort means nothing to gaps that are filled by infill=suffix; leave one of",
        ),
        ("base_url=http://h /v1,model=m", "accepted: an address without spaces"),
        ("base_url=http://h:99999/v1,model=m", "Port out of range"),
        ("base_url=http://h:0/v1,model=m", "accepted: a port from 1 to 65535"),
        (
            f"{HERE},model=m,route=completions,reasoning_effort=low",
            "reasoning_effort means nothing to the completions route; leave it unset",
        ),
        (f"{HERE},model=m,drafts=True,stream=False", "drafts=True needs stream=True"),
        ("base_url=ftp://h/v1,model=m", "accepted: http://HOST:PORT/v1 or https://HOST/v1"),
        ("base_url=http://h/v1?x=1,model=m", "accepted: an address without"),
        ("base_url=http://[::1/v1,model=m", "Invalid IPv6 URL"),
        (
            "base_url=http://h:1/v1/chat/completions,model=m",
            "write base_url=http://h:1/v1; route=chat or route=completions picks one",
        ),
        (
            "base_url=http://h:1/v1/completions/,model=m",
            "write base_url=http://h:1/v1; route=chat",
        ),
        ("model=Mercury Coder Mini", r"its card is report only; .*\(mercury-2.5, mercury-2, "),
        ("model=mercury-2,reasoning_effort=max", "accepted: instant, low, medium, high"),
        ("model=mercury-2,temperature=0", "temperature=0 of mercury-2; accepted: 0.5 to 1, or"),
        ("model=mercury-2,route=completions", "mercury-2 has no completions route; it has chat"),
        ("model=mercury-2,infill=fim", "mercury-2 has no fim route; it has chat"),
        (
            f"{HERE},model=m,card=mercury2",
            r"unknown card with an API 'mercury2' \(did you mean 'mercury-2'\?\); known: mercury-2",
        ),
        (f"{HERE},model=m,card=LLaDA-8B-Instruct", "unknown card with an API 'LLaDA-8B-Instruct'"),
        ("model=mercury-2,card=mercury-2", "card=mercury-2 needs the argument base_url: it says"),
        ("model=mercury-edit-2,reasoning_effort=low", "means nothing to mercury-edit-2"),
        ("model=mercury-edit-2,route=chat", "has no chat route; it has fim, edit: it is asked to"),
    ],
)
def test_a_bad_argument_is_one_clear_line(text: str, message: str) -> None:
    parse = import_module("lm_eval.utils").simple_parse_args_string
    with pytest.raises(UsageError, match=message) as caught:
        checked(**parse(text))
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    "given",
    [
        {"api_key": "sk-hidden"},
        {"OPENAI_API_KEY": "sk-hidden"},
        {"token": "sk-hidden"},
        {"headers": "Authorization: sk-hidden"},
        {"key_env": "sk-hidden"},
        {"base_url": "https://user:sk-hidden@host/v1"},
        {"base_url": "user:sk-hidden@host/v1"},
        {"extra": "x_api_key:sk-hidden"},
        {"extra": "top_p:0.9+auth.key:sk-hidden"},
    ],
)
def test_a_key_among_the_arguments_is_refused_and_not_repeated(given: dict[str, Any]) -> None:
    with pytest.raises(UsageError, match=r"looks like a key.*export INCEPTION_API_KEY") as caught:
        checked(**{"model": "m", "base_url": "http://127.0.0.1:1/v1"} | given)
    assert "hidden" not in str(caught.value)


@pytest.mark.parametrize("ending", ["?api_key=sk-hidden", "#sk-hidden"])
def test_an_address_that_may_hold_a_key_is_not_repeated(ending: str) -> None:
    with pytest.raises(UsageError, match="has a \\? or #, behind which a key may stand") as caught:
        checked(model="m", base_url=f"http://127.0.0.1:1/v1{ending}")
    assert "hidden" not in str(caught.value)


def test_a_bad_key_variable_is_refused_when_it_is_needed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("INCEPTION_API_KEY", raising=False)
    model = build("model=mercury-2")
    with pytest.raises(UsageError, match="wants a key, and INCEPTION_API_KEY is not set: export"):
        model._server(model.arguments)


def test_where_a_key_is_looked_for() -> None:
    here = "http://127.0.0.1:1/v1"
    assert keys.names_for("MINE", "CARD", here) == ("MINE",)
    assert keys.names_for(None, "CARD", "https://api.inceptionlabs.ai/v1") == ("CARD",)
    assert keys.names_for(None, None, "https://api.openai.com/v1") == ("OPENAI_API_KEY",)
    assert keys.names_for(None, None, "https://else.where/v1") == ()
    assert keys.names_for(None, None, here) == ()
    assert keys.key_of((), here) is None


def test_the_card_s_key_does_not_go_to_another_server() -> None:
    assert build("model=mercury-2").service.key_names == ("INCEPTION_API_KEY",)
    elsewhere = build("model=mercury-2,base_url=https://openrouter.ai/api/v1").service
    assert (elsewhere.key_names, elsewhere.facts) == ((), None)
    assert elsewhere.kind == "diffusion"


def test_an_argument_string_reaches_every_setting() -> None:
    model = build(
        f"pretrained=m,{HERE},route=chat,kind=diffusion,temperature=0.7,seed=3,stream=False,"
        "batch_size=5,idle_s=2,tries=2,extra=top_p:0.9+vllm_xargs.steps:8+name:x,key_env=none"
    )
    assert (model.arguments.model, model.batch_size, model.kind) == ("m", 5, "diffusion")
    assert dict(model._more()) == {"top_p": 0.9, "vllm_xargs": {"steps": 8}, "name": "x"}
    server = model._server(model.arguments)
    assert (server.model, server.base_url, server.stream) == ("m", HERE[9:], False)
    assert (server.timeouts.idle_s, server.timeouts.connect_s) == (2.0, 10.0)
    assert (server.retries.most_tries, server.key) == (2, None)


def test_a_number_for_a_name_is_taken_as_its_text() -> None:
    assert build(f"model=4,{HERE}").arguments.model == "4"


def test_a_model_without_a_card_is_autoregressive_and_one_with_is_not() -> None:
    assert build(f"model=m,{HERE}").kind == "autoregressive"
    assert build(f"model=inclusionAI/LLaDA2.1-mini,{HERE}").kind == "diffusion"


def test_mercury_s_user_types_three_words(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("INCEPTION_API_KEY", "sk-hidden")
    model = build("model=mercury-2,reasoning_effort=low")
    server = model._server(model.arguments)
    assert server.base_url == "https://api.inceptionlabs.ai/v1"
    assert server.key is not None
    assert "hidden" not in repr(server)
    assert "hidden" not in model.arguments.model_dump_json()


def test_a_key_does_not_travel_unencrypted(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MINE", "sk-hidden")
    model = build("model=m,base_url=http://far.away/v1,key_env=MINE")
    with pytest.raises(UsageError, match="would send MINE unencrypted"):
        model._server(model.arguments)
